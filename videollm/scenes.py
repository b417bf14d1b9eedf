"""Where a video cuts from one scene to another, found in one pass over small pictures.

A cut shows as a difference between two neighbouring pictures that stands out from the differences
around it; what moves, or lights up slowly, does not stand out. Memory holds a few small pictures
and one number for each picture looked at, however long the video is.

Legend: T pictures, H height, W width.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from videollm.video_track import FrameReader

__all__ = ["Cut", "cuts_of", "find_cuts"]

LOOKS_PER_SECOND = 25.0
"""How often the video is looked at: every frame of most, as what moves then differs the least."""

SIDE_PIXELS = 32
CHUNK_PICTURES = 64
NUM_NEIGHBOURS = 4
"""Differences on each side that a cut is held against."""

MIN_CONTRAST = 0.1
"""How far a cut stands out from its neighbourhood, of the full range of levels."""

MIN_RATIO = 3.0
"""How many times larger than its neighbourhood a cut is."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Hold a change of scene.

    Args:
        seconds: When the first picture of the new scene begins.
        strength: How far the cut stands out, in (0, 1].
    """

    seconds: float
    strength: float


def find_cuts(reader: FrameReader, start_seconds: float, end_seconds: float) -> list[Cut]:
    """Return the cuts of a part of a video, in order of time.

    The part is decoded once, from its beginning to its end.

    Args:
        reader: Open; it is read.
        start_seconds: Where the part begins.
        end_seconds: Where it ends, above the start.

    Raises:
        VideoError: The video is damaged on the way.
    """
    seconds: list[float] = []
    differences: list[float] = []
    for pts_seconds, difference in _differences(reader, start_seconds, end_seconds):
        seconds.append(pts_seconds)
        differences.append(difference)
    return cuts_of(seconds, differences)


def cuts_of(seconds: Sequence[float], differences: Sequence[float]) -> list[Cut]:
    """Return the cuts that a row of differences shows.

    Args:
        seconds: Rising times of pictures.
        differences: Mean difference of each to the picture before it, in [0, 1]; as many.
    """
    cuts = []
    for place, difference in enumerate(differences):
        first = max(place - NUM_NEIGHBOURS, 0)
        before = differences[first:place]
        after = differences[place + 1 : place + 1 + NUM_NEIGHBOURS]
        around = sorted([*before, *after])
        usual = around[len(around) // 2] if around else 0.0
        stands_out = difference - usual >= MIN_CONTRAST and difference >= MIN_RATIO * usual
        is_peak = difference > max(before[-1:], default=0.0) and difference >= max(
            after[:1], default=0.0
        )
        if stands_out and is_peak:
            cuts.append(Cut(seconds[place], difference - usual))
    return cuts


def _differences(
    reader: FrameReader, start_seconds: float, end_seconds: float
) -> Iterator[tuple[float, float]]:
    """Yield the time of each picture after the first, and how far it is from the one before."""
    num_looks = max(math.ceil((end_seconds - start_seconds) * LOOKS_PER_SECOND - 1e-6), 1)
    last: torch.Tensor | None = None
    for first in range(0, num_looks, CHUNK_PICTURES):
        numbers = range(first, min(first + CHUNK_PICTURES, num_looks))
        times = [start_seconds + number / LOOKS_PER_SECOND for number in numbers]
        clip = reader.read(times, max_side=SIDE_PIXELS)
        pictures = clip.frames.float() / 255
        joined = pictures if last is None else torch.cat([last, pictures])
        steps = (joined[1:] - joined[:-1]).abs().mean(dim=(1, 2, 3)).tolist()
        seconds = clip.pts_seconds.tolist()
        yield from zip(seconds[len(seconds) - len(steps) :], steps, strict=True)
        last = pictures[-1:]
