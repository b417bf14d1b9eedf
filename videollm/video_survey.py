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
from videollm.video_crop import stated_crop
from videollm.video_facts import StreamFacts, stream_facts
from videollm.video_notes import Notes, note_contents, note_stamps
from videollm.video_pass import MediaPass, threads_for
from videollm.video_picture import Geometry, frame_geometry
from videollm.video_refusals import check_size, encrypted, no_frame
from videollm.video_source import MediaSource
from videollm.video_timing import (
    Stamp,
    Timing,
    declared_fps,
    start_ticks,
    timing_of_header,
    timing_of_stamps,
)

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
class Survey:
    """Hold what one look at a file tells.

    Args:
        facts: What the file says of itself.
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

    facts: StreamFacts
    geometry: Geometry
    timing: Timing
    origin_ticks: int | None
    decode_timed: bool
    stream_index: int
    bit_depth: int
    rounding_seconds: float
    threads: int


def survey_media(
    source: MediaSource, video_stream: int | None, notes: Notes
) -> tuple[Survey, MediaPass | None]:
    """Return what the packets of a source say, and the pass that read them, at its beginning.

    The pass is None where it would have to read the source again.

    Args:
        source: Where the bytes come from.
        video_stream: Which of the file's video streams, from 0; None chooses the best.
        notes: Receives what is not in order.

    Raises:
        VideoError: The source cannot be opened, or not one frame of it decodes.
    """
    media = MediaPass(source, video_stream)
    try:
        survey = _survey(source, media, notes, threaded=True)
        if survey.threads > 1 and media.has_errors:
            # Threads report damage late: one alone says where it is.
            media.close()
            media = MediaPass(source, video_stream)
            survey = _survey(source, media, notes, threaded=False)
    except BaseException:
        media.close()
        raise
    if media.is_whole:
        return survey, media
    media.close()
    return survey, None


def _survey(source: MediaSource, media: MediaPass, notes: Notes, *, threaded: bool) -> Survey:
    container, stream = media.container, media.stream
    decode_timed = bool(set(container.format.name.split(",")) & DECODE_TIMED_FORMATS)
    believed = _header_is_believed(source, container, stream)
    stamps, num_hidden = ([], 0) if believed else _stamps(media, decode_timed)
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
    crop = stated_crop(stream)
    geometry = frame_geometry(first, stream.sample_aspect_ratio, crop)
    check_size(source.name, geometry.width, geometry.height, source.max_pixels)
    origin = first.dts if decode_timed else first.pts
    seekable = _is_seekable(container, stream)
    note_contents(notes, stream, first, geometry)
    if crop != geometry.crop:
        notes.add("crop", "its container cuts off more than there is; nothing is cut off")
    if believed:
        timing = timing_of_header(container, stream, origin, seekable=seekable)
    else:
        start = start_ticks(stamps, origin, decode_timed)
        timing = timing_of_stamps(stream, stamps, start, seekable=seekable)
        note_stamps(notes, container, stream, stamps=stamps, num_hidden=num_hidden, timing=timing)
    return Survey(
        facts=stream_facts(stream, first),
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


def _stamps(media: MediaPass, decode_timed: bool) -> tuple[list[Stamp], int]:
    """Return the stamps of the packets that are shown, and how many an edit list hides."""
    stamps, num_hidden = [], 0
    for packet in media.read_ahead():
        if packet.is_discard:
            num_hidden += packet.size > 0
        elif packet.size > 0:
            ticks = packet.dts if decode_timed else packet.pts
            stamps.append(Stamp(ticks, packet.duration or 0, packet.is_keyframe))
    return stamps, num_hidden


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
