"""Objects before they have a place: their looks, when their shot is on, and their ways.

Places are in units of the frame's side, x to the right, y down; times in seconds.
"""

from dataclasses import dataclass

import numpy as np

from videollm.shapeworld.scene import Event

__all__ = ["Draft", "Look", "Span"]

Knots = tuple[tuple[float, float, float], ...]
"""(seconds, x, y) relative to the place."""


@dataclass(frozen=True, slots=True)
class Look:
    """Hold what an object looks like at first."""

    colour: str
    shape: str
    size: str
    fill: str
    radius: float


@dataclass(frozen=True, slots=True)
class Span:
    """Hold when a shot begins and ends, in seconds."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """Return its length."""
        return self.end - self.begin

    def moments(self, least: float, most: float) -> list[float]:
        """Return the half seconds from `least` after the begin to `most` before the end."""
        first = int(np.ceil(2 * (self.begin + least) - 1e-6))
        last = int(np.floor(2 * (self.end - most) + 1e-6))
        return [number / 2 for number in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Draft:
    """Hold an object before it has a place.

    Args:
        look: Its look.
        plot: One of `PLOTS`.
        way: Its way relative to its place.
        low: Least x and y of the place.
        high: Greatest x and y of the place.
        events: What happens.
        direction: As in `SceneObject`, like the further ones.
        speed: Likewise.
        side: Likewise.
        radius: (seconds, radius) pairs.
        angle: (seconds, radians) pairs.
    """

    look: Look
    plot: str
    way: Knots
    low: tuple[float, float]
    high: tuple[float, float]
    events: tuple[Event, ...] = ()
    direction: str = ""
    speed: str = ""
    side: str = ""
    radius: tuple[tuple[float, float], ...] = ()
    angle: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
