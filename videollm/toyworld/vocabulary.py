"""The words of the toy world: colours, shapes, sizes, motions, and the pairs held out of training.

Scenes, pictures, questions and training targets all take their words from here, so an answer, a
pixel and a feature can never disagree about a name. It holds data only.
"""

__all__ = [
    "COLOURS",
    "FEATURE_GROUPS",
    "FEATURE_WORDS",
    "HELD_OUT_PAIRS",
    "MOTIONS",
    "RADII",
    "SHAPES",
    "SIZES",
]

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (225, 35, 40),
    "green": (45, 170, 60),
    "blue": (50, 90, 245),
    "yellow": (245, 225, 50),
    "orange": (245, 135, 25),
    "purple": (165, 65, 205),
    "white": (245, 245, 245),
    "cyan": (55, 215, 225),
}
"""Colour word to RGB in 0..255; all stay apart on dark backgrounds, after 4:2:0 chroma too."""

SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "star", "cross", "diamond")

SIZES: tuple[str, ...] = ("small", "large")

RADII: dict[str, tuple[float, float]] = {"small": (0.085, 0.097), "large": (0.135, 0.15)}
"""Size word to the range of radii, as a fraction of the frame's side."""

MOTIONS: tuple[str, ...] = ("still", "left", "right", "up", "down", "bounces", "loops")

HELD_OUT_PAIRS: tuple[tuple[str, str], ...] = (
    ("red", "square"),
    ("green", "star"),
    ("blue", "triangle"),
    ("yellow", "cross"),
    ("purple", "circle"),
    ("cyan", "diamond"),
)
"""(colour, shape) pairs seen in `test_compositional` alone: six colours, every shape once."""

FEATURE_WORDS: tuple[str, ...] = (*COLOURS, *SHAPES, *SIZES, *MOTIONS)
"""One English word for each feature of an object."""

FEATURE_GROUPS: dict[str, slice] = {
    "colour": slice(0, 8),
    "shape": slice(8, 14),
    "size": slice(14, 16),
    "motion": slice(16, 23),
}
"""Name of a group to its place in `FEATURE_WORDS`; exactly one word of each group is true."""
