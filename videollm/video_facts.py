"""What an opened file says of itself, in the words of `VideoMetadata`."""

from typing import TypedDict

from av.audio.stream import AudioStream
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from videollm.video_colour import colour_name

__all__ = ["StreamFacts", "stream_facts"]

FIRST_INTERLACED_ORDER = 2
"""Orders of fields by their numbers in FFmpeg: 0 is unknown, 1 progressive, the rest interlaced."""


class StreamFacts(TypedDict):
    """Hold the facts of `VideoMetadata` that nothing has to be counted for."""

    container: str
    codec: str
    pixel_format: str
    stored_height: int
    stored_width: int
    pixel_aspect: float
    colour: str
    interlaced: bool
    audio: tuple[str, ...]


def stream_facts(stream: VideoStream, frame: VideoFrame) -> StreamFacts:
    """Return what is known of a video once its first frame is decoded.

    Args:
        stream: The video, of an opened file.
        frame: The first frame.
    """
    container, context = stream.container, stream.codec_context
    return StreamFacts(
        container=container.format.name,
        codec=context.name,
        pixel_format=frame.format.name,
        stored_height=frame.height,
        stored_width=frame.width,
        pixel_aspect=float(stream.sample_aspect_ratio or 1),
        colour=colour_name(frame),
        interlaced=frame.interlaced_frame or context.field_order >= FIRST_INTERLACED_ORDER,
        audio=tuple(_audio_name(sound) for sound in container.streams.audio),
    )


def _audio_name(stream: Stream) -> str:
    assert isinstance(stream, AudioStream), "one of the streams of sound"
    context = stream.codec_context
    if context is None:
        return "unknown codec"
    return f"{context.name}, {context.sample_rate} Hz, {context.layout.name}"
