"""The decoder's container and video stream for a source, or one sentence on why there is none."""

from collections.abc import Iterator

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from videollm.errors import VideoError
from videollm.video_refusals import check_size, no_container
from videollm.video_source import GIVE_A_VIDEO, MediaSource

__all__ = ["open_media", "read_packets"]

TIMEOUT_SECONDS = 15.0
"""How long a remote source may stay silent, when it is opened and at every read."""


def open_media(source: MediaSource, video_stream: int | None) -> tuple[InputContainer, VideoStream]:
    """Return the opened container and its video stream.

    Args:
        source: Where the bytes come from.
        video_stream: Which of the file's video streams, from 0; None chooses the best.

    Raises:
        VideoError: It is no container, it has no such video stream, or no decoder reads it.
    """
    timeout = TIMEOUT_SECONDS if source.is_remote else None
    try:
        container = av.open(
            source.handle(),
            "r",
            options={"max_pixels": str(source.max_pixels)},  # for the decoders of this first look
            container_options=dict(source.options()),
            metadata_errors="replace",
            timeout=timeout,
        )
    except MemoryError:
        raise
    except av.FFmpegError as error:
        raise _opening_error(source, error) from None
    try:
        stream = _video_stream(source, container, video_stream)
        decoder = stream.codec_context
        check_size(source.name, decoder.width, decoder.height, source.max_pixels)
        # The header is not the last word: frames may be larger, or grow midway.
        decoder.options = {"max_pixels": str(source.max_pixels)}
        # With slice threads h264 leaves out its error concealment: what a damaged picture lacks
        # would be whatever the memory held before.
        decoder.thread_count = 1
        return container, stream
    except VideoError:
        container.close()
        raise


def read_packets(container: InputContainer, stream: VideoStream) -> "Iterator[Packet[VideoStream]]":
    """Yield the packets of a stream from where the container stands, then an empty one.

    Raises:
        av.FFmpegError: The container cannot be read further.
    """
    while True:
        try:
            yield from container.demux(stream)
        except IndexError:
            # A stream that the header did not announce trips up the demuxing loop, not the file.
            continue
        return


def _opening_error(source: MediaSource, error: av.FFmpegError) -> VideoError:
    reason = error.strerror or type(error).__name__
    if source.is_remote:
        remedy = "check the address, or download the file and give its path"
        if isinstance(error, av.error.ExitError):
            reason = f"no answer within {TIMEOUT_SECONDS:g} s"
        return VideoError(source.name, f"cannot be fetched as a video ({reason})", remedy)
    return no_container(source.name, source.first_bytes(), reason)


def _video_stream(
    source: MediaSource, container: InputContainer, video_stream: int | None
) -> VideoStream:
    # The decoder draws plain text as a picture; cover art of music is a picture, too.
    streams = [
        stream
        for stream in container.streams.video
        if container.format.name != "tty" and not stream.disposition & Disposition.attached_pic
    ]
    if not streams:
        kinds = sorted({stream.type for stream in container.streams} - {"video"})
        holds = f"only {' and '.join(kinds)}" if kinds else "nothing that can be shown"
        finding = f"has no video stream (a {container.format.name} file with {holds})"
        raise VideoError(source.name, finding, GIVE_A_VIDEO)
    if video_stream is None:
        best = container.streams.best("video")
        chosen = next((stream for stream in streams if stream is best), streams[0])
    elif 0 <= video_stream < len(streams):
        chosen = streams[video_stream]
    else:
        finding = f"has {len(streams)} video streams, numbered from 0, and not {video_stream}"
        raise VideoError(source.name, finding, "choose one of them")
    if chosen.codec_context is None:
        remedy = "convert it to h264 in mp4"
        raise VideoError(source.name, "no decoder for its video is installed", remedy)
    return chosen
