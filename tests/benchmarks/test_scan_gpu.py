"""The GPU benchmark, as far as it goes without a GPU."""

from typing import Any

import pytest
import torch

from benchmarks import scan_gpu
from benchmarks.scan_gpu import Case, floor_milliseconds
from videollm.encoder.scan import selective_scan

MACHINE = {"multiprocessors": 100, "clock_hertz": 1e9, "copy_bytes_per_second": 1e12}


def test_without_a_gpu_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["scan_gpu"])
    monkeypatch.setattr(scan_gpu, "triton_scan_problem", lambda kind: "torch sees no GPU")
    with pytest.raises(SystemExit) as caught:
        scan_gpu.main()
    assert caught.value.code == 2
    assert "this needs a GPU and Triton: torch sees no GPU" in capsys.readouterr().err


@pytest.mark.parametrize(("stand_in", "passes"), [("plain", True), ("wrong", False)])
def test_a_check_finds_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, stand_in: str, passes: bool
) -> None:
    def scan(backend: str, **inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        y, last = selective_scan(**inputs, backend="plain")
        return y, last * 1.01 if (backend, stand_in) == ("triton", "wrong") else last

    monkeypatch.setattr(scan_gpu, "DEVICE", "cpu")
    monkeypatch.setattr(scan_gpu, "selective_scan", scan)
    result = scan_gpu.check(Case(2, 3, 9, 2, True), torch.float32)
    assert result["passed"] is passes
    assert result["bits_repeat"]


def test_the_floor_is_the_larger_of_arithmetic_and_bytes() -> None:
    case = Case(2, 100, 1000, 16, False)
    exponentials = 2 * 100 * 1000 * 20 / (16 * 100 * 1e9)
    assert floor_milliseconds(case, torch.bfloat16, MACHINE, backward=False) == pytest.approx(
        1e3 * exponentials
    )
    slow = MACHINE | {"copy_bytes_per_second": 1e9}
    moved = 2 * (2 * 100 * 1000 * 7 + 2 * 16 * 1000 * 4) / 1e9
    assert floor_milliseconds(case, torch.bfloat16, slow, backward=True) == pytest.approx(
        1e3 * moved
    )
