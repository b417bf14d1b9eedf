"""Outlines of the six shapes as signed distances, which give antialiased pictures directly.

A pixel is covered by `0.5 - distance` (clipped to 0..1) when the distance from its centre to the
outline is measured in pixels. All shapes of one radius look about equally big; y points down.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["EXTENTS", "signed_distance"]

Pixels = NDArray[np.floating[Any]]
"""Distances in single precision; numpy's types cannot say that Python numbers keep it."""

_SQUARE, _DIAMOND, _TRIANGLE, _STAR = 0.9, 1.25, 1.3, 1.38
_CROSS_LENGTH, _CROSS_WIDTH = 1.15, 0.4
_TRIANGLE_RISE = 0.2
"""Radii by which the triangle is moved down: half the way from its mass to the middle of its box
being at the centre, which looks right."""

EXTENTS: dict[str, float] = {
    "circle": 1.0,
    "square": _SQUARE,
    "triangle": _TRIANGLE * float(np.sqrt(0.75)),
    "star": _STAR,
    "cross": _CROSS_LENGTH,
    "diamond": _DIAMOND,
}
"""Shape word to the farthest reach of its outline along x or y, in radii."""


def signed_distance(shape: str, x: Pixels, y: Pixels, radius: float) -> Pixels:
    """Return the distance to a shape's outline: negative inside, positive outside.

    It is exact along edges; beyond a corner it measures to the nearer edge's line, so corners
    stay sharp.

    Args:
        shape: One of `SHAPES`.
        x: To the right of the shape's centre, any unit; broadcast against y.
        y: Below the shape's centre, the same unit.
        radius: The object's radius, the same unit.

    Returns:
        Distances in the shape that x and y broadcast to.
    """
    return _OUTLINES[shape](x, y, radius)


def _circle(x: Pixels, y: Pixels, radius: float) -> Pixels:
    return np.sqrt(x * x + y * y) - radius


def _square(x: Pixels, y: Pixels, radius: float) -> Pixels:
    return np.maximum(np.abs(x), np.abs(y)) - _SQUARE * radius


def _diamond(x: Pixels, y: Pixels, radius: float) -> Pixels:
    return (np.abs(x) + np.abs(y) - _DIAMOND * radius) * np.float32(np.sqrt(0.5))


def _triangle(x: Pixels, y: Pixels, radius: float) -> Pixels:
    y = y - _TRIANGLE_RISE * radius
    inner = _TRIANGLE * radius / 2
    slope = np.float32(np.sqrt(0.75)) * np.abs(x) - np.float32(0.5) * y
    return np.maximum(slope, y) - inner


def _cross(x: Pixels, y: Pixels, radius: float) -> Pixels:
    x, y = np.abs(x), np.abs(y)
    long, wide = _CROSS_LENGTH * radius, _CROSS_WIDTH * radius
    return np.minimum(np.maximum(x - long, y - wide), np.maximum(x - wide, y - long))


def _star(x: Pixels, y: Pixels, radius: float) -> Pixels:
    """Return the second largest of five edge distances: a star is inside four of its five lines."""
    inner = np.float32(np.cos(2 * np.pi / 5) * _STAR * radius)
    first = second = np.full(np.broadcast_shapes(x.shape, y.shape), -np.inf, dtype=np.float32)
    for k in range(5):
        angle = 2 * np.pi * k / 5
        edge = np.float32(np.sin(angle)) * x + np.float32(np.cos(angle)) * y
        second = np.maximum(second, np.minimum(first, edge))
        first = np.maximum(first, edge)
    return second - inner


_OUTLINES: dict[str, Callable[[Pixels, Pixels, float], Pixels]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "diamond": _diamond,
}
