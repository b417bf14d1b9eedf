"""Which moments of a video to show a classifier, and which parts of the picture to test on.

Times are either spread over the whole video, one in each equal segment, or lie close together in
a window. Nothing here draws anything but times; `videollm.train.augment` makes training views.

Legend: T frames, H height, W width, S side of the model's input, C crops.
"""

import logging

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from videollm.errors import RequestError
from videollm.sampling_policies import check_clip, part_of, sample_segments
from videollm.transforms import scale_frame
from videollm.video_track import VideoMetadata

__all__ = [
    "check_frames_and_size",
    "dense_times",
    "normalised",
    "scaled",
    "scaled_pictures",
    "test_crops",
]

logger = logging.getLogger(__name__)

CROP_SHARES = {1: (0.5,), 3: (0.0, 0.5, 1.0)}
"""Where the crops of a test lie along the longer side, by their number: 0 the start, 1 the end."""


def dense_times(
    metadata: VideoMetadata,
    num_frames: int,
    stride: int,
    *,
    rng: np.random.Generator | None = None,
    clip: int = 0,
    num_clips: int = 1,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
) -> list[float]:
    """Return the times of a window: `num_frames` frames, every `stride`-th of the video.

    With `rng` the window starts at any frame from which it fits. Without, the starts of the clips
    are spread evenly from the first such frame to the last; a single clip lies in the middle.
    Frames are counted by the mean rate, and a time is the middle of its frame.

    A video or part that is shorter than the window is shown whole instead: the times are
    `sample_segments`' for the same clip, without `rng`, and one line is logged.

    Args:
        metadata: The video.
        num_frames: How many times, at least 1.
        stride: Frames of the video from one time to the next, at least 1.
        rng: Randomness of a training view; None for a test.
        clip: Which of the clips of a test, 0 to num_clips - 1.
        num_clips: Clips of a test, at least 1; 1 with `rng`.
        start_seconds: Where the part begins, in [0, duration); None is the start.
        end_seconds: Where it ends, above the start; None, or beyond the end, is the end.

    Returns:
        Rising times in seconds.

    Raises:
        RequestError: A number is out of its range.
    """
    check_clip(clip, num_clips, rng)
    if stride < 1:
        raise RequestError(f"stride is {stride}; it must be at least 1 frame")
    whole = sample_segments(
        metadata,
        num_frames,
        clip=clip,
        num_clips=num_clips,
        start_seconds=start_seconds,
        end_seconds=end_seconds,
    )
    start, end = part_of(metadata, start_seconds, end_seconds)
    # A frame counts if its middle is in the part, so that rounded rates lose none.
    num_there = int((end - start) * metadata.fps + 0.5)
    last_start = num_there - (num_frames - 1) * stride - 1
    if last_start < 0:
        found = f"need {(num_frames - 1) * stride + 1} frames, {num_there} there"
        logger.info(
            "%s: %d frames every %d %s; spread over all of them",
            *(metadata.source, num_frames, stride, found),
        )
        return whole
    first = _first_frame(last_start, rng, clip, num_clips)
    return [start + (first + place * stride + 0.5) / metadata.fps for place in range(num_frames)]


def _first_frame(
    last_start: int, rng: np.random.Generator | None, clip: int, num_clips: int
) -> int:
    """Return where a window begins, 0 to last_start."""
    if rng is not None:
        return int(rng.integers(last_start + 1))
    return round(last_start * (clip / (num_clips - 1) if num_clips > 1 else 0.5))


def test_crops(frames: Tensor, size: int, num_crops: int) -> Tensor:
    """Return square crops of frames, the same place in all of them, normalised.

    The shorter side becomes S, by antialiased bilinear interpolation; along the longer one lie
    the crops: one in the centre, or three at the start, the centre and the end.

    Args:
        frames: (T, 3, H, W), uint8, RGB, at least one.
        size: S in pixels, at least 1.
        num_crops: C, 1 or 3.

    Returns:
        (C, T, 3, S, S), float32, in [-1, 1].

    Raises:
        RequestError: A shape, the dtype or a number is wrong.
    """
    if num_crops not in CROP_SHARES:
        raise RequestError(f"num_crops is {num_crops}; take 1, the centre, or 3 with both ends")
    check_frames_and_size(frames, size)
    height, width = frames.shape[2:]
    shorter = min(height, width)
    picture = normalised(
        scaled(frames, round(height * size / shorter), round(width * size / shorter))
    )
    room_down, room_right = picture.shape[2] - size, picture.shape[3] - size
    crops = []
    for share in CROP_SHARES[num_crops]:
        top, left = int(room_down * share), int(room_right * share)
        crops.append(picture[:, :, top : top + size, left : left + size])
    return torch.stack(crops)


def scaled(frames: Tensor, height: int, width: int) -> Tensor:
    """Return uint8 frames as values in [0, 1], (T, 3, height, width), float32.

    By antialiased bilinear interpolation, one frame at a time: all at once would leave the
    processor's caches. Frames of the right size keep their values exactly.
    """
    values = torch.empty(len(frames), 3, height, width)
    for place, frame in enumerate(frames):
        values[place] = scale_frame(frame, height, width)
    return values


def scaled_pictures(frames: Tensor, height: int, width: int) -> Tensor:
    """Return uint8 frames scaled as `scaled` does but in whole numbers, (T, 3, height, width).

    At most 1 of 255 beside `scaled`, and five times as fast.
    """
    # In this layout torch has a quick path; in others it fails for single pixels.
    pictures = frames.contiguous(memory_format=torch.channels_last)
    if pictures.shape[2:] == (height, width):
        return pictures
    return functional.interpolate(
        pictures, (height, width), mode="bilinear", antialias=True, align_corners=False
    )


def normalised(values: Tensor) -> Tensor:
    """Return values in [0, 1] moved to [-1, 1], in place: mean 0.5 and standard deviation 0.5."""
    return values.sub_(0.5).div_(0.5)


def check_frames_and_size(frames: Tensor, size: int) -> None:
    """Raise unless frames and the side of the model's input make sense.

    Raises:
        RequestError: Frames are not (T, 3, H, W) and uint8, or `size` is below 1.
    """
    if frames.ndim != 4 or frames.shape[1] != 3 or 0 in frames.shape or frames.dtype != torch.uint8:
        raise RequestError(
            f"frames are {tuple(frames.shape)} {frames.dtype}; give (T, 3, H, W) uint8, not empty"
        )
    if size < 1:
        raise RequestError(f"size is {size}; it must be at least 1 pixel")
