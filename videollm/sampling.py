"""Which moments of a video to look at.

Policies are pure functions from what is known of a video to times in seconds; `load_clip` opens,
chooses and reads in one call. Nothing here looks at pixels.
"""

import logging
import math

from videollm.clip import Clip
from videollm.errors import RequestError
from videollm.video import VideoReader, VideoSource
from videollm.video_track import FrameReader, VideoMetadata

__all__ = ["load_clip", "sample_fps", "sample_uniform"]

logger = logging.getLogger(__name__)

DEFAULT_NUM_FRAMES = 16
DEFAULT_MAX_FRAMES = 64
_PICTURE_CODECS = ("bmp", "gif", "jpeg2000", "mjpeg", "pbm", "pgm", "png", "ppm", "tiff", "webp")


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
    start, end = _window(metadata, start_seconds, end_seconds)
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
    start, end = _window(metadata, start_seconds, end_seconds)
    # The allowance keeps a duration that is a whole number of steps from gaining one by rounding.
    num_frames = (end - start) * fps - 1e-6
    if num_frames > max_frames:
        return sample_uniform(metadata, max_frames, start_seconds=start, end_seconds=end)
    return [start + place / fps for place in range(max(math.ceil(num_frames), 1))]


def load_clip(
    source: VideoSource | FrameReader,
    *,
    num_frames: int = DEFAULT_NUM_FRAMES,
    fps: float | None = None,
    max_frames: int = DEFAULT_MAX_FRAMES,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
    max_side: int | None = None,
) -> Clip:
    """Return a clip of a video: `num_frames` spread evenly, or frames at a rate.

    A picture file is a clip of one frame, whatever was asked for.

    Args:
        source: Anything that `VideoReader.open` takes, or an open reader, which stays open.
        num_frames: Frames of the clip, at least 1; not used where `fps` is given. A video with
            fewer frames repeats some, with equal times.
        fps: Frames per second of video instead of a fixed number.
        max_frames: The most frames with `fps`; a longer video is spread over that many.
        start_seconds: Where to begin, in [0, duration); None is the start.
        end_seconds: Where to end, above the start; None, or beyond the end, is the end.
        max_side: The longer side of the frames in pixels at most; None keeps the video's size.

    Raises:
        VideoError: The source cannot be read as video.
        RequestError: A number is out of its range.
    """
    if not isinstance(source, FrameReader):
        with VideoReader.open(source) as reader:
            return load_clip(
                reader,
                num_frames=num_frames,
                fps=fps,
                max_frames=max_frames,
                start_seconds=start_seconds,
                end_seconds=end_seconds,
                max_side=max_side,
            )
    metadata = source.metadata
    part = {"start_seconds": start_seconds, "end_seconds": end_seconds}
    if fps is None:
        is_picture = metadata.num_frames == 1 and metadata.codec in _PICTURE_CODECS
        times = sample_uniform(metadata, min(num_frames, 1) if is_picture else num_frames, **part)
    else:
        times = sample_fps(metadata, fps, max_frames, **part)
    clip = source.read(times, max_side=max_side)
    num_distinct = len(clip.pts_seconds.unique())
    if num_distinct < len(clip):
        logger.info(
            "%s: %d frames asked, %d distinct ones there; some repeat",
            metadata.source,
            len(clip),
            num_distinct,
        )
    return clip


def _window(
    metadata: VideoMetadata, start_seconds: float | None, end_seconds: float | None
) -> tuple[float, float]:
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


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise RequestError(message)
