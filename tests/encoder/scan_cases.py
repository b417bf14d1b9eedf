"""Random scans for the tests, and how their results are compared."""

import os
from typing import Any

import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from torch import Tensor

from videollm.encoder.scan import selective_scan

BACKENDS = ["reference", "plain", "cpu"]
FAST = ["plain", "cpu"]
FULL = os.environ.get("VIDEOLLM_TEST_PROFILE") == "full"
"""Hundreds of cases and long sequences: `scripts/check_scan_laws.sh`, which takes minutes."""
LENGTHS = st.integers(1, 5000 if FULL else 200)
small = settings(
    max_examples=200 if FULL else 30,
    deadline=None,
    database=None,
    derandomize=not FULL,
    suppress_health_check=[HealthCheck.too_slow],
)


def make_inputs(
    batch: int,
    channels: int,
    length: int,
    states: int,
    *,
    dtype: torch.dtype = torch.float32,
    options: bool = True,
    layout: str = "time_last",
    reverse: bool = False,
) -> dict[str, Any]:
    """Draw keyword arguments of `selective_scan`; `options` adds all that may be left out."""

    def sequence(rows: int) -> Tensor:
        x = torch.randn(batch, rows, length).to(dtype)
        if layout == "channels_last":
            return x.transpose(1, 2).contiguous().transpose(1, 2)
        if layout == "scattered":
            return torch.stack([x, x + 1], dim=-1)[..., 0]
        return x

    inputs = {
        "u": sequence(channels),
        "delta": sequence(channels),
        "A": -4 * torch.rand(channels, states).to(dtype),
        "B": sequence(states),
        "C": sequence(states),
        "delta_softplus": True,
        "reverse": reverse,
    }
    if options:
        inputs |= {
            "D": torch.randn(channels).to(dtype),
            "z": sequence(channels),
            "delta_bias": torch.randn(channels).to(dtype),
            "initial_state": torch.randn(batch, channels, states).to(dtype),
        }
    return inputs


def run(inputs: dict[str, Any], backend: str) -> tuple[Tensor, ...]:
    """Return output, last state and, under fixed upstream gradients, every input's gradient."""
    leaves = {
        name: x.detach().requires_grad_() for name, x in inputs.items() if isinstance(x, Tensor)
    }
    arguments = inputs | leaves
    y, last = selective_scan(**arguments, return_last_state=True, backend=backend)
    generator = torch.Generator().manual_seed(1)
    upstream = [torch.randn(x.shape, generator=generator).to(x.dtype) for x in (y, last)]
    return y, last, *torch.autograd.grad([y, last], list(leaves.values()), upstream)


def assert_same(
    found: tuple[Tensor, ...],
    expected: tuple[Tensor, ...],
    tolerance: float,
    *,
    least_scale: float = 1e-3,
) -> None:
    """Compare each pair relative to the largest entry expected, or to `least_scale`.

    A sum that half precision cannot hold must be the same infinity in both.
    """
    assert len(found) == len(expected)
    for index, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        unbounded = b.isinf()
        assert torch.equal(a[unbounded], b[unbounded])
        a, b = a.masked_fill(unbounded, 0), b.masked_fill(unbounded, 0)
        scale = b.abs().max().clamp_min(least_scale)
        error = ((a - b).abs().max() / scale).item()
        assert error <= tolerance, f"result {index}: {error:.3g} of the largest entry"
