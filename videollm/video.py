"""Video in: open anything that shows pictures over time, and read frames by their times.

`VideoReader.open` takes a path, an address, bytes, a file object, frames in memory or a folder
of pictures; `read` and `stream` give `Clip`s. It neither chooses times (`videollm.sampling`) nor
resizes (`videollm.transforms`).

Legend: T frames, H height, W width.
"""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from videollm.clip import Clip
from videollm.errors import RequestError
from videollm.video_file import FileTrack
from videollm.video_limits import MAX_PIXELS
from videollm.video_source import local_path, media_source, source_name
from videollm.video_stills import DEFAULT_FPS, open_array, open_folder
from videollm.video_track import Cursor, Track, VideoMetadata

__all__ = ["Clip", "VideoMetadata", "VideoReader", "VideoSource"]

VideoSource = str | os.PathLike[str] | bytes | BinaryIO | Tensor | NDArray[np.uint8]
"""Whatever `VideoReader.open` takes."""


class VideoReader:
    """Read the frames of one video by their times; a context manager.

    A reader is deterministic: the frame for a time, its pixels bit for bit and its own time depend
    on the source and the time alone, not on what was read before.

    Args:
        track: The opened source; use `VideoReader.open` to get one.
    """

    def __init__(self, track: Track) -> None:
        self._track = track
        self._metadata = track.metadata
        self._cursor: Cursor | None = None
        self._closed = False

    @classmethod
    def open(
        cls,
        source: VideoSource,
        *,
        fps: float | None = None,
        video_stream: int | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> Self:
        """Return a reader of a source.

        Pictures come upright (display rotation and mirroring applied) and with square pixels (the
        height is kept). Times count from the first frame.

        Args:
            source: A path, a `file:` or http(s) URL; bytes; a binary file object, which is read
                from its beginning and stays open; frames in memory, (T, 3, H, W) or (T, H, W, 3),
                uint8, RGB; or a folder of images of one size, shown in natural order.
            fps: Rate of frames in memory and of folders, which have no times of their own; above
                0, and 25 if left out.
            video_stream: Which of a file's video streams, from 0; None chooses the best, by the
                decoder's judgement of size and length.
            max_pixels: Most pixels of a frame, as it is stored and as it is shown; a file with
                larger ones is refused before one is decoded. Frames in memory may have any size.

        Raises:
            VideoError: The source is missing, empty, damaged, without video, or no source at all.
            RequestError: `fps`, `video_stream` or `max_pixels` makes no sense for the source.
        """
        if fps is not None and not (math.isfinite(fps) and fps > 0):
            raise RequestError(f"fps is {fps}; it must be above 0: leave it out for {DEFAULT_FPS}")
        if video_stream is not None and video_stream < 0:
            raise RequestError(f"video_stream is {video_stream}; streams are numbered from 0")
        if max_pixels < 1:
            raise RequestError(f"max_pixels is {max_pixels}; a frame has at least 1 pixel")
        stills = _open_stills(source, fps or DEFAULT_FPS, max_pixels)
        if stills is None:
            if fps is not None:
                name = source_name(source)
                raise RequestError(f"{name}: has times of its own, so fps={fps} must be left out")
            media = replace(media_source(source), max_pixels=max_pixels)
            return cls(FileTrack(media, video_stream))
        if video_stream is not None:
            raise RequestError(f"{source_name(source)}: has no streams; leave video_stream out")
        return cls(stills)

    @property
    def metadata(self) -> VideoMetadata:
        """Return what is known of the video."""
        return self._metadata

    def read(self, times_seconds: Sequence[float]) -> Clip:
        """Return the frames at some times: for each the last frame at or before it.

        A frame that begins less than a tick of the file's clock after the time, and less than
        1 ms, counts as at it, because containers round.

        The clip has one frame for each time asked, in order of time whatever the order of asking,
        with the frames' own times. Times before the first frame give the first, times after the
        end the last; one asked twice, or two that fall on the same frame, give it twice.

        Args:
            times_seconds: Seconds since the first frame, at least one, finite, in any order.

        Raises:
            RequestError: There is no time, or one is not finite.
            VideoError: The video is damaged on the way there.
            ValueError: The reader is closed.
        """
        times = sorted(float(time) for time in times_seconds)
        if not times or not all(map(math.isfinite, times)):
            raise RequestError(f"the times are {times}; give at least one, all of them finite")
        if self._closed:
            raise ValueError(f"{self._metadata.source}: the reader is closed; open it again")
        if self._cursor is None:
            self._cursor = self._track.start()
        return self._read(self._cursor, times)

    def stream(self, fps: float, chunk_frames: int = 8) -> Iterator[Clip]:
        """Yield the whole video as clips, in constant memory.

        Frame k of the stream is what `read` gives for the time k / fps, for every such time below
        the duration; above the video's own rate frames repeat. Streams are independent of each
        other and of `read`.

        Args:
            fps: Frames per second of the stream, above 0.
            chunk_frames: Frames of each clip, at least 1; the last clip may have fewer.

        Raises:
            RequestError: An argument is out of range.
            VideoError: The video is damaged on the way.
            ValueError: The reader is closed.
        """
        if not (math.isfinite(fps) and fps > 0):
            raise RequestError(f"fps is {fps}; a stream needs more than 0 frames per second")
        if chunk_frames < 1:
            raise RequestError(f"chunk_frames is {chunk_frames}; a chunk has at least 1 frame")
        if self._closed:
            raise ValueError(f"{self._metadata.source}: the reader is closed; open it again")
        return self._stream(fps, chunk_frames)

    def close(self) -> None:
        """Let go of the source; reading again is an error."""
        self._closed = True
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _stream(self, fps: float, chunk_frames: int) -> Iterator[Clip]:
        num_frames = max(math.ceil(self._metadata.duration_seconds * fps - 1e-6), 1)
        cursor = self._track.start()
        try:
            for start in range(0, num_frames, chunk_frames):
                stop = min(start + chunk_frames, num_frames)
                yield self._read(cursor, [number / fps for number in range(start, stop)])
        finally:
            cursor.close()

    def _read(self, cursor: Cursor, times: list[float]) -> Clip:
        # In memory as decoders give pictures, channels last: copying and scaling are quicker so.
        shape = (len(times), self._metadata.height, self._metadata.width, 3)
        frames = torch.empty(shape, dtype=torch.uint8).permute(0, 3, 1, 2)
        pts_seconds = torch.empty(len(times), dtype=torch.float64)
        for place, time in enumerate(times):
            picture, seconds = cursor.frame_at(time)
            frames[place] = picture
            pts_seconds[place] = seconds
        return Clip(frames=frames, pts_seconds=pts_seconds)


def _open_stills(source: VideoSource, fps: float, max_pixels: int) -> Track | None:
    if isinstance(source, (Tensor, np.ndarray)):
        return open_array(source, fps)
    if isinstance(source, (str, os.PathLike)):
        path = local_path(source)
        if path is not None and os.path.isdir(path):
            return open_folder(path, source_name(source), fps, max_pixels=max_pixels)
    return None
