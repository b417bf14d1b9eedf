"""Check the Triton scan on a GPU and time it.

python -m benchmarks.scan_gpu [--output benchmarks/results]

First the law: values and gradients equal the reference, in float32 and bfloat16, and two runs agree
in every bit. Then times, beside the time below which no scan can get on that GPU and beside
mamba-ssm where it is installed with its kernel. All goes to one JSON file, named by the GPU.

The floor is the larger of two: exponentials at the rate of the special-function units (one for each
state and step, two for softplus, two for the gate), and bytes, each tensor read or written once, at
the rate of a large copy measured in the same run.

Legend: B batch, E channels, S states, L length.
"""

import argparse
import json
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from videollm.encoder.scan import selective_scan
from videollm.encoder.scan_mamba_ssm import MODULE, mamba_scan_problem
from videollm.encoder.scan_triton import triton_scan_problem

DEVICE = "cuda"
# Results of special functions for each clock and multiprocessor, compute capability 7.0 to 9.0:
# CUDA C++ Programming Guide, "Throughput of Native Arithmetic Instructions".
SPECIAL_RATE = 16
TOLERANCES = {torch.float32: 5e-5, torch.bfloat16: 2 * torch.finfo(torch.bfloat16).eps}
MEBIBYTE = 2**20


class Case(NamedTuple):
    """One scan: B, E, L, S and its direction."""

    batch: int
    channels: int
    length: int
    states: int
    reverse: bool


CHECKED = [
    Case(1, 384, 1000, 16, False),
    Case(1, 384, 1000, 16, True),
    Case(96, 384, 33, 16, True),
    Case(3, 200, 77, 5, False),
    Case(2, 31, 1, 1, False),
]
TIMED = [
    Case(1, 384, 64 * 196, 16, False),  # one long video
    Case(8, 768, 16 * 196, 16, False),
    Case(8, 1536, 16 * 196, 16, False),
    Case(64, 384, 196, 16, True),  # within 64 frames
]


def main() -> None:
    """Check, time, write the file; exit with 1 where a check failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    output: Path = parser.parse_args().output
    if problem := triton_scan_problem("cuda"):
        parser.error(f"this needs a GPU and Triton: {problem}")
    torch.manual_seed(0)
    gpu = describe_gpu()
    checks = [check(case, dtype) for case in CHECKED for dtype in TOLERANCES]
    print(*map(json.dumps, checks), sep="\n", flush=True)
    times = []
    for case in TIMED:
        for dtype in TOLERANCES:
            times += measure(case, dtype, gpu)
            print(*map(json.dumps, times[-2:]), sep="\n", flush=True)
    output.mkdir(parents=True, exist_ok=True)
    record = {"commit": _commit(), "gpu": gpu}
    name = re.sub(r"\W+", "_", gpu["name"]).lower()
    path = output / f"scan_gpu_{name}.json"
    path.write_text(json.dumps(record | {"checks": checks, "times": times}, indent=1) + "\n")
    if not all(result["passed"] for result in checks):
        sys.exit("the Triton scan does not equal the reference: see `checks`")


def check(case: Case, dtype: torch.dtype) -> dict[str, Any]:
    """Return the largest error of any value or gradient, relative to the largest entry."""
    inputs = draw_inputs(case, dtype)
    found, again, expected = (
        _run(inputs, backend) for backend in ("triton", "triton", "reference")
    )
    errors = {
        name: ((x.float() - y.float()).abs().max() / y.float().abs().max().clamp_min(1e-3)).item()
        for name, x, y in zip(_result_names(inputs), found, expected, strict=True)
    }
    same = all(torch.equal(x, y) for x, y in zip(found, again, strict=True))
    worst = max(errors, key=lambda name: errors[name])
    passed = same and all(error <= TOLERANCES[dtype] for error in errors.values())
    return {
        **case._asdict(),
        "dtype": str(dtype).removeprefix("torch."),
        "worst": worst,
        "error": errors[worst],
        "tolerance": TOLERANCES[dtype],
        "bits_repeat": same,
        "passed": passed,
    }


def measure(case: Case, dtype: torch.dtype, gpu: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the times of the way forth and of the way back, in milliseconds."""
    inputs = draw_inputs(case, dtype)
    ours = _time(lambda: selective_scan(**inputs, backend="triton"), inputs)
    theirs = (None, None) if mamba_scan_problem("cuda") else _time_mamba_ssm(inputs)
    times = []
    for index, direction in enumerate(("forward", "backward")):
        floor = floor_milliseconds(case, dtype, gpu, backward=direction == "backward")
        times.append(
            {
                **case._asdict(),
                "dtype": str(dtype).removeprefix("torch."),
                "direction": direction,
                "triton_ms": ours[index],
                "floor_ms": floor,
                "times_floor": ours[index] / floor,
                "mamba_ssm_ms": theirs[index],
            }
        )
    return times


def floor_milliseconds(
    case: Case, dtype: torch.dtype, gpu: dict[str, Any], *, backward: bool
) -> float:
    """Return the time below which no scan gets: of its exponentials or of its bytes."""
    steps = case.batch * case.channels * case.length
    rate = SPECIAL_RATE * gpu["multiprocessors"] * gpu["clock_hertz"]
    exponentials = steps * (case.states + 4) / rate
    sequences = 7 if backward else 4  # u, delta, z, y; back: u, delta, z, dy and three gradients
    small = case.batch * case.states * case.length * (4 if backward else 2)  # B, C, gradients
    moved = (steps * sequences + small) * dtype.itemsize / gpu["copy_bytes_per_second"]
    return 1e3 * max(exponentials, moved)


def draw_inputs(case: Case, dtype: torch.dtype) -> dict[str, Any]:
    """Return random arguments of `selective_scan` on the GPU, channels last."""

    def sequence(rows: int) -> Tensor:
        shape = (case.batch, case.length, rows)
        return torch.randn(shape, device=DEVICE).to(dtype).transpose(1, 2).requires_grad_()

    def weights(*shape: int) -> Tensor:
        return torch.randn(shape, device=DEVICE).requires_grad_()

    rates = -4 * torch.rand(case.channels, case.states, device=DEVICE)
    return {
        "u": sequence(case.channels),
        "delta": sequence(case.channels),
        "A": rates.requires_grad_(),
        "B": sequence(case.states),
        "C": sequence(case.states),
        "D": weights(case.channels),
        "z": sequence(case.channels),
        "delta_bias": weights(case.channels),
        "delta_softplus": True,
        "initial_state": weights(case.batch, case.channels, case.states),
        "reverse": case.reverse,
    }


def _result_names(inputs: dict[str, Any]) -> list[str]:
    return ["y", "last_state", *(name for name, x in inputs.items() if isinstance(x, Tensor))]


def _run(inputs: dict[str, Any], backend: str) -> list[Tensor]:
    leaves = [x for x in inputs.values() if isinstance(x, Tensor)]
    results = selective_scan(**inputs, return_last_state=True, backend=backend)
    generator = torch.Generator(DEVICE).manual_seed(1)
    upstream = [
        torch.randn(x.shape, generator=generator, device=DEVICE).to(x.dtype) for x in results
    ]
    return [*results, *torch.autograd.grad(results, leaves, upstream)]


def _time(scan: Callable[[], Tensor], inputs: dict[str, Any]) -> tuple[float, float]:
    """Return the median milliseconds of a scan and of its gradients."""
    from triton.testing import do_bench

    leaves = [x for x in inputs.values() if isinstance(x, Tensor)]
    with torch.no_grad():
        forward = do_bench(scan, return_mode="median")
    y = scan()
    upstream = torch.randn_like(y)
    backward = do_bench(
        lambda: torch.autograd.grad(y, leaves, upstream, retain_graph=True, allow_unused=True),
        return_mode="median",
    )
    return forward, backward


def _time_mamba_ssm(inputs: dict[str, Any]) -> tuple[float, float]:
    """Return the same times of mamba-ssm's own function, in its own layout, from a zero state."""
    from importlib import import_module

    scan = import_module(MODULE).selective_scan_fn
    names = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
    theirs = {name: inputs[name].detach().contiguous().requires_grad_() for name in names}
    return _time(lambda: scan(**theirs, delta_softplus=True), theirs)


def describe_gpu() -> dict[str, Any]:
    """Return the first GPU's name, what sets the floor on it, and the versions in use."""
    import triton

    properties = torch.cuda.get_device_properties(0)
    query = ["nvidia-smi", "--query-gpu=clocks.max.sm", "--format=csv,noheader,nounits", "--id=0"]
    clock = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    return {
        "name": properties.name,
        "multiprocessors": properties.multi_processor_count,
        "clock_hertz": float(clock) * 1e6,
        "copy_bytes_per_second": _copy_rate(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "triton": triton.__version__,
    }


def _commit() -> str:
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    return subprocess.run(git, capture_output=True, text=True).stdout.strip()


def _copy_rate() -> float:
    """Return the bytes read and written a second by a large copy."""
    from triton.testing import do_bench

    source = torch.randn(1024 * MEBIBYTE // 4, device=DEVICE)
    target = torch.empty_like(source)
    milliseconds = do_bench(lambda: target.copy_(source), return_mode="median")
    return 2 * source.nbytes / (milliseconds * 1e-3)


if __name__ == "__main__":
    main()
