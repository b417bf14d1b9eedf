"""The thread that keeps a live source open, decodes it and puts the wanted frames in a buffer.

Everything the decoder touches is opened, read and closed by this one thread.
"""

import logging
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from videollm.errors import (
    DamagedVideoError,
    RequestError,
    SourceTimeoutError,
    SourceUnreachableError,
    VideoError,
)
from videollm.live_buffer import FrameBuffer, LiveFrame
from videollm.live_clock import LiveClock
from videollm.live_source import DeviceSource
from videollm.video_clock import rounding_seconds
from videollm.video_container import open_container, read_packets, video_stream_of
from videollm.video_crop import stated_crop
from videollm.video_facts import stream_facts
from videollm.video_picture import Painter, frame_geometry
from videollm.video_source import DEFAULT_TIMEOUT_SECONDS, MediaSource
from videollm.video_stills import DEFAULT_FPS
from videollm.video_timing import declared_fps
from videollm.video_track import VideoMetadata
from videollm.video_website import Website

__all__ = ["LiveOptions", "LiveReader"]

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.25
MAX_PAUSE_SECONDS = 5.0
POLL_SECONDS = 0.005


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveOptions:
    """Hold how a live source is watched.

    Args:
        timeout_seconds: How long opening may take, above 0; and how long a camera or an RTSP
            server may then stay silent before the connection counts as broken. Web servers may
            for three times as long.
        reconnect_seconds: For how long a broken connection is tried again, with growing pauses
            of 0.25 s to 5 s, before the stream fails; 0 is not at all. Files are not.
        buffer_frames: The most pictures that wait to be taken, at least 1.
        when_full: `drop_oldest` keeps up with the present; `block` loses nothing and falls behind.
            None is `block` for what is local and `drop_oldest` for all else.
        real_time: Whether a recording is shown at its own pace; else as fast as it can be read.
        rtsp_transport: Whether RTSP pictures come by TCP, or by UDP, where some may be lost.

    Raises:
        RequestError: A number is out of its range.
    """

    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    reconnect_seconds: float = 60.0
    buffer_frames: int = 8
    when_full: Literal["drop_oldest", "block"] | None = None
    real_time: bool = False
    rtsp_transport: Literal["tcp", "udp"] = "tcp"

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        if not (math.isfinite(self.timeout_seconds) and self.timeout_seconds > 0):
            raise RequestError(f"timeout_seconds is {self.timeout_seconds}; it must be above 0")
        if not self.reconnect_seconds >= 0:
            raise RequestError(f"reconnect_seconds is {self.reconnect_seconds}; 0 is not at all")
        if self.buffer_frames < 1:
            raise RequestError(f"buffer_frames is {self.buffer_frames}; hold at least 1")


class LiveReader(threading.Thread):
    """Read a source until it ends, fails or is stopped.

    Args:
        source: What to read.
        fps: The most frames to hand over in a second of media time.
        video_stream: Which of the source's video streams, from 0; None chooses the best.
        buffer: Where the frames go.
        options: How to read.
    """

    def __init__(
        self,
        source: DeviceSource | MediaSource,
        fps: float,
        video_stream: int | None,
        *,
        buffer: FrameBuffer,
        options: LiveOptions,
    ) -> None:
        super().__init__(name=f"videollm-live {source.name}", daemon=True)
        self.metadata: VideoMetadata | None = None
        self.num_reconnects = 0
        self._source = source
        self._fps = fps
        self._video_stream = video_stream
        self._buffer = buffer
        self._options = options
        self._stopping = threading.Event()
        self._clock: LiveClock | None = None
        self._painter: Painter | None = None
        self._next_tick = 0.0
        self._started_wall_seconds = 0.0
        self._broken_since: float | None = None
        self._num_tries = 0
        self._has_warned = False

    def run(self) -> None:
        """Read; whatever happens ends in the buffer."""
        try:
            self._watch()
        except BaseException as error:
            # Another thread waits for frames: it has to hear of everything that ends them.
            self._buffer.end(error)
        else:
            self._buffer.end()

    def stop(self) -> None:
        """Have the thread end soon, wherever it is."""
        self._stopping.set()
        self._buffer.clear()
        if isinstance(self._source, DeviceSource):
            self._source.patience.cancel()
        elif isinstance(self._source.location, Website):
            self._source.location.patience.cancel()

    def _watch(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._play():
                    return
                finding, remedy = "the connection was closed by the other side", "open it again"
                failure: VideoError = SourceUnreachableError(self._source.name, finding, remedy)
            except VideoError as error:
                failure = error
            if self._stopping.is_set():
                return
            if not self._pause():
                raise failure
            logger.warning("%s; trying again", failure)

    def _pause(self) -> bool:
        """Wait before the next try; return whether there is to be one."""
        now = time.monotonic()
        if self._clock is None or self._clock.last_seconds is None or self._source.is_local:
            return False
        if self._broken_since is None:
            self._broken_since, self._num_tries = now, 0
        seconds = min(FIRST_PAUSE_SECONDS * 2**self._num_tries, MAX_PAUSE_SECONDS)
        if now + seconds > self._broken_since + self._options.reconnect_seconds:
            return False
        self._num_tries += 1
        self._stopping.wait(seconds)
        return True

    def _play(self) -> bool:
        """Read one connection to its end; return whether that is the end of the source."""
        source = self._source
        if isinstance(source, MediaSource):
            with source.opening():
                container = open_container(source)
        else:
            container = source.open()
        with container:
            stream = video_stream_of(source.name, container, self._video_stream)
            is_playlist = container.format.name == "hls"
            is_endless = isinstance(source, DeviceSource) or source.is_endless(container.duration)
            if self._clock is None:
                self._clock = LiveClock(is_endless=is_endless)
            self._clock.connect()
            step_seconds = 1 / declared_fps(stream)
            for frame in self._frames(container, stream):
                self._take(frame, stream, step_seconds)
                if self._stopping.is_set():
                    return True
        return is_playlist or not is_endless

    def _take(self, frame: VideoFrame, stream: VideoStream, step_seconds: float) -> None:
        """Hand a frame over if it is one of those wanted."""
        assert self._clock is not None, "a connection has a clock"
        base = stream.time_base or Fraction(1, 1000)
        stamp = None if frame.pts is None else frame.pts * base
        told = self._clock.tell(stamp, time.time(), step_seconds)
        if self._broken_since is not None:
            self._broken_since = None
            self.num_reconnects += 1
        if told is None:
            return
        seconds, gap_seconds = told
        # Stamps are whole ticks of the stream's clock, so they may fall a little short.
        reached = seconds + rounding_seconds(base, step_seconds)
        if gap_seconds == 0 and reached < self._next_tick:
            return
        self._next_tick = (math.floor(reached * self._fps) + 1) / self._fps
        if self._painter is None:
            self._begin(frame, stream)
        assert self._painter is not None, "the first frame made one"
        if self._options.real_time:
            self._stopping.wait(max(self._started_wall_seconds + seconds - time.time(), 0.0))
        self._buffer.put(
            LiveFrame(
                picture=self._painter.picture(frame),
                media_seconds=seconds,
                wall_seconds=time.time(),
                gap_seconds=gap_seconds,
            )
        )

    def _begin(self, frame: VideoFrame, stream: VideoStream) -> None:
        geometry = frame_geometry(frame, stream.sample_aspect_ratio, stated_crop(stream))
        rate = stream.average_rate or stream.guessed_rate
        self._painter = Painter(geometry, self._source.name)
        self._started_wall_seconds = time.time()
        self.metadata = VideoMetadata(
            source=self._source.name,
            duration_seconds=math.inf,
            fps=float(rate) if rate else DEFAULT_FPS,
            num_frames=0,
            height=geometry.height,
            width=geometry.width,
            rotation_degrees=geometry.rotation_degrees,
            **stream_facts(stream, frame),
        )

    def _seconds_read(self) -> float:
        return (self._clock.last_seconds if self._clock else None) or 0.0

    def _frames(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        # Threads that work on several frames at once hold back as many.
        stream.codec_context.thread_type = "SLICE"
        for packet in self._packets(container, stream):
            try:
                yield from stream.decode(packet)
            except av.InvalidDataError as error:
                # The first packets may lean on pictures from before that nobody has.
                if self._painter is not None and not self._has_warned:
                    name, reason = self._source.name, error.strerror
                    logger.warning("%s: pictures are left out as damaged (%s)", name, reason)
                    self._has_warned = True

    def _packets(
        self, container: InputContainer, stream: VideoStream
    ) -> "Iterator[Packet[VideoStream]]":
        name, silent_since = self._source.name, time.monotonic()
        while not self._stopping.is_set():
            try:
                for packet in read_packets(container, stream):
                    yield packet
                    silent_since = time.monotonic()
            except av.BlockingIOError:
                # A camera that has nothing yet.
                silence = self._options.timeout_seconds
                if time.monotonic() - silent_since > silence:
                    finding = f"sent nothing for {silence:g} s"
                    raise SourceTimeoutError(name, finding, "check that it is running") from None
                self._stopping.wait(POLL_SECONDS)
            except av.FFmpegError as error:
                if isinstance(self._source, DeviceSource):
                    raise self._source.explain(error) from None
                finding = f"is damaged after {self._seconds_read():.2f} s ({error.strerror})"
                remedy = "copy or convert it again, or use only the part before"
                raise DamagedVideoError(name, finding, remedy) from None
            else:
                return
