"""How an object moves: a path as a pure function of the share of its presence that has passed.

Legend: K candidate paths, T times. Places are in units of the frame's side, x to the right, y
down. Pixels, sizes and words about position are decided elsewhere.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Path", "PathBatch", "draw_paths"]

Floats = NDArray[np.float64]

_LEAST_TRAVEL = 0.4
"""Least way of a moving object, so that a third of the frame is left between sampled frames."""

_DIRECTIONS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}


@dataclass(frozen=True, slots=True)
class Path:
    """Hold one path of an object's centre.

    Args:
        motion: One of `MOTIONS`.
        origin: (x, y) where a straight path starts, or the middle of a loop.
        reach: (x, y) from origin to the other end, or from the middle of a loop to its start.
        turns: Legs of a bouncing path, signed rounds of a loop; 1 for a straight path.
    """

    motion: str
    origin: tuple[float, float]
    reach: tuple[float, float]
    turns: float

    def at(self, progress: Floats) -> Floats:
        """Return the centre of the object.

        Args:
            progress: (T,), share of the presence that has passed, 0..1.

        Returns:
            (T, 2), x and y in units of the frame's side.
        """
        origin, reach = np.array([self.origin]), np.array([self.reach])
        return PathBatch(self.motion, origin, reach, np.array([self.turns])).at(progress)[0]


@dataclass(frozen=True, slots=True)
class PathBatch:
    """Hold K paths of the same motion: origin and reach (K, 2), turns (K,), as in `Path`."""

    motion: str
    origin: Floats
    reach: Floats
    turns: Floats

    def at(self, progress: Floats) -> Floats:
        """Return the centres (K, T, 2) at the shares `progress` (T,) of the presence."""
        swept = self.turns[:, None] * progress
        origin, reach = self.origin[:, None], self.reach[:, None]
        if self.motion == "loops":
            cos, sin = np.cos(2 * np.pi * swept), np.sin(2 * np.pi * swept)
            x, y = reach[..., 0], reach[..., 1]
            centres = np.empty((*swept.shape, 2))
            centres[..., 0] = x * cos - y * sin
            centres[..., 1] = x * sin + y * cos
            centres += origin
            return centres
        if self.motion == "bounces":
            swept = 1 - np.abs(1 - swept % 2)
        return origin + swept[..., None] * reach

    def pick(self, k: int) -> Path:
        """Return path number k."""
        (ox, oy), (rx, ry) = self.origin[k].tolist(), self.reach[k].tolist()
        return Path(self.motion, (ox, oy), (rx, ry), float(self.turns[k]))


def draw_paths(motion: str, num: int, margin: float, rng: np.random.Generator) -> PathBatch:
    """Draw candidate paths that keep an object inside the frame.

    Args:
        motion: One of `MOTIONS`.
        num: K, how many.
        margin: Least distance of the centre from the frame's border, at most 0.3.
        rng: Source of randomness.

    Returns:
        K paths, spread evenly over the room that they have.
    """
    room = 1 - 2 * margin
    u = rng.random((num, 5))
    if motion == "loops":
        radius = _LEAST_TRAVEL / 2 + (min(room / 2, 0.28) - _LEAST_TRAVEL / 2) * u[:, :1]
        angle = 2 * np.pi * u[:, 1]
        reach = radius * np.stack((np.cos(angle), np.sin(angle)), axis=-1)
        origin = margin + radius + (room - 2 * radius) * u[:, 2:4]
        rounds = 1 + 0.5 * np.abs(2 * u[:, 4] - 1)
        return PathBatch(motion, origin, reach, np.where(u[:, 4] < 0.5, -rounds, rounds))
    travel = _LEAST_TRAVEL + (min(room, 0.7) - _LEAST_TRAVEL) * u[:, :1]
    reach = travel * _directions(motion, u[:, 3])
    origin = margin + np.maximum(0, -reach) + (room - np.abs(reach)) * u[:, 1:3]
    turns = np.where(u[:, 4] < 0.5, 3.0, 4.0) if motion == "bounces" else np.ones(num)
    return PathBatch(motion, origin, reach, turns)


def _directions(motion: str, u: Floats) -> Floats:
    """Return (K, 2) unit steps; a bouncing object chooses its direction by u (K,)."""
    if motion == "still":
        return np.zeros((len(u), 2))
    if motion == "bounces":
        return np.array(list(_DIRECTIONS.values()))[(4 * u).astype(int)]
    return np.full((len(u), 2), _DIRECTIONS[motion])
