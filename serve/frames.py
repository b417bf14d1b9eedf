"""The frames that the model is given, as small pictures with their times.

Decodes through `videollm.video_cache` exactly as `VideoLLM` does for a file, so what the page shows
is what the model saw. Keeps no full-size frame itself.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from videollm.clip import Clip
from videollm.errors import VideoError, VideoLLMError
from videollm.sampling import DEFAULT_NUM_FRAMES, load_clip
from videollm.serve.questions import Media

__all__ = ["FrameStrip", "LoadClip", "encode_picture", "explain", "make_strip", "see_frames"]

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


LoadClip = Callable[..., Clip]
"""Whatever decodes: `videollm.sampling.load_clip`, or that of a `DecodeWorker`."""


def see_frames(media: Media, *, load: LoadClip = load_clip) -> FrameStrip:
    """Decode the frames that a question looks at.

    Args:
        media: The file, and which of its frames.
        load: Decodes them; in this process by default, which is for files that can be trusted.

    Returns:
        The strip for the page.

    Raises:
        VideoError: The file cannot be read as video.
    """
    return make_strip(load(media.path, **media.options(DEFAULT_NUM_FRAMES)))


def make_strip(clip: Clip) -> FrameStrip:
    """Shrink the frames of a clip to a strip of pictures.

    Args:
        clip: The frames; at least one.

    Returns:
        One picture and one time per frame.
    """
    pictures = tuple(encode_picture(frame) for frame in clip.frames)
    return FrameStrip(tuple(clip.pts_seconds.tolist()), pictures)


def explain(error: VideoLLMError) -> str:
    """Return the sentence of an error for someone who uploaded a file and knows only its name.

    Args:
        error: What was raised; the folder of a video is left out, it is the server's business.
    """
    if isinstance(error, VideoError):
        return f"{Path(str(error.source)).name}: {error.finding}; {error.remedy}"
    return str(error)


def encode_picture(frame: Tensor, height: int = PICTURE_HEIGHT) -> bytes:
    """Return a frame (3, H, W), uint8, as a small JPEG file.

    Args:
        frame: The frame.
        height: Of the picture, in pixels; its width follows the frame's shape.
    """
    picture = Image.fromarray(frame.permute(1, 2, 0).contiguous().numpy())
    width = max(1, round(picture.width * height / picture.height))
    # a panorama must not make one picture wider than the page
    picture = picture.resize((min(width, 4 * height), height))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=85)
    return buffer.getvalue()
