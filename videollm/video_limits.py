"""How much a video from a stranger may cost before it is refused or stopped.

Only numbers; `videollm.video_worker` holds a decoder to them, in a process of its own.
"""

import math
from dataclasses import dataclass, fields

from videollm.errors import RequestError

__all__ = ["MAX_PIXELS", "DecodeLimits"]

MAX_PIXELS = 2**27
"""The most pixels of a frame that a reader without limits of its own decodes: 134 million, a
little above 16K (15360 x 8640)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeLimits:
    """Hold the limits of a decode worker; every one is above 0.

    Time is counted while the worker works on one call, neither while it starts nor while a
    request waits for its turn.

    Args:
        open_seconds: Wall-clock seconds to open a source and to find out what is in it.
        decode_seconds: Wall-clock seconds of one call that reads frames.
        cpu_seconds: Seconds of processor time, all threads together, of one call of either kind;
            a whole number.
        memory_bytes: Memory beyond what an idle worker holds; also the largest clip, which is
            shared with the caller and does not count as the worker's own.
        max_side: Largest width and largest height of an upright frame, in pixels.
        max_pixels: Most pixels of a frame, as it is stored and as it is shown: 8K fits.
        max_frames: Most frames of one call that reads.
        max_source_bytes: Size of the largest local file, or of bytes; what a server sends is
            limited by time alone.

    Raises:
        RequestError: A limit is not above 0, or not finite.
    """

    open_seconds: float = 5.0
    decode_seconds: float = 30.0
    cpu_seconds: int = 120
    memory_bytes: int = 2 * 2**30
    max_side: int = 16384
    max_pixels: int = 2**25
    max_frames: int = 1024
    max_source_bytes: int = 2 * 2**30

    def __post_init__(self) -> None:
        """Refuse a limit that would let nothing or anything through."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value > 0):
                raise RequestError(f"{field.name} is {value}; a limit is finite and above 0")
