"""Pictures of scenes, and dense labels for training made from the same masks.

A frame depends on the scene and its own time only: asked alone or among others, it is the same,
bit for bit. So a video of an hour can be drawn frame by frame.

Legend: T times, O objects, S pixels of a side, G cells of a side, F features, P patch side.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from videollm.clip import Clip
from videollm.errors import RequestError
from videollm.shapeworld.backdrops import Singles, paint_backdrop, shakes
from videollm.shapeworld.scene import Floats, Scene, SceneObject
from videollm.shapeworld.shapes import REACH, coverage
from videollm.toyworld.noise import moment_noise

__all__ = [
    "object_coverage",
    "object_positions",
    "object_presence",
    "render_frames",
    "stream_frames",
    "uniform_times",
]

_MASK_SIDE = 64


class _Patch(NamedTuple):
    """The part of one frame that one object may touch."""

    frame: int
    rows: slice
    columns: slice
    alpha: Singles
    """(P, P), share of each pixel that the object covers, 0..1."""


def uniform_times(scene: Scene, num_frames: int) -> Floats:
    """Return the centres (num_frames,) of equal segments of a clip, in seconds.

    Raises:
        RequestError: `num_frames` is less than 1.
    """
    if num_frames < 1:
        raise RequestError(f"num_frames is {num_frames}: ask for at least 1")
    edges = np.linspace(0.0, scene.seconds, num_frames + 1)
    return (edges[:-1] + edges[1:]) / 2


def render_frames(
    scene: Scene,
    *,
    size: int = 64,
    num_frames: int = 16,
    times: Sequence[float] | Floats | None = None,
) -> Clip:
    """Draw frames of a scene.

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
    at = uniform_times(scene, num_frames) if times is None else np.asarray(times, dtype=np.float64)
    canvas = np.empty((len(at), 3, size, size), dtype=np.float32)
    for number, frames in _by_shot(scene, at):
        drop = scene.shots[number].backdrop
        part = at[frames]
        picture = canvas[frames]
        picture[:] = paint_backdrop(drop, part, size)
        moved = shakes(drop, part)
        for thing in scene.shot_objects(number):
            colours = thing.colours(part)[:, :, None, None]
            for patch in _patches(thing, part, moved, size):
                under = picture[patch.frame, :, patch.rows, patch.columns]
                under += patch.alpha * (colours[patch.frame] - under)
        if drop.noise:
            for frame, seconds in zip(picture, part, strict=True):
                frame += drop.noise * moment_noise(float(seconds), scene.index, scene.seed, size)
    canvas += 0.5
    pixels = canvas.clip(0.0, 255.0, out=canvas).astype(np.uint8)
    return Clip(torch.from_numpy(pixels), torch.from_numpy(at.copy()))


def stream_frames(scene: Scene, *, fps: float, size: int = 64) -> Iterator[Clip]:
    """Yield the frames of a scene one by one, as a camera would, in constant memory.

    Args:
        scene: What to draw, of any length.
        fps: Frames a second, above 0.
        size: Pixels of a side, at least 16.

    Raises:
        RequestError: `fps` or `size` is too small.
    """
    if fps <= 0:
        raise RequestError(f"fps is {fps}: ask for more than 0 frames a second")
    for number in range(max(1, int(scene.seconds * fps))):
        yield render_frames(scene, size=size, times=[(number + 0.5) / fps])


def object_coverage(scene: Scene, times: Sequence[float] | Floats, grid: int) -> Singles:
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
    side, cell = _MASK_SIDE, _MASK_SIDE // grid
    covered = np.zeros((len(at), len(scene.objects), grid, grid), dtype=np.float32)
    for number, frames in _by_shot(scene, at):
        things = scene.shot_objects(number)
        part = at[frames]
        masks = np.zeros((len(part), len(things), side, side), dtype=np.float32)
        moved = shakes(scene.shots[number].backdrop, part)
        for place, thing in enumerate(things):
            for patch in _patches(thing, part, moved, side):
                below = masks[patch.frame, :place, patch.rows, patch.columns]
                below *= 1 - patch.alpha
                masks[patch.frame, place, patch.rows, patch.columns] = patch.alpha
        cells = masks.reshape(len(part), len(things), grid, cell, grid, cell).mean(axis=(3, 5))
        for place, thing in enumerate(things):
            covered[frames, thing.number] = cells[:, place]
    return covered


def object_presence(scene: Scene, times: Sequence[float] | Floats) -> NDArray[np.bool_]:
    """Return (T, O) bool: which object is in the frame at which time of `times` (T,)."""
    at = np.asarray(times, dtype=np.float64)
    return np.stack([thing.present(at) for thing in scene.objects], axis=1)


def object_positions(scene: Scene, times: Sequence[float] | Floats) -> Singles:
    """Return (T, O, 2): x (to the right) and y (down) of the centres, in frame sides."""
    at = np.asarray(times, dtype=np.float64)
    places = np.stack([thing.positions(at) for thing in scene.objects], axis=1)
    return places.astype(np.float32)


def _by_shot(scene: Scene, times: Floats) -> Iterator[tuple[int, slice]]:
    """Yield the number of each shot that is on at any of the rising times, and which ones."""
    numbers = scene.shot_numbers(times)
    for number in np.unique(numbers).tolist():
        first, last = np.searchsorted(numbers, [number, number + 1])
        yield number, slice(int(first), int(last))


def _patches(thing: SceneObject, times: Floats, moved: Floats, size: int) -> Iterator[_Patch]:
    """Yield the patch of an object in each frame in which a part of it can be seen."""
    reach = REACH[thing.shape] * max(thing.radius.values) * size
    centres = (thing.positions(times) + moved) * size
    inside = (centres > -reach - 1).all(axis=1) & (centres < size + reach + 1).all(axis=1)
    frames = np.flatnonzero(inside)
    side = min(size, int(np.ceil(2 * reach)) + 3)
    centres = centres[frames]
    corners = np.clip(np.floor(centres - side / 2), 0, size - side).astype(np.intp)
    offsets = ((corners - centres)[:, :, None] + (np.arange(side) + 0.5)).astype(np.float32)
    x, y = offsets[:, 0, None, :], offsets[:, 1, :, None]
    if len(thing.angle.values) > 1:
        angles = thing.angle.at(times[frames]).astype(np.float32)[:, None, None]
        cos, sin = np.cos(angles), np.sin(angles)
        x, y = x * cos + y * sin, y * cos - x * sin
    radii = (thing.radius.at(times[frames]) * size).astype(np.float32)[:, None, None]
    alphas = coverage(thing.shape, thing.fill, x, y, radii)
    for frame, (left, top), alpha in zip(frames.tolist(), corners.tolist(), alphas, strict=True):
        yield _Patch(frame, slice(top, top + side), slice(left, left + side), alpha)
