"""How long a listed video may take to be read, and who reads it."""

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from videollm.train.fields import described, require
from videollm.video import VideoReader
from videollm.video_limits import DecodeLimits
from videollm.video_track import FrameReader
from videollm.video_worker import DecodeWorker

__all__ = ["DecodeArguments", "open_video"]


@dataclass(kw_only=True)
class DecodeArguments:
    """How long a video may take to be read."""

    decode_seconds: float | None = field(
        default=None,
        metadata=described(
            "longest time to read a clip: beyond it the video is bad (at the cost of a process "
            "for each loading one); null for no limit"
        ),
    )

    def __post_init__(self) -> None:
        require(
            self.decode_seconds is None or 0 < self.decode_seconds < math.inf,
            f"decode_seconds: {self.decode_seconds} given; above 0, or null",
        )


def open_video(
    source: Path | bytes, decode_seconds: float | None
) -> AbstractContextManager[FrameReader]:
    """Return a reader of a video, to be used in a `with` block.

    Args:
        source: The file, or its bytes.
        decode_seconds: The longest time to open it, and again to read from it, in a process of
            its own; None reads in this process, without a limit.

    Raises:
        VideoError: It cannot be read, or not in time.
    """
    if decode_seconds is None:
        return VideoReader.open(source)
    return _worker(decode_seconds).open(source)


@cache
def _worker(seconds: float) -> DecodeWorker:
    """Return the decode worker of this process: one for all epochs, as it takes time to start."""
    return DecodeWorker(DecodeLimits(open_seconds=seconds, decode_seconds=seconds))
