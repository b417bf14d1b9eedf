"""Frames that need no video decoder: an array in memory, or a folder of pictures.

Neither has a clock, so the caller names the rate; frame i is shown at i / fps seconds.

Legend: T frames, H height, W width.
"""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from videollm.errors import DamagedVideoError, NoVideoError, SourceAccessError, VideoError
from videollm.transforms import shrink_frame
from videollm.video_refusals import check_size
from videollm.video_track import TIME_TOLERANCE_SECONDS, VideoMetadata

__all__ = ["DEFAULT_FPS", "StillsTrack", "open_array", "open_folder"]

DEFAULT_FPS = 25.0
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


class StillsTrack:
    """Show pictures at a steady rate.

    Args:
        metadata: Facts; `num_frames` and `fps` fix every time.
        load: Returns picture i, (3, H, W), uint8, RGB.
    """

    def __init__(self, metadata: VideoMetadata, load: Callable[[int], Tensor]) -> None:
        self._metadata = metadata
        self._load = load

    @property
    def metadata(self) -> VideoMetadata:
        """Return what is known of the pictures."""
        return self._metadata

    def start(self) -> "StillsTrack":
        """Return the track itself: pictures are found by their number, so it has no position."""
        return self

    def frame_at(self, seconds: float, max_side: int | None = None) -> tuple[Tensor, float]:
        """Return the picture shown at a time, (3, H, W), and since when, in seconds."""
        number = int(max(seconds + TIME_TOLERANCE_SECONDS, 0.0) * self._metadata.fps)
        number = min(number, self._metadata.num_frames - 1)
        return shrink_frame(self._load(number), max_side), number / self._metadata.fps

    def close(self) -> None:
        """Do nothing: no file stays open."""


def open_array(frames: Tensor | NDArray[np.uint8], fps: float) -> StillsTrack:
    """Return a track over frames in memory.

    Args:
        frames: (T, 3, H, W) or (T, H, W, 3), uint8, RGB; the first reading wins if both fit.
        fps: Frames per second, above 0.

    Raises:
        VideoError: The shape or the dtype is another.
    """
    name = f"<{type(frames).__name__} {tuple(frames.shape)} {frames.dtype}>"
    if frames.dtype not in (torch.uint8, np.uint8):
        remedy = "convert to uint8 in 0..255, for example (x * 255).round().to(torch.uint8)"
        raise VideoError(name, "the frames are not uint8", remedy)
    if isinstance(frames, Tensor):
        frames_TCHW = frames.detach().cpu()
    else:
        frames_TCHW = torch.from_numpy(np.require(frames, requirements=["C", "W"]))
    if frames_TCHW.ndim == 4 and frames_TCHW.shape[1] != 3 and frames_TCHW.shape[3] == 3:
        frames_TCHW = frames_TCHW.permute(0, 3, 1, 2)
    if frames_TCHW.ndim != 4 or frames_TCHW.shape[1] != 3 or 0 in frames_TCHW.shape:
        raise VideoError(name, "is not a video", "give frames as (T, 3, H, W) or (T, H, W, 3)")
    size = (frames_TCHW.shape[2], frames_TCHW.shape[3])
    metadata = _metadata(name, "array", len(frames_TCHW), fps, size)
    return StillsTrack(metadata, lambda number: frames_TCHW[number])


def open_folder(folder: Path, name: str, fps: float, *, max_pixels: int) -> StillsTrack:
    """Return a track over the pictures of a folder, in natural order (2 before 10).

    Pictures turned by an EXIF tag are put upright; transparent ones are laid on white.

    Args:
        folder: Where the pictures are; other files are passed over.
        name: What the user gave, for messages.
        fps: Pictures per second, above 0.
        max_pixels: Most pixels of a picture.

    Raises:
        VideoError: There is no picture, or one cannot be read, is too large or has another size.
    """
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        finding = f"cannot be listed ({error.strerror})"
        raise SourceAccessError(name, finding, "check the path and its permissions") from None
    paths = sorted(
        (path for path in entries if path.suffix.lower() in IMAGE_SUFFIXES),
        key=lambda path: re.sub("[0-9]+", lambda digits: digits[0].zfill(20), path.name.lower()),
    )
    if not paths:
        remedy = "give a video file, or a folder of " + ", ".join(IMAGE_SUFFIXES)
        raise NoVideoError(name, "is a folder without images", remedy)
    first = _load_image(paths[0], max_pixels)
    size = (first.shape[1], first.shape[2])

    def load(number: int) -> Tensor:
        picture = _load_image(paths[number], max_pixels)
        if (picture.shape[1], picture.shape[2]) != size:
            given = f"is {picture.shape[2]}x{picture.shape[1]} but {paths[0].name} is"
            remedy = "give every image of the folder the same size"
            raise VideoError(paths[number], f"{given} {size[1]}x{size[0]}", remedy)
        return picture

    return StillsTrack(_metadata(name, "images", len(paths), fps, size), load)


def _metadata(
    name: str, codec: str, num_frames: int, fps: float, size: tuple[int, int]
) -> VideoMetadata:
    return VideoMetadata(
        source=name,
        duration_seconds=num_frames / fps,
        fps=fps,
        num_frames=num_frames,
        height=size[0],
        width=size[1],
        codec=codec,
        stored_height=size[0],
        stored_width=size[1],
        keyframe_seconds=tuple(number / fps for number in range(num_frames)),
    )


def _load_image(path: Path, max_pixels: int) -> Tensor:
    try:
        with Image.open(path) as image:
            check_size(path, image.width, image.height, max_pixels)
            upright = ImageOps.exif_transpose(image)
            if upright.has_transparency_data:
                pasted = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(pasted, upright.convert("RGBA"))
            pixels = np.array(upright.convert("RGB"))
    except VideoError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        remedy = "replace it or take it out of the folder"
        raise DamagedVideoError(path, f"cannot be read as an image ({error})", remedy) from None
    return torch.from_numpy(pixels).permute(2, 0, 1)
