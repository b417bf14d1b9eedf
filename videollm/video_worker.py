"""Decode a stranger's video in a process of its own, within limits and never in the caller's.

A hostile or broken file can make a decoder loop, eat memory or crash. Here that costs a worker,
which is killed and replaced, and is a `VideoError` for the caller like every other bad file.
"""

import logging
import math
import mmap
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from videollm import sampling
from videollm.clip import Clip
from videollm.closing import Closing
from videollm.errors import RequestError, VideoError
from videollm.video import VideoReader, VideoSource
from videollm.video_limits import DecodeLimits
from videollm.video_parcel import parcel
from videollm.video_process import START_SECONDS, WorkerEnd, WorkerProcess
from videollm.video_source import source_name
from videollm.video_track import FrameReader, VideoMetadata

__all__ = ["DecodeWorker", "WorkerReader"]

logger = logging.getLogger(__name__)

REMEDIES = {
    "time": "give a shorter part, convert it to h264 in mp4, or allow more seconds",
    "processor": "give a shorter part, convert it to h264 in mp4, or allow more seconds",
    "memory": "scale it down or cut it first, or allow more memory",
    "crash": "convert it to h264 in mp4, or give another file",
}
"""What to do about the end of a worker, by its kind."""


class WorkerReader:
    """Read frames of the video that a worker has open; see `DecodeWorker.open`.

    Args:
        worker: Where it is open.
        name: What the user gave, for messages.
        metadata: What is known of it.
    """

    def __init__(self, worker: "DecodeWorker", name: str, metadata: VideoMetadata) -> None:
        self._worker = worker
        self._name = name
        self._metadata = metadata
        self._pid = worker.pid
        self._closed = False

    @property
    def metadata(self) -> VideoMetadata:
        """Return what is known of the video."""
        return self._metadata

    def read(self, times_seconds: Sequence[float], *, max_side: int | None = None) -> Clip:
        """Return the frames at some times, as `VideoReader.read` does.

        Args:
            times_seconds: Seconds since the first frame, at least one, finite, in any order.
            max_side: The longer side of the frames in pixels at most; None keeps the size.

        Raises:
            RequestError: There is no time, one is not finite, or there are too many.
            VideoError: The video is damaged on the way there, or goes beyond a limit.
            ValueError: The reader is closed.
        """
        times = [float(time) for time in times_seconds]
        if not times or not all(map(math.isfinite, times)):
            raise RequestError(f"the times are {times}; give at least one, all of them finite")
        allowed = self._worker.limits.max_frames
        if len(times) > allowed:
            raise RequestError(f"{len(times)} frames are asked for; ask for at most {allowed}")
        if self._closed:
            raise ValueError(f"{self._name}: the reader is closed; open it again")
        if self._worker.pid != self._pid:
            raise VideoError(self._name, "the worker that had it open has ended", "open it again")
        seconds = self._worker.limits.decode_seconds
        request = {"do": "read", "times": times, "max_side": max_side}
        reply, shared = self._worker.ask(self._name, "reading it", request, None, seconds=seconds)
        assert shared is not None, "frames come in shared memory"
        self._metadata = replace(self._metadata, warnings=tuple(reply["warnings"]))
        return Clip(
            frames=_take_frames(shared, reply["shape"]),
            pts_seconds=torch.tensor(reply["seconds"], dtype=torch.float64),
            backend=self._metadata.backend,
            warnings=self._metadata.warnings,
        )

    def close(self) -> None:
        """Make further reading an error."""
        self._closed = True


class DecodeWorker(Closing):
    """Hold a process that decodes, and replace it whenever a video ends it; a context manager.

    The process starts at once in the background, serves one video at a time while other threads
    wait, and lasts no longer than its owner. After a fork the copy starts a process of its own.

    Args:
        limits: How much a video may cost; the defaults suit a chat server.
    """

    def __init__(self, limits: DecodeLimits | None = None) -> None:
        self.limits = limits or DecodeLimits()
        self._turn = threading.Lock()
        self._owner = os.getpid()
        self._process: WorkerProcess | None = WorkerProcess(self.limits)
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Return the id of the process, or None while there is none."""
        return None if self._process is None else self._process.pid

    def wait(self) -> None:
        """Wait until the process has started: an open after that does not wait for it.

        Raises:
            VideoError: It does not start.
        """
        with self._turn:
            self.ask("<nothing>", "starting", {"do": "nothing"}, None, seconds=START_SECONDS)

    @contextmanager
    def open(
        self, source: VideoSource, *, fps: float | None = None, video_stream: int | None = None
    ) -> Iterator[FrameReader]:
        """Open a source as `VideoReader.open` does, and hold the worker until the block ends.

        Frames in memory need no decoder: they are read where they are.

        Args:
            source: Anything that `VideoReader.open` takes.
            fps: Likewise.
            video_stream: Likewise.

        Raises:
            VideoError: The source cannot be read as video, or goes beyond a limit.
            RequestError: `fps` or `video_stream` does not fit the source.
            ValueError: The worker is closed.
        """
        if isinstance(source, (Tensor, np.ndarray)):
            with VideoReader.open(source, fps=fps, video_stream=video_stream) as frames:
                yield frames
            return
        if self._owner != os.getpid():
            self._turn, self._owner = threading.Lock(), os.getpid()
        name = source_name(source)
        request = {
            "do": "open",
            "name": name,
            "folder": os.getcwd(),
            "fps": fps,
            "video_stream": video_stream,
        }
        with self._turn:
            memory = parcel(source, name, max_bytes=self.limits.max_source_bytes)
            try:
                seconds = self.limits.open_seconds
                reply, _ = self.ask(name, "opening it", request, memory, seconds=seconds)
            finally:
                if memory is not None:
                    os.close(memory)
            reader = WorkerReader(self, name, _metadata(reply["metadata"]))
            try:
                yield reader
            finally:
                reader.close()

    def load_clip(self, source: VideoSource, **options: Any) -> Clip:
        """Return a clip of a video, exactly as `videollm.sampling.load_clip` does.

        Args:
            source: Anything that `VideoReader.open` takes and that is not live.
            options: The further arguments of `videollm.sampling.load_clip`.

        Raises:
            VideoError: The source cannot be read as video, or goes beyond a limit.
            RequestError: A number is out of its range.
        """
        with self.open(source) as reader:
            return sampling.load_clip(reader, **options)

    def ask(
        self,
        name: str,
        doing: str,
        request: dict[str, Any],
        memory: int | None,
        *,
        seconds: float,
    ) -> tuple[dict[str, Any], int | None]:
        """Return the process's answer to a request about a source; used by its readers.

        Args:
            name: Of the source, for messages.
            doing: What is asked, for messages.
            request: The message.
            memory: A descriptor to send along.
            seconds: The longest wait.

        Raises:
            VideoError: The source is refused, or ended the process.
            RequestError: The request makes no sense.
            ValueError: The worker is closed.
        """
        if self._closed:
            raise ValueError("the decode worker is closed; make another")
        if self._process is None or not self._process.is_usable:
            self._process = WorkerProcess(self.limits)
            if request["do"] == "read":
                raise VideoError(name, "the worker that had it open has ended", "open it again")
        try:
            reply, shared = self._process.ask(request, memory, seconds=seconds)
        except WorkerEnd as end:
            self._process = None if self._closed else WorkerProcess(self.limits)
            finding = f"{doing} {end.finding}" if end.kind == "time" else end.finding
            raise VideoError(name, finding, REMEDIES[end.kind]) from None
        for log_name, level, message in reply["logs"]:
            logging.getLogger(log_name).log(level, "%s", message)
        _raise_refusal(name, reply)
        return reply, shared

    def close(self) -> None:
        """End the process, whatever it is doing; opening again is an error."""
        self._closed = True
        if self._process is not None:
            self._process.stop()


def _raise_refusal(name: str, reply: dict[str, Any]) -> None:
    if "refused" in reply:
        raise VideoError(*reply["refused"])
    if "senseless" in reply:
        raise RequestError(reply["senseless"])
    if "broken" in reply:
        logger.error("%s: the reader broke\n%s", name, reply["broken"])
        finding = f"the reader broke on it ({reply['what']}; the log has the details)"
        raise VideoError(name, finding, "report it with the file, or convert it to h264 in mp4")


def _metadata(found: dict[str, Any]) -> VideoMetadata:
    # JSON has lists only.
    values: dict[str, Any] = {
        key: tuple(one) if isinstance(one, list) else one for key, one in found.items()
    }
    return VideoMetadata(**values)


def _take_frames(shared: int, shape: list[int]) -> Tensor:
    """Return T frames (T, 3, height, width) that lie in shared memory."""
    try:
        mapping = mmap.mmap(shared, math.prod(shape))
    finally:
        os.close(shared)
    # The tensor keeps the mapping, and the mapping the memory.
    return torch.frombuffer(mapping, dtype=torch.uint8).view(shape)
