"""The frames that the model is given, as small pictures with their times.

Decodes through `videollm.video_cache` exactly as `VideoLLM` does for a file, so what the page shows
is what the model saw. Keeps no full-size frame itself.
"""

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from videollm.clip import Clip
from videollm.errors import VideoError, VideoLLMError
from videollm.video_cache import ClipCache

__all__ = ["FrameStrip", "explain", "make_strip", "see_frames"]

PICTURE_HEIGHT = 96
"""Height of a picture in pixels; its width follows the video's shape."""


@dataclass(frozen=True)
class FrameStrip:
    """Hold the sampled frames as small pictures.

    Args:
        seconds: One time per frame, from the start of the video, never falling.
        pictures: One JPEG file per frame.
    """

    seconds: tuple[float, ...]
    pictures: tuple[bytes, ...]


def see_frames(video: Path, num_frames: int, clips: ClipCache) -> tuple[FrameStrip, Clip]:
    """Return the frames that a question looks at.

    Args:
        video: The file.
        num_frames: Frames to sample evenly, at least 1.
        clips: Decodes them, or has them from the question before.

    Returns:
        The strip for the page and the clip for the model.

    Raises:
        VideoError: The file cannot be read as video.
    """
    clip = clips.load_clip(video, num_frames=num_frames)
    return make_strip(clip), clip


def make_strip(clip: Clip) -> FrameStrip:
    """Shrink the frames of a clip to a strip of pictures.

    Args:
        clip: The frames; at least one.

    Returns:
        One picture and one time per frame.
    """
    pictures = tuple(_encode_picture(frame) for frame in clip.frames)
    return FrameStrip(tuple(clip.pts_seconds.tolist()), pictures)


def explain(error: VideoLLMError) -> str:
    """Return the sentence of an error for someone who uploaded a file and knows only its name.

    Args:
        error: What was raised; the folder of a video is left out, it is the server's business.
    """
    if isinstance(error, VideoError):
        return f"{Path(str(error.source)).name}: {error.finding}; {error.remedy}"
    return str(error)


def _encode_picture(frame: Tensor) -> bytes:
    picture = Image.fromarray(frame.permute(1, 2, 0).contiguous().numpy())
    width = max(1, round(picture.width * PICTURE_HEIGHT / picture.height))
    # a panorama must not make one picture wider than the page
    picture = picture.resize((min(width, 4 * PICTURE_HEIGHT), PICTURE_HEIGHT))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=85)
    return buffer.getvalue()
