"""The selective scan on processors: C++ that never stores a (B, E, L, S) tensor.

This module ties the forward and backward passes of `csrc/scan_cpu.cpp` to autograd. Shapes are
checked by `scan.selective_scan`, not here.

Legend: B batch, E channels, S states, L length.

Any strides are read in place. Fastest are tensors whose channels are neighbours in memory, that
is (B, L, E) seen as (B, E, L) by a transpose.
"""

import ctypes
import functools
from typing import Any

import torch
from torch import Tensor

from videollm.encoder.extension import BuildError, load_library
from videollm.encoder.native import call_native, native_dtype, native_struct
from videollm.encoder.scan_autograd import make_differentiable
from videollm.encoder.scan_reference import ScanInputs

__all__ = ["cpu_scan_problem", "selective_scan_cpu"]

# The fields of `struct Problem` in the C++ source, in the same order.
SIZES = ("batch", "channels", "states", "length", "slabs", "softplus", "reverse", "threads")
VIEWS = (
    *("u", "delta", "B", "C", "z", "y"),
    *("grad_y", "grad_u", "grad_delta", "grad_z", "grad_B", "grad_C"),
)
ARRAYS = (
    *("A", "D", "delta_bias", "initial_state", "last_state", "starts"),
    *("grad_A", "grad_D", "grad_delta_bias", "grad_initial_state", "grad_last"),
)
_Problem = native_struct("_Problem", sizes=SIZES, views=VIEWS, arrays=ARRAYS)


@functools.cache
def _library() -> ctypes.CDLL:
    library = load_library()
    library.slab_channels.restype = library.tile_steps.restype = ctypes.c_int64
    library.problem_bytes.restype = ctypes.c_int64
    assert library.problem_bytes() == ctypes.sizeof(_Problem), "scan_cpu.cpp has other fields"
    return library


def cpu_scan_problem() -> str | None:
    """Return why the compiled scan cannot run here, or None when it can (it is then compiled)."""
    try:
        _library()
    except BuildError as error:
        return str(error)
    return None


def selective_scan_cpu(inputs: ScanInputs) -> tuple[Tensor, Tensor]:
    """Scan with the compiled library.

    Args:
        inputs: What `selective_scan_reference` takes, on the processor.

    Returns:
        The output (B, E, L) in the dtype of u, and the last state (B, E, S) in float32, or
        float64 for a u of that.

    Raises:
        BuildError: The library cannot be compiled here (see `cpu_scan_problem`).
    """
    dtype = native_dtype(inputs.u.dtype)
    values: list[Any] = [x.to(dtype) if isinstance(x, Tensor) else x for x in inputs]
    if torch.is_grad_enabled() and any(isinstance(x, Tensor) and x.requires_grad for x in values):
        y, last_state = _differentiable_scan(*values)
    else:
        y, last_state, _ = _forward(ScanInputs(*values), keep_starts=False)
    return y.to(inputs.u.dtype), last_state


def _forward(inputs: ScanInputs, *, keep_starts: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the output, the last state and, for the way back, the state before each tile."""
    u, num_states = inputs.u, inputs.A.shape[1]
    batch, channels, length = u.shape
    slabs, slab_channels, tile_steps = _layout(u)
    tiles = -(-length // tile_steps)
    y = torch.empty_like(u)
    last_state = u.new_empty(batch, channels, num_states)
    starts = u.new_empty(batch, slabs, tiles, num_states, slab_channels) if keep_starts else None
    _run("forward", inputs, y=y, last_state=last_state, starts=starts)
    return y, last_state, starts


def _keep_starts(inputs: ScanInputs) -> tuple[Tensor, Tensor, Tensor | None]:
    return _forward(inputs, keep_starts=True)


def _backward(
    inputs: ScanInputs, starts: Tensor, grad_y: Tensor | None, grad_last: Tensor | None
) -> dict[str, Tensor]:
    """Return the gradient of every tensor, by its name."""
    u, num_states, slabs = inputs.u, inputs.A.shape[1], _layout(inputs.u)[0]
    batch, channels, length = u.shape
    grads = {
        "grad_u": torch.empty_like(u),
        "grad_delta": torch.empty_like(inputs.delta),
        "grad_B": u.new_empty(batch * slabs, num_states, length),
        "grad_C": u.new_empty(batch * slabs, num_states, length),
        "grad_A": u.new_empty(batch, channels, num_states),
        "grad_initial_state": u.new_empty(batch, channels, num_states),
        "grad_D": u.new_empty(batch, channels),
        "grad_delta_bias": u.new_empty(batch, channels),
    }
    if inputs.z is not None:
        grads["grad_z"] = torch.empty_like(inputs.z)
    given = {
        "starts": starts,
        "grad_y": u.new_zeros(()).expand_as(u) if grad_y is None else grad_y,
        "grad_last": grad_last,
    }
    _run("backward", inputs, **given, **grads)
    for name in ("grad_B", "grad_C"):
        grads[name] = grads[name].unflatten(0, (batch, slabs)).sum(1)
    for name in ("grad_A", "grad_D", "grad_delta_bias"):
        grads[name] = grads[name].sum(0)
    return {name.removeprefix("grad_"): value for name, value in grads.items()}


_differentiable_scan = make_differentiable("compiled", _keep_starts, _backward)


def _run(direction: str, inputs: ScanInputs, **tensors: Tensor | None) -> None:
    u = inputs.u
    problem = _Problem(
        *(*u.shape[:2], inputs.A.shape[1], u.shape[2], _layout(u)[0]),
        *(inputs.delta_softplus, inputs.reverse, torch.get_num_threads()),
    )
    given = {name: x for name, x in inputs._asdict().items() if isinstance(x, Tensor)}
    call_native(f"scan_{direction}", problem, given | tensors)


def _layout(u: Tensor) -> tuple[int, int, int]:
    """Return the number of slabs, the channels of one slab and the steps of one tile."""
    library = _library()
    channels = library.slab_channels(int(u.dtype == torch.float64))
    return -(-u.shape[1] // channels), channels, library.tile_steps()
