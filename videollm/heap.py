"""How the C library keeps memory that was freed."""

import ctypes
import os
import sys

__all__ = ["return_large_blocks"]

_M_MMAP_THRESHOLD = -3
"""Its number in malloc.h."""


def return_large_blocks() -> bool:
    """Let this process give freed tensors back to the system at once, for the rest of its life.

    glibc raises its limit for blocks with a mapping of their own, up to 32 MiB, as such blocks are
    freed (mallopt(3), M_MMAP_THRESHOLD): from then on tensors come from a heap that keeps their
    holes. A limit of 1 MiB holds resident memory to what is alive; taking fresh pages costs time.

    Returns:
        Whether it was set: not by other C libraries, nor where MALLOC_MMAP_THRESHOLD_ is given.
    """
    if not sys.platform.startswith("linux") or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, 2**20))
