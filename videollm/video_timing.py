"""Counts and times of a video: from the stamps of its packets, or from its header.

Stamps are in the units of the stream's time base; times are seconds since the first frame.
"""

from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from videollm.video_stills import DEFAULT_FPS

__all__ = [
    "Stamp",
    "Timing",
    "declared_fps",
    "seconds_of",
    "start_ticks",
    "timing_of_header",
    "timing_of_stamps",
]

RAW_FORMATS = frozenset({"h264", "hevc", "m4v", "mpegvideo", "vvc"})
"""Formats without times, whose average rate is the decoder's 25 and not what the stream says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Hold the counts and times of a video.

    Args:
        num_frames: Frames in the file, at least 1.
        duration_seconds: From the start of the first frame to the end of the last, above 0.
        fps: Mean frames per second, above 0.
        keyframe_seconds: Rising times of the frames that decode alone; empty if that is not known.
        may_jump: Whether seeking to them is safe.
        frame_seconds: Rising times of all frames; empty if packets do not tell them.
    """

    num_frames: int
    duration_seconds: float
    fps: float
    keyframe_seconds: tuple[float, ...] = ()
    may_jump: bool = False
    frame_seconds: tuple[float, ...] = ()

    @property
    def key_seconds(self) -> tuple[float, ...]:
        """Return rising times at which decoding can begin; empty if seeking is not safe."""
        return self.keyframe_seconds if self.may_jump else ()

    @property
    def last_seconds(self) -> float:
        """Return when the last frame begins; 0 where its packet was not looked at."""
        return self.frame_seconds[-1] if self.frame_seconds else 0.0


@dataclass(frozen=True, slots=True)
class Stamp:
    """Hold what a packet says of its frame.

    Args:
        ticks: When it is shown (decoded, where that is all there is), in the stream's time base.
        duration_ticks: How long; 0 where it does not say.
        is_keyframe: Whether it decodes alone.
    """

    ticks: int | None
    duration_ticks: int
    is_keyframe: bool


def declared_fps(stream: VideoStream) -> float:
    """Return the rate that the file declares, or 25 where it declares none."""
    is_raw = stream.container.format.name in RAW_FORMATS
    rate = (None if is_raw else stream.average_rate) or stream.guessed_rate
    return float(rate) if rate else DEFAULT_FPS


def seconds_of(ticks: int, time_base: Fraction) -> float:
    """Return what a number of ticks lasts: as the fraction rounds, and several times sooner."""
    return ticks * time_base.numerator / time_base.denominator


def start_ticks(stamps: list[Stamp], origin: int | None, decode_timed: bool) -> int | None:
    """Return the stamp that counts as 0 s, or None where the stamps are of no use.

    Args:
        stamps: Of all packets.
        origin: Stamp of the first frame that decodes.
        decode_timed: Whether the stamps are those of decoding.
    """
    ticks = [stamp.ticks for stamp in stamps if stamp.ticks is not None]
    if origin is None or len(ticks) < len(stamps) or max(ticks, default=origin) < origin:
        return None
    # Packets before the first frame that decodes show nothing.
    return min(ticks) if decode_timed else origin


def timing_of_stamps(
    stream: VideoStream, stamps: list[Stamp], start: int | None, *, seekable: bool
) -> Timing:
    """Return counts and times as the packets have them.

    Args:
        stream: The video.
        stamps: Of all packets.
        start: What `start_ticks` returned.
        seekable: Whether the container finds keyframes.
    """
    base = stream.time_base or Fraction(1, 1000)
    declared = declared_fps(stream)
    # Two packets with one stamp are one frame: its second field, or padding.
    shown = {
        stamp.ticks: stamp
        for stamp in stamps
        if stamp.ticks is not None and start is not None and stamp.ticks >= start
    }
    if not shown or start is None:
        num_frames = max(len(stamps), 1)
        return Timing(num_frames=num_frames, duration_seconds=num_frames / declared, fps=declared)
    last_ticks = max(shown)
    last_duration = seconds_of(shown[last_ticks].duration_ticks, base) or 1 / declared
    duration = seconds_of(last_ticks - start, base) + last_duration
    measured = len(shown) / duration
    is_unique = len({stamp.ticks for stamp in stamps}) == len(stamps)
    return Timing(
        num_frames=len(shown),
        duration_seconds=duration,
        fps=declared if abs(declared - measured) <= 0.1 * measured else measured,
        keyframe_seconds=tuple(
            seconds_of(ticks - start, base) for ticks in sorted(shown) if shown[ticks].is_keyframe
        ),
        may_jump=seekable and is_unique,
        frame_seconds=tuple(seconds_of(ticks - start, base) for ticks in sorted(shown)),
    )


def timing_of_header(
    container: InputContainer, stream: VideoStream, origin: int | None, *, seekable: bool
) -> Timing:
    """Return counts and times as the header and the index have them.

    Args:
        container: The opened file; it is sought in.
        stream: The video.
        origin: Stamp of the first frame that decodes.
        seekable: Whether the container finds keyframes.
    """
    base = stream.time_base or Fraction(1, 1000)
    if stream.duration:
        duration = float(stream.duration * base)
    else:
        duration = (container.duration or 0) / av.time_base
    fps = declared_fps(stream)
    try:
        # Matroska reads its index only when the first seek asks for it.
        container.seek(0)
        keys = [entry.timestamp for entry in stream.index_entries if entry.is_keyframe]
    except av.FFmpegError:
        keys = []
    return Timing(
        num_frames=stream.frames or max(round(duration * fps), 1),
        duration_seconds=duration,
        fps=fps,
        keyframe_seconds=tuple(
            max(float((ticks - origin) * base), 0.0) for ticks in sorted(keys) if origin is not None
        ),
        may_jump=seekable and origin is not None,
    )
