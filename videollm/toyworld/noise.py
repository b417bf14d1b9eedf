"""Sensor noise of drawn clips, which belongs to one moment of one clip.

Legend: S pixels of a side.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["moment_noise"]


def moment_noise(seconds: float, index: int, seed: int, size: int) -> NDArray[np.float32]:
    """Return (3, S, S) standard noise that depends on a clip's number, its seed and the time.

    It is cut from a fixed bank, at a place that only these decide: drawing normal numbers for
    every frame would take longer than drawing the frame.
    """
    bank = _noise_bank()
    num = 3 * size * size
    spot = (round(seconds * 1e6) * 7919 + index * 104_729 + seed * 15_485_863) % (len(bank) // 2)
    if spot + num > len(bank):
        return np.resize(bank[spot:], (3, size, size))
    return bank[spot : spot + num].reshape(3, size, size)


@lru_cache(maxsize=1)
def _noise_bank() -> NDArray[np.float32]:
    """Return (2 ** 19,) standard normal numbers, the same ones always."""
    rng = np.random.Generator(np.random.PCG64(0))
    return rng.standard_normal(1 << 19, dtype=np.float32)
