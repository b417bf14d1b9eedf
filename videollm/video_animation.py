"""Animated WebP, which the video decoder does not know.

The picture library decodes it one frame after the other; times come from the frames' own
durations. Transparent parts are laid on white, as in every other source.

Legend: H height, W width.
"""

import io
from bisect import bisect_right
from itertools import accumulate

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from videollm.errors import DamagedVideoError
from videollm.transforms import shrink_frame
from videollm.video_alpha import lay_on_white
from videollm.video_source import MediaSource
from videollm.video_track import TIME_TOLERANCE_SECONDS, VideoMetadata

__all__ = ["AnimationTrack", "is_animation"]

FLAGS_PLACE = 20
IS_ANIMATED = 0x02
MAY_BE_TRANSPARENT = 0x10

DEFAULT_DURATION_MS = 100
"""What browsers take for a frame that states no duration."""


def is_animation(head: bytes) -> bool:
    """Return whether a file that begins so is an animated WebP."""
    is_extended = head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X"
    return is_extended and len(head) > FLAGS_PLACE and bool(head[FLAGS_PLACE] & IS_ANIMATED)


class AnimationTrack:
    """One animated WebP.

    Args:
        source: Where the bytes come from.

    Raises:
        VideoError: A frame of it cannot be decoded, or it cannot be fetched.
    """

    def __init__(self, source: MediaSource) -> None:
        self._name = source.name
        data = bytearray(source.all_bytes())
        # Where frames do not fill the canvas it shows through, even if no frame is transparent;
        # the picture library would paint it black.
        data[FLAGS_PLACE] |= MAY_BE_TRANSPARENT
        self._data = bytes(data)
        with _open_image(self._name, self._data) as image:
            width, height = image.size
            num_frames = getattr(image, "n_frames", 1)
            durations_ms = [
                _load(self._name, image, number).info.get("duration") or DEFAULT_DURATION_MS
                for number in range(num_frames)
            ]
        ends_ms = list(accumulate(durations_ms))
        self._starts = [0.0, *(end / 1000 for end in ends_ms[:-1])]
        self._metadata = VideoMetadata(
            source=source.name,
            duration_seconds=ends_ms[-1] / 1000,
            fps=num_frames / (ends_ms[-1] / 1000),
            num_frames=num_frames,
            height=height,
            width=width,
            codec="webp",
            container="webp",
            stored_height=height,
            stored_width=width,
        )

    @property
    def metadata(self) -> VideoMetadata:
        """Return what is known of the animation."""
        return self._metadata

    def start(self) -> "AnimationCursor":
        """Return a new cursor with a decoder of its own."""
        return AnimationCursor(self._name, self._data, self._starts)

    def close(self) -> None:
        """Do nothing: no file stays open."""


class AnimationCursor:
    """Walk over an animation.

    Args:
        name: What the user gave, for messages.
        data: The file.
        starts: Rising times at which the frames begin, in seconds.
    """

    def __init__(self, name: str, data: bytes, starts: list[float]) -> None:
        self._name = name
        self._image = _open_image(name, data)
        self._starts = starts

    def frame_at(self, seconds: float, max_side: int | None = None) -> tuple[Tensor, float]:
        """Return the last frame at or before a time, (3, H, W), and its own time in seconds.

        Raises:
            DamagedVideoError: It cannot be decoded.
        """
        number = max(bisect_right(self._starts, seconds + TIME_TOLERANCE_SECONDS) - 1, 0)
        picture = _load(self._name, self._image, number)
        pixels = lay_on_white(np.asarray(picture.convert("RGBA")))
        picture_3HW = torch.from_numpy(pixels).permute(2, 0, 1)
        return shrink_frame(picture_3HW, max_side), self._starts[number]

    def close(self) -> None:
        """Let go of the decoder."""
        self._image.close()


def _open_image(name: str, data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=["WEBP"])
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _damaged(name, f"cannot be read as WebP ({error})") from None


def _load(name: str, image: Image.Image, number: int) -> Image.Image:
    try:
        image.seek(number)
        image.load()
    except (OSError, EOFError, SyntaxError, ValueError) as error:
        raise _damaged(name, f"is damaged at frame {number} ({error})") from None
    return image


def _damaged(name: str, finding: str) -> DamagedVideoError:
    return DamagedVideoError(name, finding, "copy, download or convert it again")
