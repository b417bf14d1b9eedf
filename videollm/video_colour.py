"""What the stored numbers of a frame mean as colours, and which of them cannot be converted.

A file that does not state its matrix is read as BT.601, whatever its size, and one that does not
state its range as limited: so do FFmpeg's scaler and with it every other decoder here, and so
were the videos converted that published models learned from.

Legend: H height, W width.
"""

from functools import cache

import torch
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from torch import Tensor

from videollm.errors import VideoError

__all__ = [
    "check_colours",
    "colour_name",
    "from_limited_grey",
    "is_coarse",
    "is_limited_grey",
    "no_conversion",
]

UNSTATED = 2
LIMITED = 1
FULL = 2

MATRICES = {
    0: "rgb",
    1: "bt709",
    4: "fcc",
    5: "bt601",
    6: "bt601",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020",
    10: "bt2020 with constant luminance",
    11: "smpte2085",
    12: "chromaticity-derived",
    13: "chromaticity-derived with constant luminance",
    14: "ictcp",
}
"""Names of the matrices by their numbers in ITU-T H.273, table 4."""

NOT_CONVERTED = frozenset({8, 10, 11, 12, 13, 14})

LEVELS = ((torch.arange(256) - 16) * (255 / 219)).round().clamp(0, 255).to(torch.uint8)
"""Full-range level of each limited-range one."""


def check_colours(name: str, frame: VideoFrame) -> None:
    """Refuse a frame whose colours would come out wrong.

    Args:
        name: What the user gave as the video, for the message.
        frame: From the decoder.

    Raises:
        VideoError: The scaler does not know the frame's matrix.
    """
    if frame.colorspace in NOT_CONVERTED and not frame.format.is_rgb:
        raise no_conversion(name, f"are stored as {MATRICES[frame.colorspace]}")


def no_conversion(name: str, finding: str) -> VideoError:
    """Return the error that the colours of a frame cannot be had.

    Args:
        name: What the user gave as the video.
        finding: What is so with its colours.
    """
    remedy = "convert it to BT.709 first, for example to h264 in mp4"
    return VideoError(name, f"its colours {finding} and cannot be converted to RGB", remedy)


def colour_name(frame: VideoFrame) -> str:
    """Return the matrix and the range of a frame in words, and what is assumed where it is mute."""
    kind = frame.format
    if kind.is_rgb or kind.has_palette:
        return "rgb"
    is_grey = kind.name.startswith("gray")
    is_full = frame.color_range == FULL or kind.name.startswith("yuvj")
    if not is_full and frame.color_range != LIMITED:
        scale = "range not stated (read as full)" if is_grey else "range not stated (limited)"
    else:
        scale = "full range" if is_full else "limited range"
    if is_grey:
        return f"grey, {scale}"
    matrix = MATRICES.get(frame.colorspace, "matrix not stated (read as bt601)")
    return f"{matrix}, {scale}"


def is_limited_grey(frame: VideoFrame) -> bool:
    """Return whether grey runs from 16 to 235: the scaler takes all grey for full range."""
    return frame.color_range == LIMITED and frame.format.name.startswith("gray")


def from_limited_grey(picture: Tensor) -> Tensor:
    """Return a picture, (3, H, W), uint8, whose levels 16 to 235 are spread over 0 to 255."""
    return LEVELS[picture.int()]


@cache
def is_coarse(format_name: str) -> bool:
    """Return whether RGB is stored in fewer than 8 bits: scaled as it is, white would be grey."""
    kind = VideoFormat(format_name)
    is_short = max(component.bits for component in kind.components) < 8
    return kind.is_rgb and is_short and not kind.has_palette
