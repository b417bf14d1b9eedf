"""What a container asks to cut off the edges of every frame: Matroska's PixelCrop, MP4's `clap`.

FFmpeg reads it and leaves the cutting to players, and PyAV does not hand it over. FFmpeg's own
Matroska writer does: told to continue a stream, it writes the cropping into the new header, in
memory here, whatever container and server the stream came from.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import av
from av.video.stream import VideoStream

__all__ = ["Crop", "stated_crop"]

CROPPED_FORMATS = frozenset({"matroska", "mov"})
"""Containers that have a place for it."""

HOLDERS = frozenset({0x18538067, 0x1654AE6B, 0xAE, 0xE0})
"""Segment, Tracks, TrackEntry and Video: the elements around the cropping."""

SIDES = {0x54CC: "left", 0x54BB: "top", 0x54DD: "right", 0x54AA: "bottom"}
"""PixelCropLeft and the others, by their numbers in RFC 9559."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Crop:
    """Hold how many pixels of a stored frame are cut off each edge, before it is turned."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def fits(self, height: int, width: int) -> bool:
        """Return whether something is left of a frame of so many pixels."""
        return self.left + self.right < width and self.top + self.bottom < height


def stated_crop(stream: VideoStream) -> Crop:
    """Return what the container cuts off; nothing for codecs that Matroska has no name for.

    Args:
        stream: The video of an opened file.
    """
    if not CROPPED_FORMATS & set(stream.container.format.name.split(",")):
        return Crop()
    file = io.BytesIO()
    try:
        with av.open(file, "w", format="matroska") as output:
            output.add_stream_from_template(stream, opaque=True)
            output.start_encoding()
            sides = dict(_sides(file.getvalue()))
    except MemoryError:
        raise
    except (ValueError, av.FFmpegError):
        return Crop()
    return Crop(**sides)


def _sides(data: bytes) -> Iterator[tuple[str, int]]:
    """Yield the sides that are cropped, and by how much, from the elements of a header."""
    place = 0
    while place < len(data):
        kind, place = _number(data, place, keeps_marker=True)
        size, place = _number(data, place, keeps_marker=False)
        content = data[place : place + size]  # a size that is not known yet is a very large one
        if kind in HOLDERS:
            yield from _sides(content)
        elif kind in SIDES:
            yield SIDES[kind], int.from_bytes(content, "big")
        place += size


def _number(data: bytes, place: int, *, keeps_marker: bool) -> tuple[int, int]:
    """Return a number of variable length and where it ends: its first bits tell its length."""
    length = 9 - data[place].bit_length()
    number = int.from_bytes(data[place : place + length], "big")
    return number if keeps_marker else number & ~(1 << 7 * length), place + length
