"""Frames by their number from another decoder, under times that PyAV's packets tell.

Other decoders guess times and sizes in ways of their own. So they supply pixels only, and only
after it is certain that their frame i is ours: their count, the times that they tell and their
first picture must agree with PyAV's.

Legend: H height, W width.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from av.video.frame import VideoFrame
from torch import Tensor

from videollm.errors import VideoError
from videollm.transforms import shrink_frame
from videollm.video_crop import Crop
from videollm.video_file import FileTrack
from videollm.video_picture import Geometry, Painter
from videollm.video_track import VideoMetadata

__all__ = ["FrameStore", "IndexedTrack", "refusal"]

MAX_LEVELS = 2.0
MAX_LEVELS_DEEP = 5.0
"""Mean difference to PyAV's picture, of 255, that conversion explains; of 8 bits and of more."""


class FrameStore(Protocol):
    """One file as another decoder shows it."""

    def __len__(self) -> int:
        """Return how many frames the decoder counts."""

    def seconds(self, number: int) -> float | None:
        """Return the time of a frame since the first as the decoder has it, None if unknown."""

    def picture(self, number: int) -> Tensor:
        """Return a frame, (3, H, W), uint8, RGB, turned upright, its pixels not yet square.

        Raises:
            VideoError: It does not decode.
        """

    def close(self) -> None:
        """Let go of the file."""


def refusal(name: str, backend: str, finding: str) -> VideoError:
    """Return the error that a back end is not for this file.

    Args:
        name: What the user gave as the video.
        backend: Name of the back end, with or without its version.
        finding: What it does wrong.
    """
    return VideoError(name, f"{backend} {finding}", "read it with backend='pyav'")


class IndexedTrack:
    """One encoded video whose pictures another decoder supplies.

    Args:
        truth: The same video as PyAV has it.
        backend: Name and version of the other decoder.
        open_store: Opens the file with it.

    Raises:
        VideoError: The decoder does not open the file, or not as PyAV does.
    """

    def __init__(
        self, truth: FileTrack, *, backend: str, open_store: Callable[[], FrameStore]
    ) -> None:
        self._survey = truth.survey
        self._metadata = replace(truth.metadata, backend=backend)
        self._open_store = open_store
        name = self._metadata.source
        if not self._survey.timing.frame_seconds or self._survey.decode_timed:
            finding = "cannot be checked: this video's packets do not tell the times of all frames"
            raise refusal(name, backend, finding)
        if self._survey.geometry.crop != Crop():
            raise refusal(name, backend, "does not cut off the edges that its container asks to")
        cursor = self.start()
        try:
            cursor.require_agreement(truth)
        finally:
            cursor.close()

    @property
    def metadata(self) -> VideoMetadata:
        """Return what PyAV's survey found."""
        return self._metadata

    def start(self) -> "IndexedCursor":
        """Return a new cursor with its own view of the file."""
        return IndexedCursor(self._open_store(), self._survey.geometry, self)

    def close(self) -> None:
        """Do nothing: only cursors hold the file."""

    def number_at(self, seconds: float) -> int:
        """Return the number of the last frame at or before a time, 0 if there is none."""
        until = max(seconds, 0.0) + self._survey.rounding_seconds
        return max(bisect_right(self._survey.timing.frame_seconds, until) - 1, 0)

    def seconds_of(self, number: int) -> float:
        """Return when a frame begins."""
        return self._survey.timing.frame_seconds[number]

    @property
    def max_levels(self) -> float:
        """Return how far a picture may be from PyAV's, in levels of 255, on average."""
        return MAX_LEVELS if self._survey.bit_depth <= 8 else MAX_LEVELS_DEEP

    @property
    def max_seconds_apart(self) -> float:
        """Return how far another decoder's time of a frame may be from ours."""
        return self._survey.rounding_seconds


class IndexedCursor:
    """Find frames by time in another decoder's store.

    Args:
        store: The file, opened by it; it belongs to the cursor.
        geometry: Size of the upright picture with square pixels.
        track: Knows the times.
    """

    def __init__(self, store: FrameStore, geometry: Geometry, track: IndexedTrack) -> None:
        self._store = store
        self._track = track
        # The store has turned the pictures already.
        size = Geometry(stored_height=geometry.height, stored_width=geometry.width)
        self._painter = Painter(size, track.metadata.source)
        self._size = (geometry.height, geometry.width)
        self._shown: tuple[int, Tensor] | None = None

    def frame_at(self, seconds: float, max_side: int | None = None) -> tuple[Tensor, float]:
        """Return the last frame at or before a time, (3, H, W), and its own time in seconds.

        Raises:
            VideoError: The frame does not decode, or is not the one of that time.
        """
        number = self._track.number_at(seconds)
        if self._shown is None or self._shown[0] != number:
            self._shown = number, self._square(self._checked(number))
        return shrink_frame(self._shown[1], max_side), self._track.seconds_of(number)

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()

    def require_agreement(self, truth: FileTrack) -> None:
        """Compare the count of frames and the first picture with PyAV's.

        Raises:
            VideoError: They differ.
        """
        metadata = self._track.metadata
        if len(self._store) != metadata.num_frames:
            finding = f"counts {len(self._store)} frames where there are {metadata.num_frames}"
            raise refusal(metadata.source, metadata.backend, finding)
        theirs, _ = self.frame_at(0.0)
        cursor = truth.start()
        try:
            ours, _ = cursor.frame_at(0.0)
        finally:
            cursor.close()
        levels = float((theirs.short() - ours.short()).abs().float().mean())
        if levels > self._track.max_levels:
            finding = f"shows its first frame otherwise, by {levels:.1f} of 255 levels"
            raise refusal(metadata.source, metadata.backend, finding)

    def _checked(self, number: int) -> Tensor:
        picture = self._store.picture(number)
        told, true = self._store.seconds(number), self._track.seconds_of(number)
        if told is not None and abs(told - true) > self._track.max_seconds_apart:
            metadata = self._track.metadata
            finding = f"puts frame {number} at {told:.3f} s where it begins at {true:.3f} s"
            raise refusal(metadata.source, metadata.backend, finding)
        return picture

    def _square(self, picture: Tensor) -> Tensor:
        """Return a picture scaled to square pixels by the scaler that PyAV's pictures pass."""
        if (picture.shape[1], picture.shape[2]) == self._size:
            return picture
        packed = picture.permute(1, 2, 0).contiguous().numpy()
        return self._painter.picture(VideoFrame.from_ndarray(packed, format="rgb24"))
