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
from av.video.frame import PictureType, VideoFrame
from torch import Tensor

from videollm.errors import DamagedVideoError, SourceUnreachableError, VideoError
from videollm.video_clock import Clock
from videollm.video_notes import Notes
from videollm.video_pass import Decoded, MediaPass
from videollm.video_picture import Painter
from videollm.video_source import MediaSource
from videollm.video_survey import Survey, survey_media
from videollm.video_timing import declared_fps
from videollm.video_track import VideoMetadata

__all__ = ["FileCursor", "FileTrack"]

logger = logging.getLogger(__name__)

MIN_JUMP_FRAMES = 6
"""How many frames a jump must save to be worth it; two more for each further thread."""

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
        self._notes = Notes()
        self.survey, self._first_pass = survey_media(source, video_stream, self._notes)

    @property
    def metadata(self) -> VideoMetadata:
        """Return what the survey found, with all that was noted so far."""
        timing, geometry = self.survey.timing, self.survey.geometry
        return VideoMetadata(
            source=self._source.name,
            duration_seconds=timing.duration_seconds,
            fps=timing.fps,
            num_frames=timing.num_frames,
            height=geometry.height,
            width=geometry.width,
            rotation_degrees=geometry.rotation_degrees,
            keyframe_seconds=timing.keyframe_seconds,
            warnings=tuple(self._notes),
            **self.survey.facts,
            backend=f"pyav {av.__version__}",
        )

    def start(self) -> "FileCursor":
        """Return a new cursor with its own view of the file; the first goes on from the survey."""
        first_pass, self._first_pass = self._first_pass, None
        where = self._source, self._video_stream
        return FileCursor(*where, survey=self.survey, notes=self._notes, first_pass=first_pass)

    def close(self) -> None:
        """Let go of the file; cursors keep their own view of it."""
        if self._first_pass is not None:
            self._first_pass.close()
            self._first_pass = None


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
        notes: Receives what turns out not to be in order.
        first_pass: The pass of the survey, to begin with; it belongs to the cursor from now on.
    """

    def __init__(
        self,
        source: MediaSource,
        video_stream: int | None,
        *,
        survey: Survey,
        notes: Notes,
        first_pass: MediaPass | None = None,
    ) -> None:
        self._source = source
        self._video_stream = video_stream
        self._survey = survey
        self._notes = notes
        self._keys = survey.timing.key_seconds
        self._leads: tuple[float, ...] = LEADS_SECONDS
        self._threads = survey.threads
        self._painter = Painter(survey.geometry, source.name)
        self._painted: tuple[_Shown, int | None, Tensor] | None = None
        self._media: MediaPass | None = None
        self._first_pass = first_pass
        self._has_jumped = False
        self._frames = self._decode(iter(()))

    def frame_at(self, seconds: float, max_side: int | None = None) -> tuple[Tensor, float]:
        """Return the last frame at or before a time, (3, H, W), and its own time in seconds.

        Raises:
            VideoError: The file is damaged on the way there, or no longer answers.
        """
        try:
            try:
                self._go_to(seconds)
            except _DoubtError:
                # Threads report damage late and hide some: what one alone finds counts.
                self._threads = 1
                self.close()
                self._go_to(seconds)
        except VideoError:
            # A pass that failed has ended: left as it is, it would look like the video's end.
            self.close()
            raise
        if self._current.frame.is_corrupt:
            self._note_damage(self._current)
        if self._painted is None or self._painted[:2] != (self._current, max_side):
            picture = self._painter.picture(self._current.frame, max_side)
            self._painted = self._current, max_side, picture
        return self._painted[2], self._current.seconds

    def close(self) -> None:
        """Let go of the file, at once: a generator left open would keep it until collected."""
        self._frames.close()
        for media in (self._media, self._first_pass):
            if media is not None:
                media.close()
        self._media = self._first_pass = None

    def _go_to(self, seconds: float) -> None:
        if self._media is None:
            self._restart()
        self._walk_to(max(seconds, 0.0) + self._clock.tolerance_seconds)

    def _restart(self) -> None:
        """Begin again at the first frame, with a fresh decoder."""
        media, self._first_pass = self._first_pass, None
        self.close()
        if media is None:
            media = MediaPass(self._source, self._video_stream, threads=self._threads)
        self._media = media
        self._clock = Clock(
            media.stream.time_base or Fraction(1, 1000),
            self._survey.origin_ticks,
            step_seconds=1 / declared_fps(media.stream),
            decode_timed=self._survey.decode_timed,
            notes=self._notes,
        )
        self._has_jumped = False
        self._frames = self._decode(media.decoded())
        current = next(self._frames, None)
        if current is None:
            remedy = "it has changed since it was opened: open it again"
            raise DamagedVideoError(self._source.name, "no longer has a frame that decodes", remedy)
        self._current = current
        self._following = next(self._frames, None)

    def _walk_to(self, until: float) -> None:
        """Make the last frame that begins by a time the current one."""
        key = self._key_before(until)
        is_behind = until < self._current.seconds
        frames_skipped = ((key or 0.0) - self._current.seconds) * self._survey.timing.fps
        skips = frames_skipped > MIN_JUMP_FRAMES + 2 * (self._threads - 1)
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
        assert self._media is not None, "an open cursor has a pass"
        for lead in self._leads:
            if lead > 0 and key_seconds <= lead:
                return False
            self._frames.close()
            self._clock.jump()
            try:
                self._media.seek(self._clock.ticks(key_seconds - lead))
            except av.FFmpegError:
                break
            self._has_jumped = True
            self._frames = self._decode(self._media.decoded())
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

    def _decode(self, packets: Iterator[Decoded]) -> Generator[_Shown, None, None]:
        """Yield frames in order; pass over a broken beginning or end, refuse a broken middle."""
        num_frames = 0
        broken: tuple[float, str] | None = None
        for packet, frames in self._readable(packets):
            if not isinstance(frames, list):
                self._require_one_thread()
                if num_frames == 0 and not self._has_jumped:
                    self._notes.add("beginning", "its first packets do not decode; left out")
                elif num_frames > 0 and broken is None:
                    broken = self._clock.packet_seconds(packet), frames.strerror or ""
                continue
            for frame in frames:
                shown = _Shown(frame, self._clock.seconds(frame))
                if frame.is_corrupt:
                    self._require_one_thread()
                    # Behind a jump some lean on pictures that were left out: they are not shown.
                    if not self._has_jumped:
                        self._note_damage(shown)
                # The frames that the decoder still held are as good as those before.
                if broken is not None and packet.size > 0 and shown.seconds > broken[0]:
                    finding = f"is damaged at {broken[0]:.2f} s ({broken[1]})"
                    remedy = "copy or convert it again, or use only the part before"
                    raise DamagedVideoError(self._source.name, finding, remedy)
                num_frames += 1
                yield shown
        if broken is not None:
            self._warn(f"nothing can be read after {broken[0]:.2f} s")

    def _note_damage(self, shown: _Shown) -> None:
        sentence = f"pictures are damaged, as at {shown.seconds:.2f} s"
        self._notes.add("damage", f"{sentence}; the decoder filled in what they lack")

    def _warn(self, sentence: str) -> None:
        self._notes.add("end", sentence)
        logger.warning("%s: %s", self._source.name, sentence)

    def _readable(self, packets: Iterator[Decoded]) -> Iterator[Decoded]:
        try:
            yield from packets
        except MemoryError:
            raise
        except av.InvalidDataError as error:
            self._warn(f"the file ends in disorder ({error.strerror})")
        except av.FFmpegError as error:
            finding = f"stopped halfway ({error.strerror})"
            remedy = "try again, or download the file and give its path"
            raise SourceUnreachableError(self._source.name, finding, remedy) from None

    def _require_one_thread(self) -> None:
        if self._threads > 1:
            raise _DoubtError


class _DoubtError(Exception):
    """Say that several threads met something that one alone must judge."""


def _is_entry(frame: VideoFrame) -> bool:
    return frame.key_frame and frame.pict_type == PictureType.I
