"""What a video file holds, found before anything is asked of it.

One pass over the packets, and decoding until the first frame, find the true count, the true
duration, the keyframes and whether the times can be trusted for seeking. Headers lie about all of
these: edit lists hide frames, AVI pads its count, downloads cut short promise the whole.
The header of a remote file, or of a very large one with an index, is believed instead.
"""

from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from videollm.video_clock import rounding_seconds
from videollm.video_colour import check_colours
from videollm.video_pass import MediaPass, threads_for
from videollm.video_picture import Geometry, frame_geometry
from videollm.video_refusals import check_size, encrypted, no_frame
from videollm.video_source import MediaSource
from videollm.video_stills import DEFAULT_FPS

__all__ = ["Survey", "survey_media"]

MAX_SCAN_BYTES = 256 * 2**20
MAX_PACKETS_BEFORE_FRAME = 2000

SEEKABLE_FORMATS = frozenset({"flv", "matroska", "mov"})
"""Containers whose frames carry their own times, so that a frame is known wherever one lands."""

SEEKABLE_IN_MPEGTS = frozenset({"h264", "hevc"})
"""Codecs whose frames keep their times in MPEG-TS, too; of older ones they are partly guessed from
the frames before, and the guess is another one after a landing."""

INDEXED_FORMATS = frozenset({"matroska", "mov"})
"""Containers that say where the keyframes are, without being read through."""

DECODE_TIMED_FORMATS = frozenset({"avi"})
"""Containers that store the order of decoding only; what passes for display times is a guess."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Hold the counts and times of a video.

    Args:
        num_frames: Frames in the file, at least 1.
        duration_seconds: From the start of the first frame to the end of the last, above 0.
        fps: Mean frames per second, above 0.
        key_seconds: Rising times at which decoding can begin; empty if seeking is not safe.
        frame_seconds: Rising times of all frames; empty if packets do not tell them.
    """

    num_frames: int
    duration_seconds: float
    fps: float
    key_seconds: tuple[float, ...] = ()
    frame_seconds: tuple[float, ...] = ()

    @property
    def last_seconds(self) -> float:
        """Return when the last frame begins; 0 where its packet was not looked at."""
        return self.frame_seconds[-1] if self.frame_seconds else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """Hold what one look at a file tells.

    Args:
        codec: Name of the decoder.
        geometry: How stored frames become upright pictures.
        timing: Counts and times.
        origin_ticks: Time stamp of the first frame that decodes, in units of the stream's time
            base; None if it has none.
        decode_timed: Whether frames are timed by the order of decoding.
        stream_index: Place of the video stream among all streams of the file.
        bit_depth: Bits of a stored sample.
        rounding_seconds: How late a frame may begin and count as at a requested time.
        threads: How many threads should decode it.
    """

    codec: str
    geometry: Geometry
    timing: Timing
    origin_ticks: int | None
    decode_timed: bool
    stream_index: int
    bit_depth: int
    rounding_seconds: float
    threads: int


@dataclass(frozen=True, slots=True)
class _Stamp:
    ticks: int | None
    duration_ticks: int
    is_keyframe: bool


def survey_media(source: MediaSource, video_stream: int | None) -> tuple[Survey, MediaPass | None]:
    """Return what the packets of a source say, and the pass that read them, at its beginning.

    The pass is None where it would have to read the source again.

    Args:
        source: Where the bytes come from.
        video_stream: Which of the file's video streams, from 0; None chooses the best.

    Raises:
        VideoError: The source cannot be opened, or not one frame of it decodes.
    """
    media = MediaPass(source, video_stream)
    try:
        survey = _survey(source, media, threaded=True)
        if survey.threads > 1 and media.has_errors:
            # Threads report damage late: one alone says where it is.
            media.close()
            media = MediaPass(source, video_stream)
            survey = _survey(source, media, threaded=False)
    except BaseException:
        media.close()
        raise
    if media.is_whole:
        return survey, media
    media.close()
    return survey, None


def _survey(source: MediaSource, media: MediaPass, *, threaded: bool) -> Survey:
    container, stream = media.container, media.stream
    decode_timed = bool(set(container.format.name.split(",")) & DECODE_TIMED_FORMATS)
    believed = _header_is_believed(source, container, stream)
    stamps = [] if believed else _stamps(media, decode_timed)
    threads = 1
    if threaded and not decode_timed:
        context = stream.codec_context
        threads = threads_for(len(stamps) * context.width * context.height)
    media.use_threads(threads)
    first = _first_frame(media, threads)
    if media.is_encrypted:
        # Some of it may decode all the same, into noise.
        raise encrypted(source.name, stream)
    if first is None:
        raise no_frame(source, stream)
    check_colours(source.name, first)
    geometry = frame_geometry(first, stream.sample_aspect_ratio)
    check_size(source.name, geometry.width, geometry.height, source.max_pixels)
    origin = first.dts if decode_timed else first.pts
    if believed:
        timing = _timing_of_header(container, stream, origin)
    else:
        seekable = _is_seekable(container, stream)
        start = _start_ticks(stamps, origin, decode_timed)
        timing = _timing_of_stamps(stream, stamps, start, seekable=seekable)
    return Survey(
        codec=stream.codec_context.name,
        geometry=geometry,
        timing=timing,
        origin_ticks=origin,
        decode_timed=decode_timed,
        stream_index=stream.index,
        bit_depth=max(component.bits for component in first.format.components),
        rounding_seconds=rounding_seconds(
            stream.time_base or Fraction(1, 1000), 1 / declared_fps(stream)
        ),
        threads=threads,
    )


def declared_fps(stream: VideoStream) -> float:
    """Return the rate that the file declares, or 25 where it declares none."""
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else DEFAULT_FPS


def _stamps(media: MediaPass, decode_timed: bool) -> list[_Stamp]:
    return [
        _Stamp(packet.dts if decode_timed else packet.pts, packet.duration or 0, packet.is_keyframe)
        for packet in media.read_ahead()
        if packet.size > 0 and not packet.is_discard
    ]


def _first_frame(media: MediaPass, threads: int) -> VideoFrame | None:
    try:
        return media.decode_ahead(MAX_PACKETS_BEFORE_FRAME + threads)
    except MemoryError:
        raise
    except av.FFmpegError:
        return None


def _header_is_believed(
    source: MediaSource, container: InputContainer, stream: VideoStream
) -> bool:
    if not (stream.duration or container.duration):
        return False
    if source.size_bytes is None:
        return True
    has_index = bool(set(container.format.name.split(",")) & INDEXED_FORMATS)
    return has_index and source.size_bytes > MAX_SCAN_BYTES


def _is_seekable(container: InputContainer, stream: VideoStream) -> bool:
    if container.format.name == "mpegts":
        return stream.codec_context.name in SEEKABLE_IN_MPEGTS
    return bool(set(container.format.name.split(",")) & SEEKABLE_FORMATS)


def _start_ticks(stamps: list[_Stamp], origin: int | None, decode_timed: bool) -> int | None:
    """Return the stamp that counts as 0 s, or None where the stamps are of no use."""
    ticks = [stamp.ticks for stamp in stamps if stamp.ticks is not None]
    if origin is None or len(ticks) < len(stamps) or max(ticks, default=origin) < origin:
        return None
    # Packets before the first frame that decodes show nothing.
    return min(ticks) if decode_timed else origin


def _timing_of_stamps(
    stream: VideoStream, stamps: list[_Stamp], start: int | None, *, seekable: bool
) -> Timing:
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
    last_duration = float(shown[last_ticks].duration_ticks * base) or 1 / declared
    duration = float((last_ticks - start) * base) + last_duration
    measured = len(shown) / duration
    is_unique = len({stamp.ticks for stamp in stamps}) == len(stamps)
    return Timing(
        num_frames=len(shown),
        duration_seconds=duration,
        fps=declared if abs(declared - measured) <= 0.1 * measured else measured,
        key_seconds=tuple(
            float((ticks - start) * base)
            for ticks in sorted(shown)
            if seekable and is_unique and shown[ticks].is_keyframe
        ),
        frame_seconds=tuple(float((ticks - start) * base) for ticks in sorted(shown)),
    )


def _timing_of_header(container: InputContainer, stream: VideoStream, origin: int | None) -> Timing:
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
    seekable = origin is not None and _is_seekable(container, stream)
    return Timing(
        num_frames=stream.frames or max(round(duration * fps), 1),
        duration_seconds=duration,
        fps=fps,
        key_seconds=tuple(
            max(float((ticks - (origin or 0)) * base), 0.0) for ticks in sorted(keys) if seekable
        ),
    )
