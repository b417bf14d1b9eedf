"""Training: recipes, data, and the entry points of every stage."""
