"""Video in: open anything that shows pictures over time, and read frames by their times.

`VideoReader.open` takes a path, an address, bytes, a file object, frames in memory, a folder of
pictures or a camera; `read` and `stream` give `Clip`s. It neither chooses times
(`videollm.sampling`) nor resizes (`videollm.transforms`).

Legend: T frames, H height, W width.
"""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from videollm.clip import Clip
from videollm.closing import Closing
from videollm.errors import LiveSourceError, RequestError
from videollm.live import is_live_source
from videollm.live_track import LiveTrack
from videollm.transforms import fitted_size
from videollm.video_animation import AnimationTrack, is_animation
from videollm.video_backends import choose_backend, open_track
from videollm.video_limits import MAX_PIXELS
from videollm.video_source import (
    DEFAULT_TIMEOUT_SECONDS,
    MediaSource,
    local_path,
    media_source,
    source_name,
)
from videollm.video_stills import DEFAULT_FPS, open_array, open_folder
from videollm.video_track import Cursor, Track, VideoMetadata

__all__ = ["Clip", "VideoMetadata", "VideoReader", "VideoSource"]

VideoSource = int | str | os.PathLike[str] | bytes | BinaryIO | Tensor | NDArray[np.uint8]
"""Whatever `VideoReader.open` takes."""


class VideoReader(Closing):
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
        backend: str | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        max_pixels: int = MAX_PIXELS,
    ) -> Self:
        """Return a reader of a source.

        Pictures come upright (display rotation and mirroring applied) and with square pixels (the
        height is kept). Times count from the first frame.

        Args:
            source: A path, a `file:` or http(s) URL, HLS playlists included; bytes; a binary file
                object, which is read from its beginning and stays open; frames in memory,
                (T, 3, H, W) or (T, H, W, 3), uint8, RGB; or a folder of images of one size, shown
                in natural order. Live, for `stream` only: a camera, by its number or as
                `camera:0`; an rtsp(s) URL; an http(s) URL without an end.
            fps: Rate of frames in memory and of folders, which have no times of their own; above
                0, and 25 if left out.
            video_stream: Which of a file's video streams, from 0; None chooses the best, by the
                decoder's judgement of size and length.
            backend: `pyav`, `decord` or `torchcodec`; None takes what the environment variable
                VIDEOLLM_VIDEO_BACKEND names, else `pyav`. All give the same frames or refuse.
            timeout_seconds: How long a source that is not local may take to show its first
                picture, above 0. Later it may stay silent for three times as long.
            max_pixels: Most pixels of a frame, as it is stored and as it is shown; a file with
                larger ones is refused before one is decoded. Frames in memory may have any size.

        Raises:
            VideoError: The source is missing, empty, damaged, without video, or no source at all;
                or the back end would not give the right frames of it.
            RequestError: `fps`, `video_stream`, `max_pixels` or `backend` does not fit the source,
                or the back end is unknown or not installed.
        """
        if fps is not None and not (math.isfinite(fps) and fps > 0):
            raise RequestError(f"fps is {fps}; it must be above 0: leave it out for {DEFAULT_FPS}")
        if video_stream is not None and video_stream < 0:
            raise RequestError(f"video_stream is {video_stream}; streams are numbered from 0")
        if not (math.isfinite(timeout_seconds) and timeout_seconds > 0):
            raise RequestError(f"timeout_seconds is {timeout_seconds}; it must be above 0")
        if max_pixels < 1:
            raise RequestError(f"max_pixels is {max_pixels}; a frame has at least 1 pixel")
        is_live = is_live_source(source)
        stills = None if is_live else _open_stills(source, fps or DEFAULT_FPS, max_pixels)
        if stills is None:
            if fps is not None:
                name = source_name(source)
                raise RequestError(f"{name}: has times of its own, so fps={fps} must be left out")
            if is_live:
                _refuse_backend(source, backend)
                return cls(LiveTrack(source, video_stream, timeout_seconds))
            media = replace(media_source(source, timeout_seconds), max_pixels=max_pixels)
            return cls(_open_media(source, media, video_stream, backend, timeout_seconds))
        if video_stream is not None:
            raise RequestError(f"{source_name(source)}: has no streams; leave video_stream out")
        _refuse_backend(source, backend)
        return cls(stills)

    @property
    def metadata(self) -> VideoMetadata:
        """Return what is known of the video; reading may add to its `warnings`."""
        return self._track.metadata

    def read(self, times_seconds: Sequence[float], *, max_side: int | None = None) -> Clip:
        """Return the frames at some times: for each the last frame at or before it.

        A frame that begins less than a tick of the file's clock after the time, and less than
        1 ms, counts as at it, because containers round.

        The clip has one frame for each time asked, in order of time whatever the order of asking,
        with the frames' own times. Times before the first frame give the first, times after the
        end the last; one asked twice, or two that fall on the same frame, give it twice.

        Args:
            times_seconds: Seconds since the first frame, at least one, finite, in any order.
            max_side: The longer side of the frames in pixels at most, at least 1. Longer ones are
                shrunk as they are converted, which is quicker than afterwards; None keeps the size
                of the video.

        Raises:
            RequestError: There is no time, or one is not finite; or `max_side` is below 1.
            LiveSourceError: The source is live, and has no past.
            VideoError: The video is damaged on the way there.
            ValueError: The reader is closed.
        """
        if isinstance(self._track, LiveTrack):
            self._track.start()
        times = sorted(float(time) for time in times_seconds)
        if not times or not all(map(math.isfinite, times)):
            raise RequestError(f"the times are {times}; give at least one, all of them finite")
        if max_side is not None and max_side < 1:
            raise RequestError(f"max_side is {max_side}; it must be at least 1 pixel")
        if self._closed:
            raise ValueError(f"{self._metadata.source}: the reader is closed; open it again")
        if self._cursor is None:
            self._cursor = self._track.start()
        return self._read(self._cursor, times, max_side)

    def stream(self, fps: float, chunk_frames: int = 8) -> Iterator[Clip]:
        """Yield the whole video as clips, in constant memory.

        Frame k of the stream is what `read` gives for the time k / fps, for every such time below
        the duration; above the video's own rate frames repeat. Streams are independent of each
        other and of `read`. A live source is watched from now on, by `videollm.live`, without an
        end and without repeating frames.

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
        if isinstance(self._track, LiveTrack):
            return self._track.stream(fps, chunk_frames)
        return self._stream(fps, chunk_frames)

    def close(self) -> None:
        """Let go of the source; reading again is an error."""
        self._closed = True
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None
        self._track.close()

    def _stream(self, fps: float, chunk_frames: int) -> Iterator[Clip]:
        num_frames = max(math.ceil(self._metadata.duration_seconds * fps - 1e-6), 1)
        cursor = self._track.start()
        try:
            for start in range(0, num_frames, chunk_frames):
                stop = min(start + chunk_frames, num_frames)
                yield self._read(cursor, [number / fps for number in range(start, stop)])
        finally:
            cursor.close()

    def _read(self, cursor: Cursor, times: list[float], max_side: int | None = None) -> Clip:
        height, width = self._metadata.height, self._metadata.width
        if max_side is not None and max(height, width) > max_side:
            height, width = fitted_size(height, width, max_side)
        # NumPy asks for huge pages, and copies without torch's threads: the decoder has its own.
        pictures = np.empty((len(times), 3, height, width), dtype=np.uint8)
        pts_seconds = torch.empty(len(times), dtype=torch.float64)
        for place, time in enumerate(times):
            picture, seconds = cursor.frame_at(time, max_side)
            pictures[place] = picture.numpy()
            pts_seconds[place] = seconds
        metadata = self.metadata
        return Clip(
            torch.from_numpy(pictures),
            pts_seconds,
            backend=metadata.backend,
            warnings=metadata.warnings,
        )


def _open_media(
    source: VideoSource,
    media: MediaSource,
    video_stream: int | None,
    backend: str | None,
    timeout_seconds: float,
) -> Track:
    name = choose_backend(backend)
    try:
        with media.opening():
            if video_stream in (None, 0) and is_animation(media.first_bytes()):
                _refuse_backend(source, backend)
                return AnimationTrack(media)
            return open_track(name, media, video_stream)
    except LiveSourceError:
        _refuse_backend(source, backend)
        return LiveTrack(source, video_stream, timeout_seconds)


def _refuse_backend(source: VideoSource, backend: str | None) -> None:
    if backend is not None:
        raise RequestError(f"{source_name(source)}: is read in one way only; leave backend out")


def _open_stills(source: VideoSource, fps: float, max_pixels: int) -> Track | None:
    if isinstance(source, (Tensor, np.ndarray)):
        return open_array(source, fps)
    if isinstance(source, (str, os.PathLike)):
        path = local_path(source)
        if path is not None and os.path.isdir(path):
            return open_folder(path, source_name(source), fps, max_pixels=max_pixels)
    return None
