"""Bare decord and bare PyAV, as one who knows them writes a loop over wanted frames."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

__all__ = ["Pictures", "Rival", "Wanted", "frame_times", "rivals"]

Pictures = NDArray[np.uint8]
"""(T, H, W, 3), RGB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Hold which frames are wanted of a clip, and what they are.

    Attributes:
        path: The file.
        seconds: When the frames begin, rising, since the first frame.
        numbers: Which frames they are, from 0.
        side: The longer side in pixels at most; None keeps the size.
        height: Of the right frames.
        width: Likewise.
        frames: The right frames.
    """

    path: str
    seconds: list[float]
    numbers: list[int]
    side: int | None
    height: int
    width: int
    frames: Pictures


Rival = Callable[[Wanted], Pictures]


def rivals() -> dict[str, Rival]:
    """Return every rival that is installed, by name."""
    found: dict[str, Rival] = {}
    for threads in ("SLICE", "AUTO"):
        found[f"pyav forwards {threads}"] = partial(read_forwards, threads=threads)
        found[f"pyav seeking {threads}"] = partial(read_seeking, threads=threads)
    try:
        import decord
    except ImportError:
        return found
    decord.logging.set_level(decord.logging.QUIET)
    return {"decord": read_decord, **found}


def frame_times(path: str) -> list[float]:
    """Return when each frame begins, since the first, by a plain decode; rising."""
    with av.open(path, metadata_errors="replace") as container:
        stream: Any = container.streams.best("video")
        times = [frame.time or 0.0 for frame in container.decode(stream)]
    return sorted(time - times[0] for time in times)


def read_decord(wanted: Wanted) -> Pictures:
    """Read by frame numbers; decord scales as it decodes."""
    import decord

    size = {} if wanted.side is None else {"width": wanted.width, "height": wanted.height}
    return decord.VideoReader(wanted.path, **size).get_batch(wanted.numbers).asnumpy()


def read_forwards(wanted: Wanted, threads: str) -> Pictures:
    """Decode from the first frame to the last that is wanted."""
    pictures: list[Pictures] = []
    with av.open(wanted.path) as container:
        stream: Any = container.streams.best("video")  # a video stream, or it fails
        stream.thread_type = threads
        start: float | None = None
        for frame in container.decode(stream):
            start = frame.time if start is None else start
            seconds = frame.time - start
            if seconds < wanted.seconds[len(pictures)] - 5e-4:
                continue
            picture = _picture(frame, wanted)
            while (
                len(pictures) < len(wanted.seconds)
                and wanted.seconds[len(pictures)] < seconds + 5e-4
            ):
                pictures.append(picture)
            if len(pictures) == len(wanted.seconds):
                break
    return np.stack(pictures)


def read_seeking(wanted: Wanted, threads: str) -> Pictures:
    """Seek to the keyframe before each wanted frame and decode on from there."""
    pictures: list[Pictures] = []
    with av.open(wanted.path) as container:
        stream: Any = container.streams.best("video")  # a video stream, or it fails
        stream.thread_type = threads
        start = stream.start_time or 0
        for goal in wanted.seconds:
            container.seek(start + round(goal / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                if frame.time - float(start * stream.time_base) > goal - 5e-4:
                    pictures.append(_picture(frame, wanted))
                    break
    return np.stack(pictures)


def _picture(frame: Any, wanted: Wanted) -> Pictures:  # noqa: ANN401 (of any stream, to mypy)
    if wanted.side is None:
        return frame.to_ndarray(format="rgb24")
    return frame.to_ndarray(format="rgb24", width=wanted.width, height=wanted.height)
