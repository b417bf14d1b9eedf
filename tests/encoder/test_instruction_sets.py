"""The compiled library is right with every width of vector register, not only this machine's."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECK = """
import sys

import torch

from tests.encoder.scan_cases import assert_same, make_inputs, run
from videollm.encoder import extension, scan_cpu
from videollm.encoder.conv import causal_conv1d_plain
from videollm.encoder.conv_cpu import causal_conv1d_cpu

extension.COMPILE_FLAGS += tuple(sys.argv[2:])
assert scan_cpu.cpu_scan_problem() is None, scan_cpu.cpu_scan_problem()
assert scan_cpu._library().slab_channels(0) == int(sys.argv[1])
for layout in ("time_last", "channels_last"):
    inputs = make_inputs(2, 75, 70, 5, layout=layout, reverse=layout == "time_last")
    assert_same(run(inputs, "cpu"), run(inputs, "reference"), 5e-5)
x, weight, bias = inputs["u"], torch.randn(75, 4), torch.randn(75)
options = {"reverse": False, "silu": True}
found, expected = (f(x, weight, bias, None, **options) for f in
                   (causal_conv1d_cpu, causal_conv1d_plain))
torch.testing.assert_close(found, expected)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64") or sys.platform == "win32",
    reason="the flags are those of GCC and Clang for x86",
)
@pytest.mark.parametrize(
    ("flags", "slab_channels"),
    [(("-mno-avx512f",), 32), (("-mno-avx512f", "-mno-avx"), 16)],
    ids=["avx2", "sse"],
)
def test_narrower_registers(flags: tuple[str, ...], slab_channels: int, tmp_path: Path) -> None:
    if slab_channels == 32 and " avx2 " not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has no AVX2")
    environment = os.environ | {"VIDEOLLM_CACHE": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(slab_channels), *flags],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
