"""Clips of videos: open, choose the moments, read.

The policies themselves are in `videollm.sampling_policies`; here is which of them is meant.
"""

import logging
import math
from contextlib import nullcontext
from typing import Literal

from videollm.clip import Clip
from videollm.errors import RequestError
from videollm.sampling_policies import (
    part_of,
    sample_fps,
    sample_keyframes,
    sample_scenes,
    sample_uniform,
)
from videollm.scenes import find_cuts
from videollm.video import VideoReader, VideoSource
from videollm.video_track import FrameReader

__all__ = ["POLICIES", "Policy", "choose_policy", "choose_times", "load_clip"]

logger = logging.getLogger(__name__)

Policy = Literal["uniform", "fps", "keyframes", "scenes"]
POLICIES: tuple[Policy, ...] = ("uniform", "fps", "keyframes", "scenes")

DEFAULT_NUM_FRAMES = 16
DEFAULT_MAX_FRAMES = 64
_PICTURE_CODECS = ("bmp", "gif", "jpeg2000", "mjpeg", "pbm", "pgm", "png", "ppm", "tiff", "webp")


def load_clip(
    source: VideoSource | FrameReader,
    *,
    sampling: Policy | None = None,
    num_frames: int = DEFAULT_NUM_FRAMES,
    fps: float | None = None,
    max_frames: int = DEFAULT_MAX_FRAMES,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
    max_side: int | None = None,
) -> Clip:
    """Return a clip of a video: `num_frames` spread evenly, or as another policy chooses.

    A picture file is a clip of one frame, whatever was asked for.

    Args:
        source: Anything that `VideoReader.open` takes, or an open reader, which stays open.
        sampling: The policy; None is `fps` where `fps` is given, else `uniform`. For `scenes` the
            video is decoded twice.
        num_frames: Frames of the clip, at least 1; the most of them with `keyframes`, and not used
            with `fps`. A video with fewer frames repeats some, with equal times.
        fps: Frames per second of video instead of a fixed number.
        max_frames: The most frames with `fps`; a longer video is spread over that many.
        start_seconds: Where to begin, in [0, duration); None is the start.
        end_seconds: Where to end, above the start; None, or beyond the end, is the end.
        max_side: The longer side of the frames in pixels at most; None keeps the video's size.

    Raises:
        VideoError: The source cannot be read as video.
        RequestError: A number is out of its range, or does not go with the policy.
    """
    with nullcontext(source) if isinstance(source, FrameReader) else VideoReader.open(source) as it:
        metadata = it.metadata
        is_picture = metadata.num_frames == 1 and metadata.codec in _PICTURE_CODECS
        times = choose_times(
            it,
            sampling=sampling,
            num_frames=min(num_frames, 1) if is_picture else num_frames,
            fps=fps,
            max_frames=max_frames,
            start_seconds=start_seconds,
            end_seconds=end_seconds,
        )
        clip = it.read(times, max_side=max_side)
    num_distinct = len(clip.pts_seconds.unique())
    if num_distinct < len(clip):
        logger.info(
            "%s: %d frames asked, %d distinct ones there; some repeat",
            it.metadata.source,
            len(clip),
            num_distinct,
        )
    return clip


def choose_times(
    reader: FrameReader,
    *,
    sampling: str | None = None,
    num_frames: int = DEFAULT_NUM_FRAMES,
    fps: float | None = None,
    max_frames: int = DEFAULT_MAX_FRAMES,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
) -> list[float]:
    """Return the times that a policy chooses in an open video, rising, in seconds.

    Args:
        reader: The video; read through for `scenes`, else only its metadata is looked at.
        sampling: As `load_clip` takes it, and so are the others.
        num_frames: Likewise.
        fps: Likewise.
        max_frames: Likewise.
        start_seconds: Likewise.
        end_seconds: Likewise.

    Raises:
        LiveSourceError: The source is live.
        VideoError: The video is damaged on the way, with `scenes`.
        RequestError: A number is out of its range, or does not go with the policy.
    """
    policy = choose_policy(sampling, fps)
    metadata = reader.metadata
    if not math.isfinite(metadata.duration_seconds):
        reader.read([0.0])  # says what a live source has instead
    part = {"start_seconds": start_seconds, "end_seconds": end_seconds}
    if policy == "fps":
        assert fps is not None, "the policy needs it"
        return sample_fps(metadata, fps, max_frames, **part)
    if policy == "keyframes":
        return sample_keyframes(metadata, num_frames, **part)
    if policy == "scenes":
        cuts = find_cuts(reader, *part_of(metadata, **part))
        return sample_scenes(metadata, cuts, num_frames, **part)
    return sample_uniform(metadata, num_frames, **part)


def choose_policy(sampling: str | None, fps: float | None) -> Policy:
    """Return the policy that is meant.

    Args:
        sampling: Its name, or None.
        fps: Frames per second, or None.

    Raises:
        RequestError: There is no such policy, or `fps` does not go with it.
    """
    if sampling is None:
        return "uniform" if fps is None else "fps"
    policy = next((name for name in POLICIES if name == sampling), None)
    if policy is None:
        raise RequestError(f"sampling is {sampling!r}; choose {', '.join(POLICIES)}")
    if policy == "fps" and fps is None:
        raise RequestError("sampling is 'fps' and fps is not given: say how many a second")
    if policy != "fps" and fps is not None:
        raise RequestError(f"fps is {fps} with sampling {policy!r}: leave one of them out")
    return policy
