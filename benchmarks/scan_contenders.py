"""Selective scans on processors: ours, and what others use where no GPU kernel is.

Legend: B batch, L length, E channels, S states.
"""

import warnings
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import apart, cost_of, interleaved_seconds
from videollm.encoder.scan import selective_scan

__all__ = ["RIVALS", "compare_scans", "draw_inputs", "load_scan"]

RIVALS = ("sequential loop", "mambapy", "transformers")
MEASURED = ("cpu", "sequential loop", "mambapy")  # for memory
OURS = ("cpu", "cpu, channels last")
SMALL_BLES = (1, 8, 16, 16)  # to compile, and to load libraries
Scan = Callable[..., Tensor]


def compare_scans(shape: tuple[int, int, int, int], *, threads: int) -> dict[str, Any]:
    """Time all contenders on the same inputs in turn, and measure each one's memory apart.

    Args:
        shape: (B, L, E, S).
        threads: Threads of torch and of our library.

    Returns:
        `shape`, and by pass ("forward", "forward+backward") and contender `seconds` and
        `peak_bytes`, and the `ratio` of the fastest rival to ours.
    """
    result: dict[str, Any] = {"shape_BLES": list(shape)}
    for passes in ("forward", "forward+backward"):
        seconds = apart(_times, shape, passes, threads)
        peaks = {name: apart(_peak, name, shape, passes, threads) for name in MEASURED}
        fastest = min(RIVALS, key=seconds.__getitem__)
        result[passes] = {
            "seconds": seconds,
            "peak_bytes": peaks,
            "fastest_rival": fastest,
            "ratio": {name: seconds[fastest] / seconds[name] for name in OURS},
            "memory_of_the_loop": peaks["cpu"] / peaks["sequential loop"],
        }
    return result


def _times(shape: tuple[int, int, int, int], passes: str, threads: int) -> dict[str, float]:
    torch.set_num_threads(threads)
    for name in (*OURS, *RIVALS):
        _work(name, SMALL_BLES, passes)()
    return interleaved_seconds({name: _work(name, shape, passes) for name in (*OURS, *RIVALS)})


def _peak(name: str, shape: tuple[int, int, int, int], passes: str, threads: int) -> int:
    torch.set_num_threads(threads)
    _work(name, SMALL_BLES, passes)()
    work = _work(name, shape, passes)
    return int(asdict(cost_of(work, max_repeats=1))["peak_bytes"])


def _work(name: str, shape: tuple[int, int, int, int], passes: str) -> Callable[[], object]:
    inputs = draw_inputs(shape, channels_last=name == "cpu, channels last")
    scan = load_scan(name)
    if passes == "forward":
        return torch.no_grad()(lambda: scan(*inputs))
    leaves = [x.requires_grad_() for x in inputs if isinstance(x, Tensor)]
    upstream = torch.randn_like(inputs[0])
    return lambda: torch.autograd.grad(scan(*inputs), leaves, upstream)


def draw_inputs(shape: tuple[int, int, int, int], *, channels_last: bool) -> list[Any]:
    """Return u, delta, A, B, C, D, z, delta_bias, delta_softplus: all scans take this order."""
    B, L, E, S = shape
    generator = torch.Generator().manual_seed(0)

    def draw(*sizes: int) -> Tensor:
        x = torch.randn(sizes, generator=generator)
        if channels_last and len(sizes) == 3:
            return x.transpose(1, 2).contiguous().transpose(1, 2)
        return x

    u, delta, z = (draw(B, E, L) for _ in range(3))
    A = -torch.rand(E, S, generator=generator) * S
    return [u, delta, A, draw(B, S, L), draw(B, S, L), draw(E), z, draw(E), True]


def load_scan(name: str) -> Scan:
    """Return the function behind a contender's name.

    Raises:
        ImportError: mambapy is not installed.
    """
    if name in OURS:
        return lambda *inputs: selective_scan(*inputs, backend="cpu")
    if name == "sequential loop":
        return sequential_loop
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers.models.mamba.modeling_mamba import mamba_selective_scan
    if name == "mambapy":
        import mambapy.pscan  # noqa: F401  without it the next line would run another scan

        return lambda *inputs: mamba_selective_scan(*inputs, use_mambapy=True)
    return lambda *inputs: mamba_selective_scan(*inputs)


def sequential_loop(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    z: Tensor,
    delta_bias: Tensor,
    delta_softplus: bool,
) -> Tensor:
    """Scan as Mamba's definition reads: discretise the whole sequence, then step through it."""
    step = delta + delta_bias[:, None]
    if delta_softplus:
        step = torch.nn.functional.softplus(step)
    decay = torch.exp(torch.einsum("bel,es->bels", step, A))
    added = torch.einsum("bel,bsl,bel->bels", step, B, u)
    state = u.new_zeros(u.shape[0], u.shape[1], A.shape[1])
    outputs = []
    # Taken apart at once: the gradient of a slice is as large as the whole, for every step.
    for kept, new, weight in zip(decay.unbind(2), added.unbind(2), C.unbind(2), strict=True):
        state = kept * state + new
        outputs.append(torch.einsum("bes,bs->be", state, weight))
    y = torch.stack(outputs, dim=2) + u * D[:, None]
    return y * torch.nn.functional.silu(z)
