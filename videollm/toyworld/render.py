"""Pictures of scenes, and dense labels for training made from the same masks.

Every object is drawn as an antialiased patch from its signed distance. A frame depends on the
scene and its own time only: asked alone or among others, it is the same, bit for bit.

Legend: T times, O objects, S pixels of a side, G cells of a side, F features, P patch side.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from videollm.clip import Clip
from videollm.errors import RequestError
from videollm.toyworld.noise import moment_noise
from videollm.toyworld.scene import CLIP_SECONDS, Scene, SceneObject
from videollm.toyworld.shapes import EXTENTS, signed_distance
from videollm.toyworld.vocabulary import COLOURS, FEATURE_WORDS

__all__ = [
    "object_coverage",
    "object_features",
    "object_positions",
    "object_presence",
    "region_labels",
    "render_frames",
    "uniform_times",
]

Singles = NDArray[np.float32]

_MASK_SIDE = 64


class _Patch(NamedTuple):
    """The part of one frame that one object may touch."""

    frame: int
    rows: slice
    columns: slice
    alpha: Singles
    """(P, P), share of each pixel that the object covers, 0..1."""


def uniform_times(num_frames: int) -> NDArray[np.float64]:
    """Return the centres (num_frames,) of equal segments of a clip, in seconds.

    Raises:
        RequestError: `num_frames` is less than 1.
    """
    if num_frames < 1:
        raise RequestError(f"num_frames is {num_frames}: ask for at least 1")
    edges = np.linspace(0.0, CLIP_SECONDS, num_frames + 1)
    return (edges[:-1] + edges[1:]) / 2


def render_frames(
    scene: Scene,
    *,
    size: int = 64,
    num_frames: int = 16,
    times: Sequence[float] | NDArray[np.float64] | None = None,
) -> Clip:
    """Draw the frames of a scene.

    Args:
        scene: What to draw.
        size: S, pixels of a side, at least 16.
        num_frames: T where no times are given: the centres of T equal segments.
        times: Rising times in seconds; they win over `num_frames`.

    Returns:
        T frames (T, 3, S, S) with their times.

    Raises:
        RequestError: `size` or `num_frames` is too small.
    """
    if size < 16:
        raise RequestError(f"size is {size}: shapes need frames of at least 16 pixels a side")
    at = uniform_times(num_frames) if times is None else np.asarray(times, dtype=np.float64)
    canvas = np.empty((len(at), 3, size, size), dtype=np.float32)
    canvas[:] = _backdrop(scene, size)
    for thing in scene.objects:
        colour = np.array(COLOURS[thing.colour], dtype=np.float32)[:, None, None]
        for patch in _patches(thing, at, size):
            under = canvas[patch.frame, :, patch.rows, patch.columns]
            under += patch.alpha * (colour - under)
    if scene.noise:
        for frame, seconds in zip(canvas, at, strict=True):
            frame += scene.noise * moment_noise(float(seconds), scene.index, scene.seed, size)
    canvas += 0.5
    pixels = canvas.clip(0.0, 255.0, out=canvas).astype(np.uint8)
    return Clip(torch.from_numpy(pixels), torch.from_numpy(at.copy()))


def object_coverage(
    scene: Scene, times: Sequence[float] | NDArray[np.float64], grid: int
) -> Singles:
    """Return how much of each cell each object covers, as seen: hidden parts do not count.

    Args:
        scene: The scene.
        times: (T,) seconds.
        grid: G, cells of a side; a divisor of 64.

    Returns:
        (T, O, G, G), 0..1; the objects' shares of a cell and the background's add up to 1.

    Raises:
        RequestError: 64 is not a multiple of `grid`.
    """
    if grid < 1 or _MASK_SIDE % grid:
        raise RequestError(f"grid is {grid}: choose a divisor of {_MASK_SIDE}")
    at = np.asarray(times, dtype=np.float64)
    side = _MASK_SIDE
    masks = np.zeros((len(at), len(scene.objects), side, side), dtype=np.float32)
    for number, thing in enumerate(scene.objects):
        for patch in _patches(thing, at, side):
            below = masks[patch.frame, :number, patch.rows, patch.columns]
            below *= 1 - patch.alpha
            masks[patch.frame, number, patch.rows, patch.columns] = patch.alpha
    cell = side // grid
    return masks.reshape(*masks.shape[:2], grid, cell, grid, cell).mean(axis=(3, 5))


def object_presence(
    scene: Scene, times: Sequence[float] | NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return (T, O) bool: which object is there at which time of `times` (T,) in seconds."""
    at = np.asarray(times, dtype=np.float64)
    return np.stack([thing.present(at) for thing in scene.objects], axis=1)


def object_positions(scene: Scene, times: Sequence[float] | NDArray[np.float64]) -> Singles:
    """Return (T, O, 2): x (to the right) and y (down) of the centres, in frame sides, 0..1.

    Where an object is absent it has the nearest place that it had; see `object_presence`.
    """
    at = np.asarray(times, dtype=np.float64)
    places = np.stack([thing.positions(at) for thing in scene.objects], axis=1)
    return places.astype(np.float32)


def object_features(scene: Scene, times: Sequence[float] | NDArray[np.float64]) -> Singles:
    """Return (T, O, F): 1 for each word of `FEATURE_WORDS` that is true of an object, else 0.

    Words describe the whole life of an object (its motion is not what it does at that instant);
    while it is absent all its features are 0.
    """
    words = np.zeros((len(scene.objects), len(FEATURE_WORDS)), dtype=np.float32)
    for row, thing in zip(words, scene.objects, strict=True):
        for word in (thing.colour, thing.shape, thing.size, thing.motion):
            row[FEATURE_WORDS.index(word)] = 1
    return object_presence(scene, times)[:, :, None] * words


def region_labels(scene: Scene, times: Sequence[float] | NDArray[np.float64], grid: int) -> Singles:
    """Return (T, G, G, F): share of each cell for which each word of `FEATURE_WORDS` is true."""
    coverage, features = object_coverage(scene, times, grid), object_features(scene, times)
    flat = coverage.reshape(*coverage.shape[:2], grid * grid)
    labels = flat.transpose(0, 2, 1) @ features
    return labels.reshape(len(labels), grid, grid, -1)


def _backdrop(scene: Scene, size: int) -> Singles:
    """Return (3, S, 1), the background's gradient from top to bottom."""
    top, bottom = np.array(scene.background, dtype=np.float32)[:, :, None, None]
    down = ((np.arange(size, dtype=np.float32) + 0.5) / np.float32(size))[:, None]
    return top + (bottom - top) * down


def _patches(thing: SceneObject, times: NDArray[np.float64], size: int) -> Iterator[_Patch]:
    """Yield the patch of an object in each frame in which it is present."""
    frames = np.flatnonzero(thing.present(times))
    radius = thing.radius * size
    side = min(size, int(np.ceil(2 * EXTENTS[thing.shape] * radius)) + 3)
    centres = thing.positions(times[frames]) * size
    corners = np.clip(np.floor(centres - side / 2), 0, size - side).astype(np.intp)
    steps = np.arange(side) + 0.5
    offsets = (corners - centres)[:, :, None] + steps
    x, y = offsets[:, 0, None, :].astype(np.float32), offsets[:, 1, :, None].astype(np.float32)
    alphas = (0.5 - signed_distance(thing.shape, x, y, radius)).clip(0.0, 1.0)
    for frame, (left, top), alpha in zip(frames.tolist(), corners.tolist(), alphas, strict=True):
        yield _Patch(frame, slice(top, top + side), slice(left, left + side), alpha)
