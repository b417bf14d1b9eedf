"""What every kind of video looks like to the reader: facts, and a cursor that finds frames.

A track is one opened source (a file, an array, a folder of pictures); a cursor walks over it.
`videollm.video` builds everything else, such as clips and streams, on these two alone.

Legend: H height, W width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor

from videollm.clip import Clip

__all__ = ["TIME_TOLERANCE_SECONDS", "Cursor", "FrameReader", "Track", "VideoMetadata"]

TIME_TOLERANCE_SECONDS = 1e-6
"""How late a frame may begin and count as at a requested time: times are sums of floats."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoMetadata:
    """Hold what is known of a video before its frames are decoded.

    Counts and times come from the packets of the file, not from its header, which may lie; only
    for a remote or very large file with an index is the header believed.

    Args:
        source: What was opened, as it was given.
        duration_seconds: From the start of the first frame to the end of the last; above 0, and
            infinite for a live source.
        fps: Mean frames per second; above 0. The rate that the file declares, or the measured
            one where the two differ by more than a tenth.
        num_frames: Number of frames, at least 1, or 0 for a live source. An estimate where packets
            are not frames.
        height: Of the upright picture with square pixels, in pixels.
        width: Likewise.
        codec: Name of the decoder, or `array`, `images` or `webp`.
        rotation_degrees: Counterclockwise turn from stored to upright, in [-180, 180].
        interlaced: Whether a frame holds the lines of two moments, by the header and the first
            frame. They are shown as they are.
        container: Name of the container's format; empty where there is none.
        pixel_format: Name of the format of stored frames; empty where that is not known.
        stored_height: Of a frame before it is turned and stretched, in pixels; 0 likewise.
        stored_width: Likewise.
        pixel_aspect: Width of a stored pixel over its height, as the file says.
        colour: What the stored numbers stand for, and what is assumed where the file is mute.
        audio: Codec, rate and channels of each stream of sound.
        keyframe_seconds: Rising times of the frames that decode alone; empty where that is not
            known, as of live sources, of remote files without an index, and of packets without
            times.
        warnings: What is not in order and how it was repaired, one sentence each. More may come
            while frames are read.
        backend: What decodes it, with its version, such as `pyav 18.1.0`; `none` for frames in
            memory and folders, which need no decoder.
    """

    source: str
    duration_seconds: float
    fps: float
    num_frames: int
    height: int
    width: int
    codec: str
    rotation_degrees: int = 0
    interlaced: bool = False
    container: str = ""
    pixel_format: str = ""
    stored_height: int = 0
    stored_width: int = 0
    pixel_aspect: float = 1.0
    colour: str = ""
    audio: tuple[str, ...] = ()
    keyframe_seconds: tuple[float, ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = ()
    backend: str = "none"


class Cursor(Protocol):
    """Find frames by time; quickest when the times rise."""

    def frame_at(self, seconds: float, max_side: int | None = None) -> tuple[Tensor, float]:
        """Return the last frame at or before a time, or the first frame, and its own time.

        Args:
            seconds: Time since the first frame.
            max_side: The longer side of the picture in pixels at most; a longer one is shrunk.

        Returns:
            The picture, (3, H, W), uint8, RGB, not to be written to; and its time in seconds.
        """

    def close(self) -> None:
        """Let go of the file."""


class Track(Protocol):
    """One opened source of frames."""

    @property
    def metadata(self) -> VideoMetadata:
        """Return what is known of the video."""

    def start(self) -> Cursor:
        """Return a new cursor, independent of every other."""

    def close(self) -> None:
        """Let go of what is held for cursors to come; those that are out go on."""


@runtime_checkable
class FrameReader(Protocol):
    """Whatever reads clips of one open video: in this process or in another."""

    @property
    def metadata(self) -> VideoMetadata:
        """Return what is known of the video."""

    def read(self, times_seconds: Sequence[float], *, max_side: int | None = None) -> Clip:
        """Return the frames at some times: for each the last frame at or before it."""
