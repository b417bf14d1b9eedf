"""Outlines of the eight shapes as signed distances: filled or hollow, turned, of any size.

Three come from the toy world. Cross and star are fatter here, so that they can be hollow; the
diamond is narrow, so that a turning square never looks like one. Y points down.
"""

from collections.abc import Callable

import numpy as np

from videollm.toyworld import shapes as toy
from videollm.toyworld.shapes import Pixels

__all__ = ["EXTENTS", "LINE", "REACH", "TOUCH", "coverage", "signed_distance"]

LINE = 0.3
"""Width of the line of a hollow shape, in radii."""

_LEAST_LINE_PIXELS = 1.7

_DIAMOND_WIDE, _DIAMOND_TALL = 0.85, 1.4
_MOON, _BITE, _BITE_AWAY, _MOON_SHIFT = 1.2, 0.95, 0.72, 0.3
_LOBE, _LOBE_AWAY, _LOBE_UP, _HEART_TIP = 0.64, 0.6, 0.42, 1.15
_CROSS_LENGTH, _CROSS_WIDTH = 1.15, 0.5
_STAR, _STAR_WAIST = 1.4, 0.7

EXTENTS: dict[str, float] = {
    **{shape: toy.EXTENTS[shape] for shape in ("circle", "square", "triangle")},
    "star": _STAR,
    "cross": _CROSS_LENGTH,
    "diamond": _DIAMOND_TALL,
    "heart": _LOBE + _LOBE_AWAY,
    "moon": _MOON,
}
"""Shape word to the farthest reach of its outline along x or y, in radii, unturned."""

REACH: dict[str, float] = {
    **EXTENTS,
    "square": 1.28,
    "triangle": 1.42,
    "cross": 1.26,
    "heart": 1.38,
    "moon": 1.41,
}
"""Shape word to the farthest reach of its outline in any direction, in radii."""

TOUCH: dict[str, tuple[float, float]] = {
    "circle": (1.0, 1.0),
    "square": (0.9, 0.9),
    "triangle": (0.75, 0.95),
    "star": (0.95, 1.1),
    "cross": (_CROSS_LENGTH, _CROSS_LENGTH),
    "diamond": (_DIAMOND_WIDE, _DIAMOND_TALL),
    "heart": (1.1, 0.95),
    "moon": (0.95, _MOON),
}
"""Shape word to how far from its centre it is touched along x and along y, in radii."""


def signed_distance(shape: str, x: Pixels, y: Pixels, radius: Pixels) -> Pixels:
    """Return the distance to a shape's outline: negative inside, positive outside.

    Args:
        shape: One of `SHAPES`.
        x: To the right of the shape's centre, any unit.
        y: Below the shape's centre, the same unit.
        radius: The object's radius, the same unit; all three are broadcast.
    """
    own = _OWN.get(shape)
    if own is not None:
        return own(x, y, radius)
    # Distances scale with the radius, and the toy world's take a number for it.
    distance: Pixels = toy.signed_distance(shape, x / radius, y / radius, 1.0) * radius
    return distance


def coverage(shape: str, fill: str, x: Pixels, y: Pixels, radius: Pixels) -> Pixels:
    """Return how much of each pixel a shape covers, 0 to 1; lengths are in pixels."""
    distance = signed_distance(shape, x, y, radius)
    if fill == "outline":
        width = np.maximum(LINE * radius, _LEAST_LINE_PIXELS)
        distance = np.maximum(distance, -width - distance)
    covered: Pixels = (np.float32(0.5) - distance).clip(0.0, 1.0)
    return covered


def _diamond(x: Pixels, y: Pixels, radius: Pixels) -> Pixels:
    slope = np.float32(1 / np.hypot(1 / _DIAMOND_WIDE, 1 / _DIAMOND_TALL))
    wide, tall = np.float32(1 / _DIAMOND_WIDE), np.float32(1 / _DIAMOND_TALL)
    distance: Pixels = (np.abs(x) * wide + np.abs(y) * tall - radius) * slope
    return distance


def _cross(x: Pixels, y: Pixels, radius: Pixels) -> Pixels:
    x, y = np.abs(x), np.abs(y)
    long, wide = _CROSS_LENGTH * radius, _CROSS_WIDTH * radius
    cross: Pixels = np.minimum(np.maximum(x - long, y - wide), np.maximum(x - wide, y - long))
    return cross


def _star(x: Pixels, y: Pixels, radius: Pixels) -> Pixels:
    """Return the distance to the one edge of ten that is nearest, after folding the plane."""
    sector = np.float32(np.pi / 5)
    angle = np.abs((np.arctan2(x, -y) + sector) % (2 * sector) - sector)
    away = np.hypot(x, y)
    along, across = away * np.cos(angle), away * np.sin(angle)
    # The edge runs from the tip (1, 0) * _STAR to the waist, which lies at the sector's side.
    rise = _STAR_WAIST * np.sin(np.pi / 5)
    run = _STAR - _STAR_WAIST * np.cos(np.pi / 5)
    cos, sin = np.float32(rise / np.hypot(rise, run)), np.float32(run / np.hypot(rise, run))
    star: Pixels = (along - _STAR * radius) * cos + across * sin
    return star


def _heart(x: Pixels, y: Pixels, radius: Pixels) -> Pixels:
    """Return the distance to a lobe, or to the edge from its tangent to the tip."""
    x = np.abs(x) - _LOBE_AWAY * radius
    y = y + _LOBE_UP * radius
    fall = _HEART_TIP + _LOBE_UP
    lean = np.arcsin(_LOBE / np.hypot(_LOBE_AWAY, fall)) + np.arctan2(_LOBE_AWAY, fall)
    cos, sin = np.float32(np.cos(lean)), np.float32(np.sin(lean))
    lobe = np.hypot(x, y) - _LOBE * radius
    edge = x * cos + y * sin - _LOBE * radius
    heart: Pixels = np.where((y * cos - x * sin > 0) & (y > 0), edge, lobe)
    return heart


def _moon(x: Pixels, y: Pixels, radius: Pixels) -> Pixels:
    x = x - _MOON_SHIFT * radius
    disc = np.hypot(x, y) - _MOON * radius
    bite = np.hypot(x - _BITE_AWAY * radius, y) - _BITE * radius
    moon: Pixels = np.maximum(disc, -bite)
    return moon


_OWN: dict[str, Callable[[Pixels, Pixels, Pixels], Pixels]] = {
    "cross": _cross,
    "star": _star,
    "diamond": _diamond,
    "heart": _heart,
    "moon": _moon,
}
