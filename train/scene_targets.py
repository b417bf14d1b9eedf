"""Dense targets from toy-world scenes: what is in each cell, as far as it can be known so far.

A frame-causal encoder cannot know at first sight how an object moves, so its motion fades in
while it is watched, and its velocity is the difference to the frame before.

Legend: T frames, S tubelets (frames / tubelet size), O objects, G cells of a side, N = G * G
cells in raster order, W words.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from videollm.toyworld.render import (
    object_coverage,
    object_features,
    object_positions,
    object_presence,
)
from videollm.toyworld.scene import Scene
from videollm.toyworld.vocabulary import FEATURE_GROUPS, FEATURE_WORDS

__all__ = [
    "BACKGROUND",
    "PLACE_WORDS",
    "REGION_WORDS",
    "TARGET_SIZE",
    "balanced_weights",
    "region_words",
    "scene_targets",
]

Floats = NDArray[np.float32]

BACKGROUND = len(FEATURE_WORDS)
"""Index of "nothing here" behind the objects' words, in targets and in region words."""

PLACE_WORDS = ("west", "east", "top", "bottom")
"""Where a region is; "left" and "right" are taken by motions."""

REGION_WORDS = (*FEATURE_WORDS, "nothing", *PLACE_WORDS)
"""What can be true of a region: the words of its objects, that there is none, and its place."""

TARGET_SIZE = BACKGROUND + 3
"""Width of a target: one value a word, the background, and the velocity along x and y."""

_FULL_SPEED = 0.4
"""Frame sides a second that count as a velocity of 1."""

_KNOWN_SECONDS = {"bounces": 1.5, "loops": 1.5}
"""How long an object is watched until its motion is known; 0.5 seconds for all others."""


def known_words(scene: Scene, times: NDArray[np.float64]) -> Floats:
    """Return (T, O, W): the words true of each object, its motion only as far as it was seen."""
    words = object_features(scene, times).astype(np.float32)
    present = object_presence(scene, times)
    motion = FEATURE_GROUPS["motion"]
    for index, thing in enumerate(scene.objects):
        if present[:, index].any():
            watched = times - times[int(present[:, index].argmax())]
            known = np.clip(watched / _KNOWN_SECONDS.get(thing.motion, 0.5), 0.0, 1.0)
            words[:, index, motion] *= known[:, None].astype(np.float32)
    return words


def velocities(scene: Scene, times: NDArray[np.float64]) -> Floats:
    """Return (T, O, 2): displacement since the frame before, 0 where that one lacks the object."""
    places, present = object_positions(scene, times), object_presence(scene, times)
    result = np.zeros_like(places, dtype=np.float32)
    seconds = np.diff(times)[:, None, None]
    both = (present[1:] & present[:-1])[:, :, None]
    result[1:] = both * np.diff(places, axis=0) / (seconds * _FULL_SPEED)
    return np.clip(result, -1.5, 1.5)


def scene_targets(
    scene: Scene, times: NDArray[np.float64], *, grid: int, tubelet: int
) -> tuple[Tensor, Tensor]:
    """Return the teacher's features of every cell of every tubelet, and how full each cell is.

    Args:
        scene: What was drawn.
        times: (T,) seconds, rising; T is a multiple of `tubelet`. What was before the first of
            them is not known.
        grid: Cells G of a side.
        tubelet: Frames that share a feature; it is the mean over them.

    Returns:
        (S, N, TARGET_SIZE) of unit length, and (S, N) the share covered by objects, 0 to 1.
    """
    coverage = object_coverage(scene, times, grid).reshape(len(times), -1, grid * grid)
    features = np.concatenate([known_words(scene, times), velocities(scene, times)], axis=-1)
    cells = np.einsum("ton,tof->tnf", coverage, features)
    empty = 1.0 - coverage.sum(axis=1)
    cells = np.insert(cells, BACKGROUND, empty, axis=-1)
    cells = _mean_over_tubelets(cells, tubelet)
    covered = 1.0 - cells[..., BACKGROUND]
    norm = np.linalg.norm(cells, axis=-1, keepdims=True)
    return _tensor(cells / np.maximum(norm, 1e-6)), _tensor(covered)


def region_words(
    scene: Scene, times: NDArray[np.float64], *, grid: int, tubelet: int
) -> tuple[Tensor, Tensor]:
    """Return how much each word belongs to each region, and how much of an object is there.

    An object belongs to a region in full when at least half of it is there, and in proportion
    when less is: it must not fade because it stands on a border. Its size does not matter.

    Args:
        scene: What was drawn.
        times: (T,) seconds, rising; T is a multiple of `tubelet`.
        grid: Regions G of a side.
        tubelet: Frames that share a region's words.

    Returns:
        (S, N, words of REGION_WORDS), and (S, N) presence, 0 to 1. The words of places grow
        towards their border and belong to regions with objects only.
    """
    coverage = object_coverage(scene, times, grid).reshape(len(times), -1, grid * grid)
    total = coverage.sum(axis=2, keepdims=True)
    share = np.minimum(2.0 * coverage / np.maximum(total, 1e-6), 1.0)
    words = np.einsum("ton,tof->tnf", share, known_words(scene, times))
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
