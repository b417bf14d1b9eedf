"""The words of the shape world: colours, shapes, sizes, fills, directions, and what can happen.

Scenes, pictures, questions and training targets take their words from here, so an answer, a pixel
and a feature can never disagree about a name. It holds data only.
"""

import math

from videollm.toyworld.vocabulary import COLOURS, SIZES

__all__ = [
    "COLOURS",
    "DIRECTIONS",
    "FEATURE_GROUPS",
    "FEATURE_WORDS",
    "FILLS",
    "HELD_OUT_PAIRS",
    "ORDINALS",
    "PLOTS",
    "RADII",
    "SHAPES",
    "SIDES",
    "SIZES",
    "SPEEDS",
]

SHAPES: tuple[str, ...] = (
    "circle",
    "square",
    "triangle",
    "star",
    "cross",
    "diamond",
    "heart",
    "moon",
)

FILLS: tuple[str, ...] = ("filled", "outline")

RADII: dict[str, tuple[float, float]] = {"small": (0.1, 0.11), "large": (0.162, 0.175)}
"""Size word to the range of radii, as a fraction of the frame's side."""

SPEEDS: dict[str, float] = {"slow": 0.085, "fast": 0.27}
"""Speed word to frame sides a second: 2.7 and 8.6 pixels a frame at 64 pixels and 2 frames/s."""

_DIAGONAL = math.sqrt(0.5)

DIRECTIONS: dict[str, tuple[float, float]] = {
    "left": (-1.0, 0.0),
    "right": (1.0, 0.0),
    "up": (0.0, -1.0),
    "down": (0.0, 1.0),
    "up left": (-_DIAGONAL, -_DIAGONAL),
    "up right": (_DIAGONAL, -_DIAGONAL),
    "down left": (-_DIAGONAL, _DIAGONAL),
    "down right": (_DIAGONAL, _DIAGONAL),
}
"""Direction words to unit steps, x to the right, y down."""

SIDES: dict[str, tuple[float, float]] = {
    "left": (-1.0, 0.0),
    "right": (1.0, 0.0),
    "top": (0.0, -1.0),
    "bottom": (0.0, 1.0),
}
"""Sides of the frame to the unit step towards them."""

PLOTS: tuple[str, ...] = ("still", "moves", "bounces", "collides", "rotates", "enters", "leaves")
"""What an object does; exactly one of them is true of each."""

ORDINALS: tuple[str, ...] = ("first", "second", "third")

HELD_OUT_PAIRS: tuple[tuple[str, str], ...] = (
    ("red", "square"),
    ("green", "star"),
    ("blue", "triangle"),
    ("yellow", "cross"),
    ("orange", "moon"),
    ("purple", "circle"),
    ("white", "heart"),
    ("cyan", "diamond"),
)
"""(colour, shape) pairs seen in `test_compositional` alone: every colour and every shape once."""

_NOW: tuple[str, ...] = ("still", "left", "right", "up", "down", "slow", "fast")
_HAPPENINGS: tuple[str, ...] = (
    "bounces",
    "collides",
    "rotates",
    "enters",
    "leaves",
    "grows",
    "shrinks",
    "changes",
)

FEATURE_WORDS: tuple[str, ...] = (*COLOURS, *SHAPES, *SIZES, *FILLS, *_NOW, *_HAPPENINGS)
"""One English word for each feature that an object can have at a moment."""

FEATURE_GROUPS: dict[str, slice] = {
    "colour": slice(0, 8),
    "shape": slice(8, 16),
    "size": slice(16, 18),
    "fill": slice(18, 20),
    "motion": slice(20, 27),
    "event": slice(27, 35),
}
"""Name of a group to its place in `FEATURE_WORDS`."""
