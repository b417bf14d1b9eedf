"""The decoder's container and video stream for a source, or one sentence on why there is none."""

from collections.abc import Iterator

import av
from av.codec.context import Flags
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from videollm.errors import LiveSourceError, NoVideoError, VideoError
from videollm.video_refusals import check_size, no_container
from videollm.video_source import GIVE_A_VIDEO, MediaSource
from videollm.video_website import Visit, Website

__all__ = [
    "has_bad_keyframe",
    "open_container",
    "open_media",
    "read_packets",
    "video_stream_of",
]

HLS_OPTIONS = {"http_persistent": "0", "http_multiple": "0", "extension_picky": "0"}
"""Every part is fetched by us, each by a connection of its own, whatever its name ends in."""


def open_media(source: MediaSource, video_stream: int | None) -> tuple[InputContainer, VideoStream]:
    """Return the opened container and its video stream.

    Args:
        source: Where the bytes come from.
        video_stream: Which of the file's video streams, from 0; None chooses the best.

    Raises:
        LiveSourceError: It is remote and nothing tells where it ends.
        VideoError: It is no container, it has no such video stream, or no decoder reads it.
    """
    container = open_container(source)
    try:
        if source.is_endless(container.duration):
            finding = "is live: nothing tells where it ends"
            raise LiveSourceError(source.name, finding, "watch it with stream(fps)")
        stream = video_stream_of(source.name, container, video_stream)
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


def has_bad_keyframe(source: MediaSource, video_stream: int | None) -> bool:
    """Return whether a keyframe does not decode, or is larger than the source allows.

    Only keyframes are decoded: with them alone a picture becomes larger midway.

    Args:
        source: Where the bytes come from.
        video_stream: Which of the file's video streams, from 0; None chooses the best.

    Raises:
        VideoError: It cannot be opened.
    """
    container, stream = open_media(source, video_stream)
    with container:
        for packet in read_packets(container, stream):
            if packet.size > 0 and not packet.is_keyframe:
                continue
            try:
                stream.decode(packet)
            except av.FFmpegError:
                return True
    return False


def open_container(source: MediaSource) -> InputContainer:
    """Return the opened container of a source.

    Raises:
        VideoError: It is no container, or it is out of reach.
    """
    website = source.location if isinstance(source.location, Website) else None
    is_playlist = website is not None and website.is_playlist
    try:
        return av.open(
            source.handle(),
            "r",
            format="hls" if is_playlist else None,
            options={"max_pixels": str(source.max_pixels)},  # for the decoders of this first look
            container_options={**source.options(), **(HLS_OPTIONS if is_playlist else {})},
            metadata_errors="replace",
            io_open=None if website is None else Visit(website).open_file,
        )
    except MemoryError:
        raise
    except av.FFmpegError as error:
        reason = error.strerror or type(error).__name__
        raise no_container(source.name, source.first_bytes()[:16], reason) from None


def video_stream_of(name: str, container: InputContainer, video_stream: int | None) -> VideoStream:
    """Return the video stream to show.

    Args:
        name: What the user gave, for messages.
        container: The opened source.
        video_stream: Which of the video streams, from 0; None chooses the best.

    Raises:
        VideoError: There is no such stream, or no decoder reads it.
    """
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
        raise NoVideoError(name, finding, GIVE_A_VIDEO)
    if video_stream is None:
        best = container.streams.best("video")
        chosen = next((stream for stream in streams if stream is best), streams[0])
    elif 0 <= video_stream < len(streams):
        chosen = streams[video_stream]
    else:
        finding = f"has {len(streams)} video streams, numbered from 0, and not {video_stream}"
        raise VideoError(name, finding, "choose one of them")
    if chosen.codec_context is None:
        remedy = "convert it to h264 in mp4"
        raise VideoError(name, "no decoder for its video is installed", remedy)
    # Else a left border that the file cuts off is shown where the rest would not lie evenly.
    chosen.codec_context.flags |= Flags.unaligned
    return chosen
