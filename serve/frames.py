"""The frames that the model is given, as small pictures with their times.

Decodes through `videollm.video_cache` exactly as `VideoLLM` does for a file, so what the page shows
is what the model saw. Keeps no full-size frame itself.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image
from torch import Tensor

from videollm.clip import Clip
from videollm.errors import VideoError, VideoLLMError
from videollm.sampling import load_clip

__all__ = ["FrameStrip", "LoadClip", "explain", "make_strip", "see_frames"]

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


class LoadClip(Protocol):
    """Whatever decodes: `videollm.sampling.load_clip`, or that of a `DecodeWorker`."""

    def __call__(self, source: Path, *, num_frames: int) -> Clip:
        """Return frames spread evenly over a video."""


def see_frames(
    video: Path, num_frames: int, *, load: LoadClip = load_clip
) -> tuple[FrameStrip, Clip]:
    """Decode the frames that a question looks at.

    Args:
        video: The file.
        num_frames: Frames to sample evenly, at least 1.
        load: Decodes them; in this process by default, which is for files that can be trusted.

    Returns:
        The strip for the page and the clip for the model.

    Raises:
        VideoError: The file cannot be read as video.
    """
    clip = load(video, num_frames=num_frames)
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
