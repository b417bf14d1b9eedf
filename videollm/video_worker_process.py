"""The inside of a decode worker: opens and reads what its owner asks for, within its limits.

Runs as a process of its own, started by `videollm.video_worker`, and ends with its owner. It is
not a sandbox: it has the rights of its user, and only its use of time and memory is bounded.

Legend: T frames, H height, W width.
"""

import io
import logging
import math
import mmap
import os
import resource
import select
import socket
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

from videollm.errors import RequestError, VideoError
from videollm.transforms import fitted_size
from videollm.video import VideoReader
from videollm.video_channel import Channel, new_memory
from videollm.video_limits import DecodeLimits
from videollm.video_process import OUT_OF_MEMORY

__all__ = ["Server", "serve"]

CHUNK_BYTES = 64 * 2**20
"""Pixels that are decoded before they move to the shared memory, if that is more than a frame."""


class Server:
    """Answer one request after another; at most one video is open.

    Args:
        channel: To the owner.
        limits: Sizes and processor time are held here, wall-clock time by the owner.
    """

    def __init__(self, channel: Channel, limits: DecodeLimits) -> None:
        self._channel = channel
        self._limits = limits
        self._reader: VideoReader | None = None
        self._logs = _Logs()
        logging.getLogger("videollm").addHandler(self._logs)

    def run(self) -> None:
        """Answer until the owner hangs up."""
        while True:
            try:
                request, memory = self._channel.receive()
            except EOFError:
                return
            _allow_processor(self._limits.cpu_seconds)
            reply, shared = self._answer(request, memory)
            try:
                self._channel.send(reply | {"logs": self._logs.take()}, shared)
            except OSError:
                return
            if shared is not None:
                os.close(shared)

    def _answer(
        self, request: dict[str, Any], memory: int | None
    ) -> tuple[dict[str, Any], int | None]:
        try:
            if request["do"] == "open":
                return self._open(request, memory), None
            return (
                self._read(request["times"], request["max_side"])
                if request["do"] == "read"
                else ({}, None)
            )
        except VideoError as error:
            return {"refused": [str(error.source), error.finding, error.remedy]}, None
        except RequestError as error:
            return {"senseless": str(error)}, None
        except Exception as error:
            if _is_want_of_memory(error):
                os._exit(OUT_OF_MEMORY)
            return {"broken": traceback.format_exc(), "what": type(error).__name__}, None

    def _open(self, request: dict[str, Any], memory: int | None) -> dict[str, Any]:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        os.chdir(request["folder"])
        source: str | io.FileIO = request["name"]
        if memory is not None:
            source = io.FileIO(memory)
            source.name = request["name"]  # messages call it as its owner does
        reader = VideoReader.open(
            source,
            fps=request["fps"],
            video_stream=request["video_stream"],
            max_pixels=self._limits.max_pixels,
        )
        metadata = reader.metadata
        side = max(metadata.width, metadata.height)
        if side > self._limits.max_side:
            finding = f"its frames are {metadata.width}x{metadata.height} pixels"
            remedy = f"scale them to at most {self._limits.max_side} a side"
            raise VideoError(metadata.source, finding, remedy)
        self._reader = reader
        return {"metadata": asdict(metadata)}

    def _read(self, times: Sequence[float], max_side: int | None) -> tuple[dict[str, Any], int]:
        assert self._reader is not None, "the owner reads only what it opened"
        metadata = self._reader.metadata
        height, width = metadata.height, metadata.width
        if max_side is not None and max(height, width) > max_side:
            height, width = fitted_size(height, width, max_side)
        frame_shape = (3, height, width)
        frame_bytes = math.prod(frame_shape)
        num_bytes = len(times) * frame_bytes
        if num_bytes > self._limits.memory_bytes:
            size = f"{width}x{height}"
            finding = f"{len(times)} of its frames of {size} are {num_bytes / 2**20:.0f} MiB"
            allowed = f"{self._limits.memory_bytes / 2**20:.0f} MiB"
            raise VideoError(metadata.source, finding, f"ask for fewer, {allowed} are allowed")
        shared = new_memory(num_bytes)
        step = max(CHUNK_BYTES // frame_bytes, 1)
        seconds: list[float] = []
        rising = sorted(times)
        try:
            mapping = mmap.mmap(shared, num_bytes)
            flat = torch.frombuffer(mapping, dtype=torch.uint8)
            frames = flat.view(len(times), *frame_shape)
            for start in range(0, len(times), step):
                clip = self._reader.read(rising[start : start + step], max_side=max_side)
                frames[start : start + step] = clip.frames
                seconds += clip.pts_seconds.tolist()
        except BaseException:
            os.close(shared)
            raise
        warnings = self._reader.metadata.warnings
        reply = {"shape": [len(times), *frame_shape], "seconds": seconds, "warnings": warnings}
        return reply, shared


class _Logs(logging.Handler):
    """Keep what the reader has to say for its owner's log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._records: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append((record.name, record.levelno, record.getMessage()))

    def take(self) -> list[tuple[str, int, str]]:
        records, self._records = self._records, []
        return records


def serve(descriptor: int, owner: int, fields: dict[str, Any]) -> None:
    """Be a decode worker until the owner is gone.

    Args:
        descriptor: Of a socket to the owner.
        owner: Its process id.
        fields: What to hold, as `DecodeLimits` takes it.
    """
    channel = Channel(socket.socket(fileno=descriptor))
    limits = DecodeLimits(**fields)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    enforced = _limit_memory(limits.memory_bytes)
    most = None if enforced else _peak_bytes() + limits.memory_bytes
    watch = threading.Thread(target=_watch, args=(channel, owner, most), daemon=True)
    watch.start()
    channel.send({"ready": os.getpid()})
    Server(channel, limits).run()


def _limit_memory(num_bytes: int) -> bool:
    """Let the process take so much more private memory; return whether the system sees to it."""
    if sys.platform != "linux":
        return False  # macOS knows the limits and does not enforce them
    with open("/proc/self/status", encoding="ascii") as file:
        kibibytes = next(int(line.split()[1]) for line in file if line.startswith("VmData:"))
    most = kibibytes * 1024 + num_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    return True


def _allow_processor(seconds: int) -> None:
    """Let the process use so much more processor time from now on."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(usage.ru_utime + usage.ru_stime) + seconds
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (until, hard))


def _watch(channel: Channel, owner: int, most_bytes: int | None) -> None:
    """End the process with its owner, or when it has grown above a size."""
    poller = select.poll()
    poller.register(channel.fileno(), 0)  # hanging up is always reported
    while not poller.poll(100) and os.getppid() == owner:
        if most_bytes is not None and _peak_bytes() > most_bytes:
            os._exit(OUT_OF_MEMORY)
    os._exit(0)


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _is_want_of_memory(error: Exception) -> bool:
    # PyTorch says so in words only.
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)
