"""What a damaged video really holds: a bare, linear PyAV decode, in a process of its own.

Only the conversion to RGB is the reader's, so that pixels can be compared bit for bit. Times follow
the contract: those of the stamps, counted from the first frame; where a stamp is missing or does
not rise, the frame comes one declared step after the one before it, or half a step where the stamp
lags by less than a step ("repaired").
"""

import hashlib
import io
import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing.connection import Connection
from typing import Any

import av
from av.codec.context import Flags
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from torch import Tensor

from videollm.video_crop import stated_crop
from videollm.video_picture import Painter, frame_geometry

__all__ = ["Answer", "Oracle", "digest", "judge"]

MAX_ROUNDING_SECONDS = 0.0009
SAME_SECONDS = 1e-6
KEEPS = (1, 2, 3, 1000)
DEFAULT_FPS = 25
RAW_FORMATS = ("h264", "hevc", "m4v", "mpegvideo", "vvc")


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


def digest(picture: Tensor) -> bytes:
    """Return what tells a picture, (3, H, W), from others."""
    return hashlib.blake2b(picture.contiguous().numpy().tobytes(), digest_size=16).digest()


def judge(data: bytes, answers: Sequence[Answer]) -> list[str]:
    """Return a verdict on each answer.

    Of a damaged picture some decoders leave out blocks, which then show what their memory held
    before, or fill them from whatever pictures they have: PyAV alone gives other pixels when it is
    used in another way. Where pixels differ from those that were due, these ways are tried, and
    what they change is undefined.

    Args:
        data: The file.
        answers: In any order.

    Returns:
        `right`; `right, repaired` where the time is; `right, pixels undefined`; `invented time`,
        `wrong frame` or `wrong pixels`.
    """
    timed = [(seconds, repaired) for _, seconds, repaired in _decode(data)]
    tolerance = _tolerance(data)
    chosen = []
    for answer in answers:
        until = max(answer.asked_seconds, 0.0) + tolerance
        chosen.append(max(sum(seconds <= until for seconds, _ in timed) - 1, 0))
    pictures = _pictures(data, set(chosen))
    verdicts = [
        _verdict(answer, timed, number, pictures[number])
        for answer, number in zip(answers, chosen, strict=True)
    ]
    if "wrong pixels" in verdicts:
        others = [_pictures(data, set(chosen), keep=keep) for keep in KEEPS]
        others.append(_pictures(data, set(chosen), rounds=2))
        for place, number in enumerate(chosen):
            is_undefined = any(other.get(number) != pictures[number] for other in others)
            if verdicts[place] == "wrong pixels" and (
                is_undefined or _after_seeking(data, number) not in (None, pictures[number])
            ):
                verdicts[place] = "right, pixels undefined"
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
    stream.codec_context.flags |= Flags.unaligned
    return container, stream


def _step(stream: VideoStream) -> float:
    # Without times, the average is what the decoder takes for granted.
    average = None if stream.container.format.name in RAW_FORMATS else stream.average_rate
    return 1 / float(average or stream.guessed_rate or DEFAULT_FPS)


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
                is_near = seconds is not None and last is not None and last - seconds < step
                seconds = 0.0 if last is None else last + step / (2 if is_near else 1)
            last = seconds
            yield frame, seconds, repaired


def _frames(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):
            return
        except IndexError:  # a stream that appears late
            packets = container.demux(stream)
            continue
        try:
            yield from stream.decode(packet)
        except av.FFmpegError:
            continue


def _after_seeking(data: bytes, number: int) -> bytes | None:
    """Return a picture's digest as a decoder gives it that began at its key frame.

    None where its group has no corrupt picture, which is filled from what was there before.
    """
    frames = [(frame.key_frame, frame.is_corrupt, frame.pts) for frame, _, _ in _decode(data)]
    keys = [place for place, (is_key, _, _) in enumerate(frames) if is_key]
    first = max((key for key in keys if key <= number), default=None)
    until = min((key for key in keys if key > number), default=len(frames))
    if first is None or not any(is_corrupt for _, is_corrupt, _ in frames[first:until]):
        return None
    container, stream = _open(data)
    with container:
        try:
            container.seek(frames[first][2] or 0, stream=stream)
        except av.FFmpegError:
            return None
        for frame in _frames(container, stream):
            if frame.pts == frames[number][2]:
                geometry = frame_geometry(frame, stream.sample_aspect_ratio, stated_crop(stream))
                return digest(Painter(geometry, "damaged").picture(frame))
    return None


def _pictures(
    data: bytes, numbers: set[int], *, keep: int = 0, rounds: int = 1
) -> dict[int, bytes]:
    """Return digests of some pictures by their number.

    Args:
        data: The file.
        numbers: Which pictures, from 0.
        keep: Frames to keep in memory, so that the decoder cannot use theirs again.
        rounds: How often to decode the file with one decoder; the last time counts.
    """
    found: dict[int, bytes] = {}
    painter: Painter | None = None
    kept: deque[VideoFrame] = deque(maxlen=keep)
    container, stream = _open(data)
    with container:
        for rest in reversed(range(rounds)):
            for number, frame in enumerate(_frames(container, stream)):
                if painter is None:
                    geometry = frame_geometry(
                        frame, stream.sample_aspect_ratio, stated_crop(stream)
                    )
                    painter = Painter(geometry, "damaged")
                if rest == 0 and number in numbers:
                    found[number] = digest(painter.picture(frame))
                kept.append(frame)
            if rest > 0:
                container.seek(0)
    return found
