"""VideoMAP: the streaming Mamba-Transformer video encoder, usable on its own."""
