"""What a damaged video really holds: a bare, linear PyAV decode, in a process of its own.

Only the conversion to RGB is the reader's, so that pixels can be compared bit for bit. Times follow
the contract: those of the stamps, counted from the first frame; where a stamp is missing or does
not rise, the frame comes one declared step after the one before it ("repaired").
"""

import hashlib
import io
import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from torch import Tensor

from videollm.video_picture import Painter, frame_geometry

__all__ = ["Answer", "Oracle", "digest", "judge"]

MAX_ROUNDING_SECONDS = 0.0009
SAME_SECONDS = 1e-6
DEFAULT_FPS = 25


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what a reader gave for a time.

    Args:
        asked_seconds: The time.
        seconds: The frame's own time.
        pixels: Digest of the picture.
    """

    asked_seconds: float
    seconds: float
    pixels: bytes


@dataclass(frozen=True, slots=True)
class _Picture:
    stamps: tuple[int | None, int | None]
    pixels: bytes
    painter: Painter


def digest(picture: Tensor) -> bytes:
    """Return what tells a picture, (3, H, W), from others."""
    return hashlib.blake2b(picture.contiguous().numpy().tobytes(), digest_size=16).digest()


def judge(data: bytes, answers: Sequence[Answer]) -> list[str]:
    """Return a verdict on each answer.

    Args:
        data: The file.
        answers: In any order.

    Returns:
        `right`; `right, repaired` where the time is; `right, from a keyframe` where the pixels are
        not those of a decode from the beginning, which still shows damage, but those of one that
        begins at a keyframe behind it; `invented time`, `wrong frame` or `wrong pixels`.
    """
    timed = [(seconds, repaired) for _, seconds, repaired in _decode(data)]
    tolerance = _tolerance(data)
    chosen = []
    for answer in answers:
        until = max(answer.asked_seconds, 0.0) + tolerance
        chosen.append(sum(seconds <= until for seconds, _ in timed) - 1)
    chosen = [max(number, 0) for number in chosen]
    pictures = _pictures(data, set(chosen))
    verdicts = []
    for answer, number in zip(answers, chosen, strict=True):
        verdict = _verdict(answer, timed, number, pictures[number].pixels)
        if verdict == "wrong pixels" and answer.pixels in _later_starts(data, pictures[number]):
            verdict = "right, from a keyframe"
        verdicts.append(verdict)
    return verdicts


class Oracle:
    """Judge in a process that may die or hang; a context manager.

    Args:
        seconds: The longest time for a file.
    """

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._process: multiprocessing.process.BaseProcess | None = None

    def judge(self, data: bytes, answers: Sequence[Answer]) -> list[str] | None:
        """Return `judge`'s verdicts, or None where PyAV alone crashes, fails or takes too long."""
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
            self._pipe.recv()
        try:
            self._pipe.send((data, list(answers)))
            if self._pipe.poll(self._seconds):
                verdicts: list[str] | None = self._pipe.recv()
                return verdicts
        except (EOFError, OSError):
            pass
        self.close()
        return None

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = None

    def __enter__(self) -> "Oracle":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _serve(pipe: "Connection[object, object]") -> None:
    pipe.send("ready")
    while True:
        try:
            request: Any = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(judge(*request))
        except (av.FFmpegError, MemoryError, IndexError):
            pipe.send(None)


def _verdict(
    answer: Answer,
    timed: Sequence[tuple[float, bool]],
    number: int,
    pixels: bytes,
) -> str:
    if not any(abs(answer.seconds - seconds) < SAME_SECONDS for seconds, _ in timed):
        return "invented time"
    seconds, repaired = timed[number]
    if abs(answer.seconds - seconds) >= SAME_SECONDS:
        return "wrong frame"
    if answer.pixels != pixels:
        return "wrong pixels"
    return "right, repaired" if repaired else "right"


def _open(data: bytes) -> tuple[InputContainer, VideoStream]:
    container = av.open(io.BytesIO(data), "r", metadata_errors="replace")
    best = container.streams.best("video")
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]
    stream = next((stream for stream in streams if stream is best), streams[0])
    stream.codec_context.thread_count = 1
    return container, stream


def _step(stream: VideoStream) -> float:
    return 1 / float(stream.average_rate or stream.guessed_rate or DEFAULT_FPS)


def _tolerance(data: bytes) -> float:
    """Return how late a frame may begin and count as at a time; see `VideoReader.read`."""
    container, stream = _open(data)
    with container:
        tick = float(stream.time_base or 1e-3)
        return min(0.9 * tick, MAX_ROUNDING_SECONDS, _step(stream) / 4) + 1e-6


def _decode(data: bytes) -> Iterator[tuple[VideoFrame, float, bool]]:
    """Yield every frame that decodes, its seconds, and whether these are repaired."""
    container, stream = _open(data)
    with container:
        stamp = "dts" if container.format.name == "avi" else "pts"
        step, base = _step(stream), stream.time_base or Fraction(1, 1000)
        origin: int | None = None
        last: float | None = None
        for frame in _frames(container, stream):
            ticks = getattr(frame, stamp)
            if last is None:
                origin = ticks
            seconds = None if None in (ticks, origin) else float((ticks - origin) * base)
            repaired = seconds is None or (last is not None and seconds <= last)
            if repaired or seconds is None:
                seconds = 0.0 if last is None else last + step
            last = seconds
            yield frame, seconds, repaired


def _frames(
    container: InputContainer, stream: VideoStream, first_key: int = 0
) -> Iterator[VideoFrame]:
    """Yield what decodes; from the first packet on, or from keyframe `first_key`, counted from 1.

    Raises:
        LookupError: There are not so many keyframes.
    """
    packets = container.demux(stream)
    num_keys = 0
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):
            break
        except IndexError:  # a stream that appears late
            packets = container.demux(stream)
            continue
        num_keys += packet.is_keyframe
        if num_keys < first_key:
            continue
        try:
            yield from stream.decode(packet)
        except av.FFmpegError:
            continue
    if num_keys < first_key:
        raise LookupError(first_key)


def _pictures(data: bytes, numbers: set[int]) -> dict[int, _Picture]:
    """Return some pictures by their number, decoded from the beginning."""
    found: dict[int, _Picture] = {}
    painter: Painter | None = None
    container, stream = _open(data)
    with container:
        for number, frame in enumerate(_frames(container, stream)):
            if painter is None:
                painter = Painter(frame_geometry(frame, stream.sample_aspect_ratio))
            if number in numbers:
                pixels = digest(painter.picture(frame))
                found[number] = _Picture((frame.pts, frame.dts), pixels, painter)
    return found


def _later_starts(data: bytes, picture: _Picture) -> Iterator[bytes]:
    """Yield how a picture looks when decoding begins at the first keyframe, the second, ..."""
    for first_key in count(1):
        container, stream = _open(data)
        with container:
            try:
                for frame in _frames(container, stream, first_key):
                    if (frame.pts, frame.dts) == picture.stamps:
                        yield digest(picture.painter.picture(frame))
            except LookupError:
                return
