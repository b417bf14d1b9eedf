"""Dense targets from the scenes of a world: what is in each cell, as far as it can be known so far.

A frame-causal encoder cannot know at first sight how an object moves, so its motion fades in
while it is watched, and its velocity is the difference to the frame before.

Legend: T frames, S tubelets (frames / tubelet size), O objects, G cells of a side, N = G * G
cells in raster order, W words.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from videollm.worlds import WORLDS, World, WorldScene

__all__ = [
    "PLACE_WORDS",
    "balanced_weights",
    "region_vocabulary",
    "region_words",
    "scene_targets",
    "target_size",
]

Floats = NDArray[np.float32]

PLACE_WORDS = ("west", "east", "top", "bottom")
"""Where a region is; "left" and "right" are taken by motions."""

_TOY = WORLDS["toy"]

_FULL_SPEED = 0.4
"""Frame sides a second that count as a velocity of 1."""


def target_size(world: World) -> int:
    """Return the width of a target: a value a word, "nothing here", and the velocity along x, y."""
    return len(world.words) + 3


def region_vocabulary(world: World) -> tuple[str, ...]:
    """Return what can be true of a region: the words of its objects, that there is none, its place.

    The word behind those of the objects is "nothing".
    """
    return (*world.words, "nothing", *PLACE_WORDS)


def velocities(scene: WorldScene, times: NDArray[np.float64], world: World = _TOY) -> Floats:
    """Return (T, O, 2): displacement since the frame before, 0 where that one lacks the object."""
    places, present = world.positions(scene, times), world.presence(scene, times)
    result = np.zeros_like(places, dtype=np.float32)
    seconds = np.diff(times)[:, None, None]
    both = (present[1:] & present[:-1])[:, :, None]
    result[1:] = both * np.diff(places, axis=0) / (seconds * _FULL_SPEED)
    return np.clip(result, -1.5, 1.5)


def scene_targets(
    scene: WorldScene,
    times: NDArray[np.float64],
    *,
    grid: int,
    tubelet: int,
    world: World = _TOY,
) -> tuple[Tensor, Tensor]:
    """Return the teacher's features of every cell of every tubelet, and how full each cell is.

    Args:
        scene: What was drawn.
        times: (T,) seconds, rising; T is a multiple of `tubelet`. What was before the first of
            them is not known.
        grid: Cells G of a side.
        tubelet: Frames that share a feature; it is the mean over them.
        world: The scene's.

    Returns:
        (S, N, target_size) of unit length, and (S, N) the share covered by objects, 0 to 1.
    """
    coverage = world.coverage(scene, times, grid).reshape(len(times), -1, grid * grid)
    known = world.known_words(scene, times)
    features = np.concatenate([known, velocities(scene, times, world)], axis=-1)
    cells = np.einsum("ton,tof->tnf", coverage, features)
    empty = 1.0 - coverage.sum(axis=1)
    background = len(world.words)
    cells = np.insert(cells, background, empty, axis=-1)
    cells = _mean_over_tubelets(cells, tubelet)
    covered = 1.0 - cells[..., background]
    norm = np.linalg.norm(cells, axis=-1, keepdims=True)
    return _tensor(cells / np.maximum(norm, 1e-6)), _tensor(covered)


def region_words(
    scene: WorldScene,
    times: NDArray[np.float64],
    *,
    grid: int,
    tubelet: int,
    world: World = _TOY,
) -> tuple[Tensor, Tensor]:
    """Return how much each word belongs to each region, and how much of an object is there.

    An object belongs to a region in full when at least half of it is there, and in proportion
    when less is: it must not fade because it stands on a border. Its size does not matter.

    Args:
        scene: What was drawn.
        times: (T,) seconds, rising; T is a multiple of `tubelet`.
        grid: Regions G of a side.
        tubelet: Frames that share a region's words.
        world: The scene's.

    Returns:
        (S, N, words of `region_vocabulary`), and (S, N) presence, 0 to 1. The words of places grow
        towards their border and belong to regions with objects only.
    """
    coverage = world.coverage(scene, times, grid).reshape(len(times), -1, grid * grid)
    total = coverage.sum(axis=2, keepdims=True)
    share = np.minimum(2.0 * coverage / np.maximum(total, 1e-6), 1.0)
    words = np.einsum("ton,tof->tnf", share, world.known_words(scene, times))
    presence = np.minimum(share.sum(axis=1), 1.0)[..., None]
    words = np.concatenate([words, 1.0 - presence, presence * _sides(grid)], axis=-1)
    presence = _mean_over_tubelets(presence[..., 0], tubelet)
    return _tensor(_mean_over_tubelets(words, tubelet)), _tensor(presence)


def _sides(grid: int) -> Floats:
    """Return (N, 4): how far each region is to the west, east, top and bottom, 0 to 1."""
    offsets = (2.0 * np.arange(grid, dtype=np.float32) + 1.0) / grid - 1.0
    row, column = np.repeat(offsets, grid), np.tile(offsets, grid)
    return np.clip(np.stack([-column, column, -row, row], axis=-1), 0.0, None)


def balanced_weights(foreground: Tensor) -> Tensor:
    """Return weights with mean 1 that give objects and background the same total.

    Args:
        foreground: (...), share of each cell that is object, 0 to 1.

    Returns:
        (...); where all or nothing is object, equal weights.
    """
    share = foreground.mean()
    if share <= 0 or share >= 1:
        return torch.ones_like(foreground)
    return 0.5 * foreground / share + 0.5 * (1.0 - foreground) / (1.0 - share)


def _mean_over_tubelets(values: Floats, tubelet: int) -> Floats:
    mean: Floats = values.reshape(-1, tubelet, *values.shape[1:]).mean(axis=1)
    return mean


def _tensor(values: Floats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
