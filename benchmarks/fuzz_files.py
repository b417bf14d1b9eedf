"""Damaged videos: small clips, cut from real ones, and everything that can go wrong with them.

The same clips, number and seed give the same bytes.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import numpy as np

__all__ = ["DAMAGES", "Clip", "damage", "small_clips"]

SMALL_BYTES = 64 * 1024
MAX_PACKETS = 40
HEADER_BYTES = 2048
TELLING = (0, 1, 2, 0xFF, 0x7FFF, 0xFFFF, 100_000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Values of a header field that programs stumble over."""

MUXERS = {
    ".3gp": "3gp",
    ".avi": "avi",
    ".flv": "flv",
    ".gif": "gif",
    ".mkv": "matroska",
    ".mov": "mov",
    ".mp4": "mp4",
    ".mpg": "mpeg",
    ".ogv": "ogg",
    ".webm": "webm",
}


@dataclass(frozen=True, slots=True)
class Clip:
    """Hold a sound file.

    Args:
        name: Its file name.
        data: Its bytes.
    """

    name: str
    data: bytes


def small_clips(folder: Path) -> list[Clip]:
    """Return the videos of a folder by name; of a large one its beginning, copied, not encoded.

    Args:
        folder: Where they are; what is no video is left out.
    """
    clips = []
    for path in sorted(folder.iterdir()):
        if path.suffix not in MUXERS:
            continue
        data = path.read_bytes()
        if len(data) > SMALL_BYTES:
            data = _beginning(path)
        clips.append(Clip(path.name, data))
    return clips


def _beginning(path: Path) -> bytes:
    """Return the first packets of the video in a container of the same kind."""
    file = io.BytesIO()
    with (
        av.open(path, metadata_errors="replace") as source,
        # Otherwise some muxers put random numbers into their headers.
        av.open(file, "w", MUXERS[path.suffix], {"fflags": "+bitexact"}) as output,
    ):
        stream = source.streams.video[0]
        copy = output.add_stream_from_template(stream, opaque=True)
        for packet in islice(source.demux(stream), MAX_PACKETS):
            if packet.dts is not None:
                packet.stream = copy
                output.mux(packet)
    return file.getvalue()


def damage(clips: Sequence[Clip], number: int, seed: int) -> tuple[str, str, bytes]:
    """Return damaged file `number`: the kind of damage, the name of the clip, the bytes.

    Args:
        clips: Sound files, at least one.
        number: Which one.
        seed: Of all random choices.
    """
    rng = np.random.default_rng([seed, number])
    kind = list(DAMAGES)[number % len(DAMAGES)]
    clip, other = (clips[int(rng.integers(len(clips)))] for _ in range(2))
    return kind, clip.name, DAMAGES[kind](clip.data, other.data, rng)


def _flip(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    return _flipped(data, 0, len(data), int(2 ** rng.integers(0, 8)), rng)


def _flip_header(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _header(data)
    return _flipped(data, start, stop, int(2 ** rng.integers(0, 5)), rng)


def _flipped(data: bytes, start: int, stop: int, count: int, rng: np.random.Generator) -> bytes:
    flipped = np.frombuffer(data, np.uint8).copy()
    for place in rng.integers(start, stop, count):
        flipped[place] ^= 1 << int(rng.integers(8))
    return flipped.tobytes()


def _set_fields(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    start, stop = _header(data)
    for place in rng.integers(start, max(stop - 4, start + 1), int(rng.integers(1, 4))):
        size = int(rng.choice([1, 2, 4]))
        value = int(rng.choice(TELLING)) & (2 ** (8 * size) - 1)
        order = "big" if rng.random() < 0.5 else "little"
        changed[place : place + size] = value.to_bytes(size, order)
    return bytes(changed)


def _truncate(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(1, len(data)))]


def _splice(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Go on with another file."""
    return data[: int(rng.integers(1, len(data)))] + other[int(rng.integers(0, len(other))) :]


def _insert(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Put a piece of another file, or of the same one, into the middle."""
    piece_of = other if rng.random() < 0.5 else data
    start = int(rng.integers(0, len(piece_of)))
    piece = piece_of[start : start + int(rng.integers(1, 5000))]
    place = int(rng.integers(0, len(data)))
    skipped = len(piece) if rng.random() < 0.5 else 0
    return data[:place] + piece + data[place + skipped :]


def _lose(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Leave a piece out, or blank it."""
    start = int(rng.integers(0, len(data)))
    stop = start + int(2 ** rng.integers(0, 13))
    blank = bytes(len(data[start:stop])) if rng.random() < 0.5 else b""
    return data[:start] + blank + data[stop:]


def _header(data: bytes) -> tuple[int, int]:
    """Return where the file describes itself, roughly."""
    start = max(data.find(b"moov"), 0)
    return start, min(start + HEADER_BYTES, len(data))


DAMAGES = {
    "bits flipped": _flip,
    "bits of the header flipped": _flip_header,
    "fields of the header set": _set_fields,
    "truncated": _truncate,
    "spliced": _splice,
    "piece put in": _insert,
    "piece lost": _lose,
}
