"""From a decoded frame to an upright RGB picture with square pixels.

Colours are converted by the frame's own matrix and range (`videollm.video_colour`), on one thread
and with the exact routines of the scaler, so that a file gives the same pixels on every machine.

Legend: H height, W width.
"""

import logging
import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av
import numpy as np
import torch
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from torch import Tensor

from videollm.transforms import fitted_size
from videollm.video_alpha import lay_on_white, may_be_transparent
from videollm.video_colour import (
    check_colours,
    from_limited_grey,
    is_coarse,
    is_limited_grey,
    no_conversion,
)
from videollm.video_crop import Crop

__all__ = ["Geometry", "Painter", "frame_geometry"]

logger = logging.getLogger(__name__)

MAX_PIXEL_ASPECT = 10
MAX_SIDE_PIXELS = 16384

# Without accurate rounding and full chroma the scaler darkens each channel by 1 to 2 of 255.
CONVERSION = (
    Interpolation.BILINEAR
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.BITEXACT
)

PLANAR_FORMATS = frozenset(
    f"yuv{infix}{sampling}p{depth}"
    for infix, depth in (("", ""), ("j", ""), ("", "10le"))
    for sampling in ("420", "422", "444")
)
"""Stored formats whose planes are checked by a test to agree with packed pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """Hold how stored frames become upright pictures: crop, scale, then transpose, then mirror.

    Args:
        stored_height: Height to scale a stored frame to, cropped and not turned, in pixels.
        stored_width: Likewise, with square pixels.
        transpose: Whether rows and columns change places.
        mirror_x: Whether left and right then change places.
        mirror_y: Whether top and bottom then change places.
        rotation_degrees: Counterclockwise turn that the file asks for, for information.
        crop: What is cut off a stored frame.
    """

    stored_height: int
    stored_width: int
    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False
    rotation_degrees: int = 0
    crop: Crop = Crop()

    @property
    def height(self) -> int:
        """Return H of the upright picture in pixels."""
        return self.stored_width if self.transpose else self.stored_height

    @property
    def width(self) -> int:
        """Return W of the upright picture in pixels."""
        return self.stored_height if self.transpose else self.stored_width

    def shrunk(self, max_side: int | None) -> "Geometry":
        """Return the geometry of pictures whose longer side is at most so many pixels."""
        if max_side is None or max(self.height, self.width) <= max_side:
            return self
        height, width = fitted_size(self.height, self.width, max_side)
        if self.transpose:
            height, width = width, height
        return replace(self, stored_height=height, stored_width=width)

    def upright(self, picture: Tensor) -> Tensor:
        """Return a stored picture, (3, stored H, stored W), turned to (3, H, W)."""
        if self.transpose:
            picture = picture.transpose(1, 2)
        axes = [axis for axis, wanted in ((2, self.mirror_x), (1, self.mirror_y)) if wanted]
        return picture.flip(axes) if axes else picture


def frame_geometry(frame: VideoFrame, pixel_aspect: Fraction | None, crop: Crop) -> Geometry:
    """Return the geometry that a video's first frame asks for.

    Turns that are no multiple of 90 degrees go to the nearest one; the height of a cropped frame
    never changes, the width takes up the pixel aspect.

    Args:
        frame: The first frame.
        pixel_aspect: Width of a pixel over its height; None or 0 is square. Beyond 10 either way
            it is taken for an error and not applied.
        crop: What the container asks to cut off. Where that is all, nothing is.
    """
    aspect = pixel_aspect or Fraction(1)
    if not crop.fits(frame.height, frame.width):
        crop = Crop()
    cropped_width = frame.width - crop.left - crop.right
    width = max(round(cropped_width * aspect), 1)
    if max(aspect, 1 / aspect) > MAX_PIXEL_ASPECT or width > MAX_SIDE_PIXELS:
        logger.warning("pixel aspect %s is not applied: it cannot be meant", aspect)
        width = cropped_width
    height = frame.height - crop.top - crop.bottom
    stored = Geometry(stored_height=height, stored_width=width, crop=crop)
    side_data: Any = frame.side_data  # PyAV's types know the keys by name only
    if SideDataType.DISPLAYMATRIX not in side_data:
        return stored
    # Row vectors: a stored point (p, q) is shown at (a p + c q, b p + d q), y downwards.
    matrix = np.frombuffer(bytes(side_data[SideDataType.DISPLAYMATRIX]), np.int32)
    a, b, c, d = (float(matrix[place]) for place in (0, 1, 3, 4))
    transpose = math.hypot(b, c) > math.hypot(a, d)
    x_sign, y_sign = (c, b) if transpose else (a, d)
    return replace(
        stored,
        transpose=transpose,
        mirror_x=x_sign < 0,
        mirror_y=y_sign < 0,
        rotation_degrees=frame.rotation,
    )


class Painter:
    """Turn decoded frames into upright RGB pictures of one size, or smaller ones.

    Args:
        geometry: Of the pictures.
        name: What the user gave as the video, for messages.
    """

    def __init__(self, geometry: Geometry, name: str) -> None:
        self._geometry = geometry
        self._name = name
        self._scaler = VideoReformatter()

    def picture(self, frame: VideoFrame, max_side: int | None = None) -> Tensor:
        """Return a frame as (3, H, W), uint8, RGB; what is transparent, on white.

        A frame of another size than the first, in a stream that changes size midway, is scaled
        to the first one's.

        Args:
            frame: From the decoder.
            max_side: The longer side of the picture in pixels at most. A longer one is shrunk
                while it is converted, by antialiased bilinear interpolation of what the file
                stores, brightness and colour apart.

        Raises:
            VideoError: Its colours cannot be converted.
        """
        check_colours(self._name, frame)
        geometry = self._geometry.shrunk(max_side)
        format_name = frame.format.name
        is_opaque = not may_be_transparent(format_name)
        is_planar = is_opaque and (geometry != self._geometry or _planes_agree(frame, geometry))
        packed = "rgb24" if is_opaque else "rgba"
        is_grey = is_limited_grey(frame)
        if is_coarse(format_name) or geometry.crop != Crop():
            frame = self._converted(frame, frame.height, frame.width, packed)
            frame = _cropped(frame, geometry.crop)
        rgb = self._converted(
            frame, geometry.stored_height, geometry.stored_width, "gbrp" if is_planar else packed
        )
        if is_planar:
            picture = _stack(rgb)
        else:
            pixels = rgb.to_ndarray().astype(np.uint8, copy=False)
            if not is_opaque:
                pixels = lay_on_white(pixels)
            picture = torch.from_numpy(pixels).permute(2, 0, 1)
        if is_grey:
            picture = from_limited_grey(picture)
        return geometry.upright(picture)

    def _converted(self, frame: VideoFrame, height: int, width: int, kind: str) -> VideoFrame:
        try:
            return self._scaler.reformat(
                frame,
                width=width,
                height=height,
                format=kind,
                interpolation=CONVERSION,
                dst_color_range="JPEG",
                threads=1,
            )
        except MemoryError:
            raise
        except av.FFmpegError as error:
            finding = f"({frame.format.name}) are of an odd kind ({error.strerror})"
            raise no_conversion(self._name, finding) from None


def _cropped(frame: VideoFrame, crop: Crop) -> VideoFrame:
    """Return a packed frame without its edges, to the pixel; colours stored apart would not be."""
    if crop == Crop() or not crop.fits(frame.height, frame.width):
        return frame
    rows = slice(crop.top, frame.height - crop.bottom)
    columns = slice(crop.left, frame.width - crop.right)
    pixels = frame.to_ndarray().astype(np.uint8, copy=False)[rows, columns]
    return VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=frame.format.name)


def _planes_agree(frame: VideoFrame, geometry: Geometry) -> bool:
    """Return whether planes come out of the scaler with the very values of packed pixels.

    They come several times sooner. At an odd height the last row of colour is rounded otherwise.
    """
    is_scaled = frame.height != geometry.stored_height
    return frame.format.name in PLANAR_FORMATS and not is_scaled and frame.height % 2 == 0


def _stack(planes: VideoFrame) -> Tensor:
    """Return the planes green, blue, red of a frame as (3, H, W), red first.

    NumPy copies them: torch's threads would wait for the next copy where the decoder's could work.
    """
    height, width = planes.height, planes.width
    picture = np.empty((3, height, width), dtype=np.uint8)
    for channel, plane in zip((1, 2, 0), planes.planes, strict=True):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        picture[channel] = rows[:height, :width]
    return torch.from_numpy(picture)
