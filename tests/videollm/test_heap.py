"""Large freed blocks go back to the system where that is asked for."""

import os
import subprocess
import sys

import pytest

_HOLES = """
import sys
from videollm.heap import return_large_blocks
from videollm.runtime import rss_bytes
print(return_large_blocks() if sys.argv[1] == "set" else None)
bytearray(b"x") * (30 * 2**20)  # freed at once: raises the limit where it may rise
before = rss_bytes()
blocks = [bytearray(b"x") * (4 * 2**20) for _ in range(40)]
del blocks[:-1]
print((rss_bytes() - before) / 2**20)
"""


def _hold_one_of_forty(setting: str, **environment: str) -> tuple[str, float]:
    """Return what was said and the MiB that are held for 4 MiB that are alive."""
    done = subprocess.run(
        [sys.executable, "-c", _HOLES, setting],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    said, held = done.stdout.split()
    return said, float(held)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's heap")
def test_large_blocks_go_back_to_the_system() -> None:
    said, held = _hold_one_of_forty("set")
    if said == "False":
        pytest.skip("the C library has no mallopt")
    assert (said, held < 20) == ("True", True)
    assert _hold_one_of_forty("not set")[1] > 100
    assert _hold_one_of_forty("set", MALLOC_MMAP_THRESHOLD_="33554432")[0] == "False"
