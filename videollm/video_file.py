"""Frames of an encoded file by their times, the same pixels whatever the order of asking.

A cursor decodes forwards; it jumps to a keyframe only where that skips frames, only in containers
whose frames carry their own times, and only believes a landing that it can check. Where a
landing is wrong it starts again from the beginning, so that speed is all that can be lost.
Timestamps decide which frame is shown when, so a variable frame rate needs no special case.
"""

import logging
from bisect import bisect_right
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream
from torch import Tensor

from videollm.errors import VideoError
from videollm.video_container import open_media, read_packets
from videollm.video_picture import Painter
from videollm.video_source import MediaSource
from videollm.video_survey import Survey, declared_fps, survey_media
from videollm.video_track import TIME_TOLERANCE_SECONDS, VideoMetadata

__all__ = ["FileCursor", "FileTrack"]

logger = logging.getLogger(__name__)

MIN_JUMP_SECONDS = 0.5
MAX_ROUNDING_SECONDS = 0.0009

LEADS_SECONDS = (0.0, 2.0)
"""How far before the keyframe to aim: containers without an index land late, if only a little."""


class FileTrack:
    """One encoded video, surveyed when it is opened.

    Args:
        source: Where the bytes come from.
        video_stream: Which of the file's video streams, from 0; None chooses the best.

    Raises:
        VideoError: There is no video in it, or nothing of it decodes.
    """

    def __init__(self, source: MediaSource, video_stream: int | None = None) -> None:
        self._source = source
        self._video_stream = video_stream
        self._survey = survey_media(source, video_stream)

    @property
    def metadata(self) -> VideoMetadata:
        """Return what the survey found."""
        timing, geometry = self._survey.timing, self._survey.geometry
        return VideoMetadata(
            source=self._source.name,
            duration_seconds=timing.duration_seconds,
            fps=timing.fps,
            num_frames=timing.num_frames,
            height=geometry.height,
            width=geometry.width,
            codec=self._survey.codec,
            rotation_degrees=geometry.rotation_degrees,
        )

    def start(self) -> "FileCursor":
        """Return a new cursor with its own view of the file."""
        return FileCursor(self._source, self._video_stream, self._survey)


class Clock:
    """Give every frame of a pass its time: by its stamp, or one step after the frame before.

    Stamps are whole ticks, and Matroska's tick is a millisecond: at 30 frames per second the third
    frame is stamped 0.067, after 2 / 30. So a frame that begins less than `tolerance_seconds`
    after a requested time counts as at it; that is a little under a tick, and under 1 ms.

    Args:
        time_base: Seconds per tick of a stamp.
        origin_ticks: Stamp of the video's first frame; None if that has none.
        step_seconds: Distance to the frame before, for a frame without a usable stamp.
        decode_timed: Whether the stamp of decoding is the one to use.
    """

    def __init__(
        self,
        time_base: Fraction,
        origin_ticks: int | None,
        *,
        step_seconds: float,
        decode_timed: bool,
    ) -> None:
        self._time_base = time_base
        self._origin_ticks = origin_ticks
        self._step_seconds = step_seconds
        self._decode_timed = decode_timed
        self._last_seconds: float | None = None
        rounding = min(0.9 * float(time_base), MAX_ROUNDING_SECONDS, step_seconds / 4)
        self.tolerance_seconds = rounding + TIME_TOLERANCE_SECONDS

    def seconds(self, frame: VideoFrame) -> float:
        """Return the time of the next frame of the pass; it always rises."""
        last = self._last_seconds
        seconds = self._stamped(frame)
        if seconds is None or (last is not None and seconds <= last):
            seconds = 0.0 if last is None else last + self._step_seconds
        self._last_seconds = seconds
        return seconds

    def packet_seconds(self, packet: "Packet[VideoStream]") -> float:
        """Return the time of a packet, or that of the last frame if it has none."""
        seconds = self._stamped(packet)
        return seconds if seconds is not None else self._last_seconds or 0.0

    def ticks(self, seconds: float) -> int:
        """Return the last stamp at or before a time."""
        origin = self._origin_ticks or 0
        return origin + int((seconds + self.tolerance_seconds) / self._time_base)

    def jump(self) -> None:
        """Forget the last time: the next frame may come from anywhere."""
        self._last_seconds = None

    def _stamped(self, item: "VideoFrame | Packet[VideoStream]") -> float | None:
        ticks = item.dts if self._decode_timed else item.pts
        if ticks is None or self._origin_ticks is None:
            return None
        return float((ticks - self._origin_ticks) * self._time_base)


@dataclass(frozen=True, slots=True)
class _Shown:
    frame: VideoFrame
    seconds: float


class FileCursor:
    """Walk over a video file.

    Args:
        source: Where the bytes come from.
        video_stream: Which of the file's video streams, from 0; None chooses the best.
        survey: What was found there.
    """

    def __init__(self, source: MediaSource, video_stream: int | None, survey: Survey) -> None:
        self._source = source
        self._video_stream = video_stream
        self._survey = survey
        self._keys = survey.timing.key_seconds
        self._leads: tuple[float, ...] = LEADS_SECONDS
        self._painter = Painter(survey.geometry)
        self._painted: tuple[_Shown, Tensor] | None = None
        self._container: InputContainer | None = None

    def frame_at(self, seconds: float) -> tuple[Tensor, float]:
        """Return the last frame at or before a time, (3, H, W), and its own time in seconds.

        Raises:
            VideoError: The file is damaged on the way there, or no longer answers.
        """
        try:
            if self._container is None:
                self._restart()
            self._walk_to(max(seconds, 0.0) + self._clock.tolerance_seconds)
        except VideoError:
            # A pass that failed has ended: left as it is, it would look like the video's end.
            self.close()
            raise
        if self._painted is None or self._painted[0] is not self._current:
            self._painted = self._current, self._painter.picture(self._current.frame)
        return self._painted[1], self._current.seconds

    def close(self) -> None:
        """Let go of the file."""
        if self._container is not None:
            self._frames.close()
            self._container.close()
            self._container = None

    def _restart(self) -> None:
        """Begin again at the first frame, with a fresh decoder."""
        self.close()
        self._container, self._stream = open_media(self._source, self._video_stream)
        self._clock = Clock(
            self._stream.time_base or Fraction(1, 1000),
            self._survey.origin_ticks,
            step_seconds=1 / declared_fps(self._stream),
            decode_timed=self._survey.decode_timed,
        )
        self._frames = self._decode(self._container, self._stream)
        current = next(self._frames, None)
        if current is None:
            remedy = "it has changed since it was opened: open it again"
            raise VideoError(self._source.name, "no longer has a frame that decodes", remedy)
        self._current = current
        self._following = next(self._frames, None)

    def _walk_to(self, until: float) -> None:
        """Make the last frame that begins by a time the current one."""
        key = self._key_before(until)
        is_behind = until < self._current.seconds
        skips = key is not None and key > self._current.seconds + MIN_JUMP_SECONDS
        if (is_behind or skips) and (key is None or not self._jump(until, key)):
            self._restart()
        self._step_to(until)
        last = min(until, self._survey.timing.last_seconds)
        if self._following is None and self._keys and self._current.seconds < last:
            # After a jump some damaged containers end before their time.
            self._keys = ()
            self._restart()
            self._step_to(until)

    def _step_to(self, until: float) -> None:
        while self._following is not None and self._following.seconds <= until:
            self._current, self._following = self._following, next(self._frames, None)

    def _key_before(self, until: float) -> float | None:
        place = bisect_right(self._keys, until)
        return self._keys[place - 1] if place else None

    def _jump(self, until: float, key_seconds: float) -> bool:
        """Land on a keyframe at or before a time; return whether that can be relied on."""
        assert self._container is not None, "an open cursor has a container"
        for lead in self._leads:
            if lead > 0 and key_seconds <= lead:
                return False
            self._frames.close()
            self._clock.jump()
            try:
                goal = self._clock.ticks(key_seconds - lead)
                self._container.seek(goal, stream=self._stream)
            except av.FFmpegError:
                break
            self._frames = self._decode(self._container, self._stream)
            # Frames shown before the keyframe lean on others that were not decoded.
            landing = next((shown for shown in self._frames if _is_entry(shown.frame)), None)
            # How a damaged keyframe is mended depends on what the decoder showed before it.
            is_sound = landing is not None and not landing.frame.is_corrupt
            if landing is not None and is_sound and landing.seconds <= until:
                self._current, self._following = landing, next(self._frames, None)
                return True
            self._leads = self._leads[1:]
        logger.debug("%s: seeking is not reliable; reading forwards only", self._source.name)
        self._keys = ()
        return False

    def _decode(
        self, container: InputContainer, stream: VideoStream
    ) -> Generator[_Shown, None, None]:
        """Yield frames in order; pass over a broken beginning or end, refuse a broken middle."""
        num_frames = 0
        broken: tuple[float, str] | None = None
        for packet in self._packets(container, stream):
            try:
                frames = stream.decode(packet)
            except MemoryError:
                raise
            except av.FFmpegError as error:
                if broken is None and num_frames > 0:
                    broken = self._clock.packet_seconds(packet), error.strerror or ""
                continue
            for frame in frames:
                shown = _Shown(frame, self._clock.seconds(frame))
                # The frames that the decoder still held are as good as those before.
                if broken is not None and packet.size > 0 and shown.seconds > broken[0]:
                    finding = f"is damaged at {broken[0]:.2f} s ({broken[1]})"
                    remedy = "copy or convert it again, or use only the part before"
                    raise VideoError(self._source.name, finding, remedy)
                num_frames += 1
                yield shown
        if broken is not None:
            logger.warning("%s: nothing can be read after %.2f s", self._source.name, broken[0])

    def _packets(
        self, container: InputContainer, stream: VideoStream
    ) -> "Iterator[Packet[VideoStream]]":
        try:
            yield from read_packets(container, stream)
        except MemoryError:
            raise
        except av.InvalidDataError as error:
            logger.warning("%s: the file ends in disorder (%s)", self._source.name, error.strerror)
        except av.FFmpegError as error:
            finding = f"stopped halfway ({error.strerror})"
            remedy = "try again, or download the file and give its path"
            raise VideoError(self._source.name, finding, remedy) from None


def _is_entry(frame: VideoFrame) -> bool:
    return frame.key_frame and frame.pict_type == PictureType.I
