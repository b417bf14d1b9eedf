"""Videos of minutes to hours in which almost nothing happens: a haystack, and a few needles.

A video is a row of shots of four seconds before one background. A needle is an object that is on
for one shot; its shape is nobody else's, so it can be asked for however long the video is. Each
shot depends on the video's numbers and its own alone and is drawn when it is looked at, so that a
long video takes no more memory than a short one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from videollm.clip import Clip
from videollm.errors import RequestError
from videollm.toyworld.render import render_frames
from videollm.toyworld.scene import (
    CLIP_SECONDS,
    Scene,
    SceneObject,
    draw_backdrop,
    draw_whole_objects,
)
from videollm.toyworld.splits import SPLITS
from videollm.toyworld.vocabulary import COLOURS, HELD_OUT_PAIRS, SHAPES

__all__ = [
    "HAYSTACKS",
    "MAX_NEEDLES",
    "LongVideo",
    "Needle",
    "make_long_video",
    "place_needles",
]

HAYSTACKS = ("quiet", "busy")
"""What is there beside the needles: nothing at all, or two other objects again and again."""

MAX_NEEDLES = 4

_CHORUS = 2
_NEEDLES_STREAM, _SHOT_STREAM = 0, 1


@dataclass(frozen=True, slots=True)
class Needle:
    """Hold an object and the shot that it is on in.

    Args:
        shot: Number of the shot.
        thing: The object.
    """

    shot: int
    thing: SceneObject

    @property
    def begin_seconds(self) -> float:
        """When it appears."""
        return self.shot * CLIP_SECONDS

    @property
    def end_seconds(self) -> float:
        """When it is gone."""
        return self.begin_seconds + CLIP_SECONDS


@dataclass(frozen=True, slots=True)
class LongVideo:
    """Hold what determines a long video.

    Args:
        haystack: One of `HAYSTACKS`.
        index: Number of the video.
        seed: Seed of the whole world.
        num_shots: Its length in shots.
        needles: In order of time, each in a shot of its own.
        chorus: (colour, shape) pairs of the others; none in a quiet video.
        background: As in `Scene`.
        noise: As in `Scene`.
    """

    haystack: str
    index: int
    seed: int
    num_shots: int
    needles: tuple[Needle, ...]
    chorus: tuple[tuple[str, str], ...]
    background: tuple[tuple[float, float, float], tuple[float, float, float]]
    noise: float

    @property
    def seconds(self) -> float:
        """Length of the video."""
        return self.num_shots * CLIP_SECONDS

    def shot(self, number: int) -> Scene:
        """Return one shot as a scene of its own, whose time begins at 0."""
        needle = next((one.thing for one in self.needles if one.shot == number), None)
        things: tuple[SceneObject, ...] = ()
        if needle is not None:
            things = (needle,)
        elif self.chorus:
            rng = _generator(self.seed, self.index, _SHOT_STREAM, number)
            order = rng.permutation(len(self.chorus))[: 1 + int(rng.integers(len(self.chorus)))]
            things = draw_whole_objects([self.chorus[k] for k in order], rng)
        # The number of a scene decides its noise, which no two shots share.
        return Scene("test_iid", number, self.seed, things, self.background, self.noise)

    def render(self, times: Sequence[float], *, size: int = 64) -> Clip:
        """Draw frames.

        Args:
            times: Rising times in seconds, within the video.
            size: Pixels of a side, at least 16.

        Raises:
            RequestError: `size` is too small.
        """
        shots = [min(int(time // CLIP_SECONDS), self.num_shots - 1) for time in times]
        parts = []
        for number in dict.fromkeys(shots):
            own = [time for time, shot in zip(times, shots, strict=True) if shot == number]
            start = number * CLIP_SECONDS
            clip = render_frames(self.shot(number), size=size, times=[one - start for one in own])
            parts.append((clip.frames, clip.pts_seconds + start))
        frames, seconds = zip(*parts, strict=True)
        return Clip(torch.cat(frames), torch.cat(seconds))

    def stream(self, fps: float, *, size: int = 64, chunk_frames: int = 32) -> Iterator[Clip]:
        """Yield all frames, some at a time, as a camera would, in constant memory.

        Args:
            fps: Frames a second, above 0.
            size: Pixels of a side, at least 16.
            chunk_frames: The most frames in one piece.

        Raises:
            RequestError: `fps` or `size` is too small.
        """
        if not fps > 0:
            raise RequestError(f"fps is {fps}: ask for more than 0 frames a second")
        count = max(1, int(self.seconds * fps))
        for first in range(0, count, chunk_frames):
            numbers = range(first, min(first + chunk_frames, count))
            yield self.render([(number + 0.5) / fps for number in numbers], size=size)


def place_needles(haystack: str, depths: Sequence[float], num_shots: int) -> list[int]:
    """Return the numbers of the shots that needles are on in.

    Args:
        haystack: One of `HAYSTACKS`.
        depths: Rising from 0 (the first shot) to 1 (the last).
        num_shots: Shots of the video.

    Raises:
        RequestError: The haystack is unknown, or the needles find no place.
    """
    if haystack not in HAYSTACKS:
        raise RequestError(f"there is no haystack {haystack!r}: choose {' or '.join(HAYSTACKS)}")
    shots = [round(depth * (num_shots - 1)) for depth in depths]
    is_rising = all(one < other for one, other in pairwise([-1, *shots, num_shots]))
    if not 0 < len(shots) <= MAX_NEEDLES or not is_rising:
        raise RequestError(
            f"{len(shots)} needles at depths {', '.join(f'{depth:g}' for depth in depths)} find no "
            f"place in {num_shots} shots: give 1 to {MAX_NEEDLES} rising depths from 0 to 1"
        )
    return shots


def make_long_video(
    haystack: str, index: int, seed: int, *, minutes: float, depths: Sequence[float]
) -> LongVideo:
    """Return a long video; the same arguments give the same one.

    Args:
        haystack: One of `HAYSTACKS`.
        index: Its number, at least 0.
        seed: Seed of the whole world, at least 0.
        minutes: Its length, of at least one shot for each needle.
        depths: Where the needles are, rising from 0 (the first shot) to 1 (the last).

    Raises:
        RequestError: The haystack is unknown, a number is negative, or the needles find no place.
    """
    num_shots = round(60 * minutes / CLIP_SECONDS)
    shots = place_needles(haystack, depths, num_shots)
    if index < 0 or seed < 0:
        raise RequestError(f"index {index} and seed {seed} must both be at least 0")
    rng = _generator(seed, index, _NEEDLES_STREAM, 0)
    background, noise = draw_backdrop(rng)
    chorus, pairs = _draw_pairs(len(shots), rng)
    needles = [
        Needle(shot, draw_whole_objects([pair], rng)[0])
        for shot, pair in zip(shots, pairs, strict=True)
    ]
    return LongVideo(
        haystack,
        index,
        seed,
        num_shots,
        tuple(needles),
        tuple(chorus) if haystack == "busy" else (),
        background,
        noise,
    )


def _draw_pairs(
    num_needles: int, rng: np.random.Generator
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the pairs of the chorus and of the needles.

    All shapes are different. The needles have none of the chorus's colours and are of two colours
    at most, so that there is something to count.
    """
    while True:
        shapes = [SHAPES[k] for k in rng.permutation(len(SHAPES))]
        colours = [list(COLOURS)[k] for k in rng.permutation(len(COLOURS))]
        own = colours[_CHORUS : _CHORUS + 2]
        chosen = [own[0], *(own[int(rng.integers(2))] for _ in range(num_needles - 1))]
        chorus = list(zip(colours[:_CHORUS], shapes[:_CHORUS], strict=True))
        needles = list(zip(chosen, shapes[_CHORUS : _CHORUS + num_needles], strict=True))
        if not set(HELD_OUT_PAIRS) & {*chorus, *needles}:
            return chorus, needles


def _generator(seed: int, index: int, stream: int, number: int) -> np.random.Generator:
    # One more number than a split has, so that no scene of one is drawn with the same.
    entropy = (seed, len(SPLITS), index, stream, number)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
