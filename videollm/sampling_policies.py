"""Which moments of a video to look at: pure functions from what is known of it to seconds.

    uniform     the centres of equal parts
    fps         a steady rate
    keyframes   where decoding can begin, which the packets or the index of the file tell
    scenes      every scene, between the cuts that `videollm.scenes` finds
    segments    anywhere in each of equal parts, for training

The same video and arguments, and the same state of `rng`, give the same times in every process.
Nothing here looks at pixels; `videollm.sampling.load_clip` opens, chooses and reads in one call.
"""

import math
from collections.abc import Sequence

import numpy as np

from videollm.errors import RequestError
from videollm.scenes import Cut
from videollm.video_track import VideoMetadata

__all__ = [
    "check_clip",
    "part_of",
    "sample_fps",
    "sample_keyframes",
    "sample_scenes",
    "sample_segments",
    "sample_uniform",
]


def sample_uniform(
    metadata: VideoMetadata,
    num_frames: int,
    *,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
) -> list[float]:
    """Return the centres of equal segments of a video, or of a part of it.

    There are always `num_frames` times. A video with fewer frames than that shows some of them
    more than once, with equal times in the clip; with as many or more at a steady rate, none.

    Args:
        metadata: The video.
        num_frames: How many times, at least 1.
        start_seconds: Where the part begins, in [0, duration); None is the start.
        end_seconds: Where it ends, above the start; None, or beyond the end, is the end.

    Returns:
        Rising times in seconds.

    Raises:
        RequestError: A number is out of its range.
    """
    _require(num_frames >= 1, f"num_frames is {num_frames}; ask for at least 1 frame")
    start, end = part_of(metadata, start_seconds, end_seconds)
    return [start + (place + 0.5) * (end - start) / num_frames for place in range(num_frames)]


def sample_fps(
    metadata: VideoMetadata,
    fps: float,
    max_frames: int,
    *,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
) -> list[float]:
    """Return times at a steady rate, start + k / fps, for as long as the video or a part lasts.

    Where that would be more than `max_frames`, the rate gives way and not the end: the times are
    then `sample_uniform`'s with `max_frames`.

    Args:
        metadata: The video.
        fps: Frames per second, above 0; above the video's own rate, frames repeat.
        max_frames: The most times to return, at least 1.
        start_seconds: Where the part begins, in [0, duration); None is the start.
        end_seconds: Where it ends, above the start; None, or beyond the end, is the end.

    Returns:
        Rising times in seconds, at least one.

    Raises:
        RequestError: A number is out of its range.
    """
    _require(math.isfinite(fps) and fps > 0, f"fps is {fps}; ask for more than 0 a second")
    _require(max_frames >= 1, f"max_frames is {max_frames}; allow at least 1 frame")
    start, end = part_of(metadata, start_seconds, end_seconds)
    # The allowance keeps a duration that is a whole number of steps from gaining one by rounding.
    num_frames = (end - start) * fps - 1e-6
    if num_frames > max_frames:
        return sample_uniform(metadata, max_frames, start_seconds=start, end_seconds=end)
    return [start + place / fps for place in range(max(math.ceil(num_frames), 1))]


def sample_keyframes(
    metadata: VideoMetadata,
    max_frames: int,
    *,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
) -> list[float]:
    """Return when the keyframes of a video begin, or of a part of it; they are the quickest to get.

    Where there are more than `max_frames`, they are thinned evenly.

    Args:
        metadata: The video; it knows its keyframes.
        max_frames: The most times to return, at least 1.
        start_seconds: Where the part begins, in [0, duration); None is the start.
        end_seconds: Where it ends, above the start; None, or beyond the end, is the end.

    Returns:
        Rising times in seconds, at least one, none twice.

    Raises:
        RequestError: A number is out of its range, there is no keyframe in the part, or it is not
            known where they are.
    """
    _require(max_frames >= 1, f"max_frames is {max_frames}; allow at least 1 frame")
    start, end = part_of(metadata, start_seconds, end_seconds)
    keys = [seconds for seconds in metadata.keyframe_seconds if start <= seconds < end]
    known = "it is not known where the keyframes of this file are"
    if metadata.keyframe_seconds:
        known = f"there is no keyframe from {start:.2f} to {end:.2f} s"
    _require(bool(keys), f"{metadata.source}: {known}; choose uniform, or another part")
    num_frames = min(max_frames, len(keys))
    return [keys[(2 * place + 1) * len(keys) // (2 * num_frames)] for place in range(num_frames)]


def sample_scenes(
    metadata: VideoMetadata,
    cuts: Sequence[Cut],
    num_frames: int,
    *,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
) -> list[float]:
    """Return times that show every scene of a video, or of a part of it, once at least.

    A scene lasts from a cut to the next. Each gets the centre, and where there are more frames
    than scenes, the one with the most time for each of its frames gets the next; the frames of a
    scene are the centres of its equal parts. With more scenes than frames the strongest cuts
    count. Without cuts the times are those of `sample_uniform`.

    Args:
        metadata: The video.
        cuts: As `videollm.scenes.find_cuts` returns them; those outside the part do not count.
        num_frames: How many times, at least 1.
        start_seconds: Where the part begins, in [0, duration); None is the start.
        end_seconds: Where it ends, above the start; None, or beyond the end, is the end.

    Returns:
        Rising times in seconds.

    Raises:
        RequestError: A number is out of its range.
    """
    _require(num_frames >= 1, f"num_frames is {num_frames}; ask for at least 1 frame")
    start, end = part_of(metadata, start_seconds, end_seconds)
    inside = [cut for cut in cuts if start < cut.seconds < end]
    strongest = sorted(inside, key=lambda cut: (-cut.strength, cut.seconds))[: num_frames - 1]
    edges = [start, *sorted({cut.seconds for cut in strongest}), end]
    lengths = [after - before for before, after in zip(edges, edges[1:], strict=False)]
    shares = [1] * len(lengths)
    while sum(shares) < num_frames:
        longest = max(range(len(shares)), key=lambda scene: lengths[scene] / shares[scene])
        shares[longest] += 1
    return [
        before + (place + 0.5) * length / share
        for before, length, share in zip(edges, lengths, shares, strict=False)
        for place in range(share)
    ]


def sample_segments(
    metadata: VideoMetadata,
    num_frames: int,
    *,
    rng: np.random.Generator | None = None,
    clip: int = 0,
    num_clips: int = 1,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
) -> list[float]:
    """Return one time in each of `num_frames` equal segments of a video, or of a part of it.

    With `rng` each time is anywhere in its segment. Without, it is at (clip + 1/2) / num_clips of
    it: the clips interleave evenly, and a single one has the centres. A video with fewer frames
    than segments shows some of them more than once.

    Args:
        metadata: The video.
        num_frames: How many times, at least 1.
        rng: Randomness of a training view; None for a test.
        clip: Which of the clips of a test, 0 to num_clips - 1.
        num_clips: Clips of a test, at least 1; 1 with `rng`.
        start_seconds: Where the part begins, in [0, duration); None is the start.
        end_seconds: Where it ends, above the start; None, or beyond the end, is the end.

    Returns:
        Rising times in seconds.

    Raises:
        RequestError: A number is out of its range.

    Source: sparse sampling of Temporal Segment Networks, arXiv 1608.00859, section 3.1.
    """
    check_clip(clip, num_clips, rng)
    centres = sample_uniform(
        metadata, num_frames, start_seconds=start_seconds, end_seconds=end_seconds
    )
    start, end = part_of(metadata, start_seconds, end_seconds)
    if rng is None:
        places = np.full(num_frames, (clip + 0.5) / num_clips)
    else:
        places = rng.random(num_frames)
    shifts = (places - 0.5) * ((end - start) / num_frames)
    return [centre + float(shift) for centre, shift in zip(centres, shifts, strict=True)]


def part_of(
    metadata: VideoMetadata, start_seconds: float | None = None, end_seconds: float | None = None
) -> tuple[float, float]:
    """Return where a part of a video begins and ends, in seconds.

    Args:
        metadata: The video.
        start_seconds: In [0, duration); None is the start.
        end_seconds: Above the start; None, or beyond the end, is the end.

    Raises:
        RequestError: A number is out of its range.
    """
    duration = metadata.duration_seconds
    start = 0.0 if start_seconds is None else start_seconds
    end = duration if end_seconds is None else min(end_seconds, duration)
    _require(
        0 <= start < duration,
        f"start_seconds is {start}; {metadata.source} lasts from 0 to {duration:.2f} s",
    )
    _require(
        start < end,
        f"end_seconds is {end_seconds}; it must come after start_seconds, which is {start}",
    )
    return start, end


def check_clip(clip: int, num_clips: int, rng: np.random.Generator | None) -> None:
    """Refuse a choice of clips that makes no sense.

    Args:
        clip: Which of the clips of a test.
        num_clips: How many there are.
        rng: Randomness of a training view, or None.

    Raises:
        RequestError: There is no such clip, or one of several is to be random.
    """
    if not 0 <= clip < num_clips:
        raise RequestError(f"clip is {clip} of num_clips {num_clips}; clips are 0 to num_clips - 1")
    if rng is not None and num_clips > 1:
        raise RequestError(
            f"num_clips is {num_clips} together with rng; a random view is not one of several: "
            "leave one of the two out"
        )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise RequestError(message)
