"""Videos drawn by the tests: every frame carries its own number as eight bars, black or white."""

import io
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

NUM_BARS = 8


def numbered_frames(num_frames: int, *, height: int = 32, width: int = 64) -> NDArray[np.uint8]:
    """Return (T, H, W, 3): frame i shows i in binary, the highest bar on the left."""
    bars = np.arange(width) * NUM_BARS // width
    bits = (np.arange(num_frames)[:, None] >> (NUM_BARS - 1 - bars)) & 1
    shades = np.where(bits == 1, 220, 30).astype(np.uint8)
    return np.broadcast_to(shades[:, None, :, None], (num_frames, height, width, 3)).copy()


def number_of(picture: Tensor) -> int:
    """Return the number that a picture, (3, H, W), shows."""
    columns = picture.float().mean(dim=(0, 1)).numpy()
    bars = np.arange(len(columns)) * NUM_BARS // len(columns)
    bits = [columns[bars == bar].mean() > 127 for bar in range(NUM_BARS)]
    return sum(1 << (NUM_BARS - 1 - bar) for bar in range(NUM_BARS) if bits[bar])


def numbers_of(frames: Tensor) -> list[int]:
    """Return the numbers that pictures, (T, 3, H, W), show."""
    return [number_of(picture) for picture in frames]


def draw_video(
    frames: NDArray[np.uint8],
    *,
    container: str = "mp4",
    codec: str = "libx264",
    rate: int = 30,
    ticks: list[int] | None = None,
    options: dict[str, str] | None = None,
    turn: tuple[float, bool, bool] | None = None,
    pixel_aspect: Fraction | None = None,
    title: str | None = None,
) -> bytes:
    """Return an encoded video of frames, (T, H, W, 3).

    Args:
        frames: What to show.
        container: Name of the format.
        codec: Name of the encoder.
        rate: Frames per second.
        ticks: Times in milliseconds instead of the rate.
        options: For the encoder.
        turn: Counterclockwise degrees, and whether to mirror in x and in y, as display metadata.
        pixel_aspect: Width of a pixel over its height.
        title: A tag.
    """
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        if title is not None:
            output.metadata["title"] = title
        stream = output.add_stream(codec, rate=rate, options={"threads": "1", **(options or {})})
        stream.height, stream.width = frames.shape[1:3]
        is_odd = bool(stream.height % 2 or stream.width % 2)
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv444p" if is_odd else "yuv420p"
        if ticks is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if turn is not None:
            stream.set_display_rotation(turn[0], hflip=turn[1], vflip=turn[2])
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if ticks is not None:
                frame.pts, frame.time_base = ticks[number], Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def draw_stored(
    levels: Sequence[Sequence[int]],
    pixel_format: str,
    *,
    codec: str = "ffv1",
    container: str = "matroska",
    height: int = 48,
    width: int = 64,
    matrix: int | None = None,
    color_range: int | None = None,
    num_frames: int = 2,
) -> bytes:
    """Return a video of one colour, given as it is stored.

    Args:
        levels: For each plane the samples that it repeats; two bytes each where they are deeper.
        pixel_format: Of the planes.
        codec: Name of the encoder.
        container: Name of the format.
        height: Of the frames.
        width: Likewise.
        matrix: Number of the matrix that the file states; None leaves it out.
        color_range: 1 for limited, 2 for full; None leaves it out.
        num_frames: How many frames.
    """
    frame = av.VideoFrame(width, height, pixel_format)
    is_deep = max(component.bits for component in frame.format.components) > 8
    for plane, samples in zip(frame.planes, levels, strict=True):
        kind = "<u2" if is_deep or "555" in pixel_format or "565" in pixel_format else "u1"
        num_samples = plane.buffer_size // np.dtype(kind).itemsize
        plane.update(np.resize(np.array(samples, kind), num_samples).tobytes())
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=25, options={"qp": "0"} if "264" in codec else {})
        stream.height, stream.width, stream.pix_fmt = height, width, pixel_format
        if matrix is not None:
            stream.codec_context.colorspace = frame.colorspace = matrix
        if color_range is not None:
            stream.codec_context.color_range = frame.color_range = color_range
        for number in range(num_frames):
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def remux(
    data: bytes,
    container: str,
    *,
    shift: Callable[[int], int] = lambda number: 0,
    options: dict[str, str] | None = None,
    bitstream_filter: str | None = None,
) -> bytes:
    """Return the packets of a video in another container.

    Args:
        data: The video; where packets are shifted, one without B frames.
        container: Name of the format.
        shift: Returns by how many frames packet i is early or late.
        options: For the container.
        bitstream_filter: What is done to each packet.
    """
    file = io.BytesIO()
    with (
        av.open(io.BytesIO(data)) as source,
        av.open(file, "w", format=container, options=options or {}) as output,
    ):
        stream = source.streams.video[0]
        copy = output.add_stream_from_template(stream)
        change = av.BitStreamFilterContext(bitstream_filter or "null", stream)
        for number, packet in enumerate(source.demux(stream)):
            if packet.size == 0:
                continue
            ticks = round(shift(number) / (stream.average_rate or 25) / packet.time_base)
            if packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            for changed in change.filter(packet):
                changed.stream = copy
                output.mux(changed)
    return file.getvalue()


def put_box(data: bytes, path: Sequence[bytes], content: bytes) -> bytes:
    """Return an mp4 with another box: in the place of the one at a path, else at its parent's end.

    Args:
        data: The video, its media before its header.
        path: Kinds of the boxes from the outermost to the new one, the first of each kind.
        content: What the new box holds.
    """
    *parents, kind = path
    box = struct.pack(">I4s", 8 + len(content), kind) + content
    changed, start, stop = bytearray(data), 0, len(data)
    places = []
    for parent in parents:
        place = _find_box(data, parent, start, stop)
        places.append(place)
        start = place + {b"stsd": 16, b"avc1": 86}.get(parent, 8)
        stop = place + _box_length(data, place)
    place = _find_box(data, kind, start, stop)
    end = place + _box_length(data, place) if place < stop else stop
    for parent_place in places:
        length = _box_length(data, parent_place) + len(box) - (end - place)
        struct.pack_into(">I", changed, parent_place, length)
    changed[place:end] = box
    return bytes(changed)


def _find_box(data: bytes, kind: bytes, start: int, stop: int) -> int:
    """Return where the first box of a kind begins, or the end of its parent."""
    while start < stop and data[start + 4 : start + 8] != kind:
        start += _box_length(data, start)
    return start


def _box_length(data: bytes, place: int) -> int:
    (length,) = struct.unpack_from(">I", data, place)
    return int(length)


def draw_sound(container: str = "matroska") -> bytes:
    """Return a file with a second of silence and no picture."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 8000), np.int16), format="s16", layout="mono"
        )
        frame.sample_rate = 8000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()
