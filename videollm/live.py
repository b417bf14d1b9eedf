"""Live video: cameras, RTSP, HLS and endless web streams, and files played as if they were live.

`LiveStream.open` gives the frames as they come, at a rate that was asked for, in constant memory:
a thread decodes, a bounded buffer drops the oldest frames when nobody takes them, and a broken
connection is made again. What is past is gone: reading by time is for `videollm.video`.

Legend: T frames, H height, W width.
"""

import math
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch

from videollm.clip import Clip
from videollm.closing import Closing
from videollm.errors import DamagedVideoError, RequestError, SourceTimeoutError
from videollm.live_buffer import FrameBuffer, LiveFrame
from videollm.live_reader import LiveOptions, LiveReader
from videollm.live_source import is_live_source, live_source
from videollm.video_track import VideoMetadata

__all__ = ["LiveFrame", "LiveOptions", "LiveStats", "LiveStream", "is_live_source"]

CLOSE_SECONDS = 0.8


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveStats:
    """Hold what became of a stream so far.

    Args:
        num_frames: Frames that were taken.
        num_dropped: Frames that gave way to newer ones because nobody took them in time.
        num_reconnects: How often a broken connection was made again.
        gap_seconds: How long the connection was broken in all, in front of the frames taken.
    """

    num_frames: int
    num_dropped: int
    num_reconnects: int
    gap_seconds: float


class LiveStream(Closing):
    """Watch a live source: an iterator of `LiveFrame`, and a context manager.

    Frames come when they are there, at most `fps` of them in a second of media time; none is
    given twice. The stream ends where a recording ends; a source that is live ends only when it
    is closed, or fails.

    Args:
        reader: The thread that reads, started; use `LiveStream.open` to get a stream.
        buffer: Where it puts frames.
        metadata: What is known of the video.
    """

    def __init__(self, reader: LiveReader, buffer: FrameBuffer, metadata: VideoMetadata) -> None:
        self._reader = reader
        self._buffer = buffer
        self._metadata = metadata
        self._num_frames = 0
        self._gap_seconds = 0.0
        weakref.finalize(self, reader.stop)

    @classmethod
    def open(
        cls,
        source: object,
        fps: float = 2.0,
        *,
        video_stream: int | None = None,
        options: LiveOptions | None = None,
    ) -> Self:
        """Return a stream whose first frame is there.

        Args:
            source: A camera: its number, `camera:` with its number or name, or on Linux its
                device path; an rtsp(s) or http(s) address, HLS playlists included; or a path,
                bytes or a binary file object, which are played.
            fps: The most frames in a second of media time, above 0.
            video_stream: Which of the source's video streams, from 0; None chooses the best.
            options: How to watch; None is `LiveOptions()`.

        Raises:
            VideoError: The source is absent, busy, out of reach, silent or no video.
            RequestError: `fps` is out of range.
        """
        if not (math.isfinite(fps) and fps > 0):
            raise RequestError(f"fps is {fps}; a stream needs more than 0 frames per second")
        options = options or LiveOptions()
        opened = live_source(
            source,
            timeout_seconds=options.timeout_seconds,
            rtsp_transport=options.rtsp_transport,
        )
        when_full = options.when_full or ("block" if opened.is_local else "drop_oldest")
        buffer = FrameBuffer(options.buffer_frames, drops_oldest=when_full == "drop_oldest")
        reader = LiveReader(opened, fps, video_stream, buffer=buffer, options=options)
        reader.start()
        try:
            has_come = buffer.wait(options.timeout_seconds)
            if not has_come:
                finding = f"no picture within {options.timeout_seconds:g} s"
                remedy = "check that it is running, or allow more with timeout_seconds"
                raise SourceTimeoutError(opened.name, finding, remedy)
            if reader.metadata is None:
                remedy = "copy, download or convert it again"
                raise DamagedVideoError(opened.name, "not one frame can be decoded", remedy)
        except BaseException:
            _stop(reader)
            raise
        return cls(reader, buffer, reader.metadata)

    @property
    def metadata(self) -> VideoMetadata:
        """Return what is known: the duration is infinite and the number of frames 0."""
        return self._metadata

    @property
    def stats(self) -> LiveStats:
        """Return what became of the stream so far."""
        return LiveStats(
            num_frames=self._num_frames,
            num_dropped=self._buffer.num_dropped,
            num_reconnects=self._reader.num_reconnects,
            gap_seconds=self._gap_seconds,
        )

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> LiveFrame:
        """Return the next frame, as soon as there is one.

        Raises:
            StopIteration: The source has come to its end, or the stream was closed.
            VideoError: The source failed, and could not be opened again in time.
        """
        frame = self._buffer.get()
        if frame is None:
            raise StopIteration
        self._num_frames += 1
        self._gap_seconds += frame.gap_seconds
        return frame

    def clips(self, chunk_frames: int = 8) -> Iterator[Clip]:
        """Yield the frames as clips, with media times; the last clip may have fewer frames.

        Args:
            chunk_frames: Frames of each clip, at least 1.

        Raises:
            RequestError: `chunk_frames` is below 1.
            VideoError: As `__next__`.
        """
        if chunk_frames < 1:
            raise RequestError(f"chunk_frames is {chunk_frames}; a chunk has at least 1 frame")
        return self._clips(chunk_frames)

    def close(self) -> None:
        """Stop watching, within a second.

        A thread that is inside the decoder's own wait for a silent RTSP server or for the next
        part of a live playlist cannot be woken: it ends by itself with that wait.
        """
        _stop(self._reader)

    def _clips(self, chunk_frames: int) -> Iterator[Clip]:
        held: list[LiveFrame] = []
        for frame in self:
            held.append(frame)
            if len(held) == chunk_frames:
                yield _clip(held)
                held = []
        if held:
            yield _clip(held)


def _clip(frames: list[LiveFrame]) -> Clip:
    seconds = [frame.media_seconds for frame in frames]
    return Clip(
        frames=torch.stack([frame.picture for frame in frames]),
        pts_seconds=torch.tensor(seconds, dtype=torch.float64),
    )


def _stop(reader: LiveReader) -> None:
    reader.stop()
    reader.join(CLOSE_SECONDS)
