"""The selective scan on GPUs: Triton kernels that never store a (B, E, L, S) tensor.

This module cuts the sequence into chunks, which programs scan side by side, runs the kernels and
ties them to autograd. Shapes are checked by `scan.selective_scan`, not here. On the way forth

    forward   each chunk from a state of zero, for what it adds to the state
    carry     chunk by chunk: the state before each, since a chunk fades what it gets by exp(A
              times the sum of its steps)
    forward   each chunk from its state, for the output

of which only the last is run where one chunk is enough to keep the GPU busy. On the way back

    replay    each chunk again, for the state before each tile of it and for what it adds to the
              gradient of the state
    carry     from the last chunk to the first: the gradient of the state after each
    backward  each chunk, its tiles from the last to the first, for all gradients

Kept between the two is one state a chunk. During the second there is one a tile, (B, L / 8, S, E).

Legend: B batch, E channels, S states, L length (time); parts = B * chunks.

Any strides are read in place, and a reversed scan goes backward in time without a flip. Fastest
are tensors whose channels are neighbours in memory, that is (B, L, E) seen as (B, E, L) by a
transpose. B and C are small and are copied unless they come as (B, S, L), contiguous.
"""

import importlib
import importlib.util
import os
import subprocess
from typing import Any, NamedTuple

import torch
from torch import Tensor

from videollm.encoder.scan_autograd import make_differentiable
from videollm.encoder.scan_reference import ScanInputs

__all__ = ["selective_scan_triton", "triton_scan_problem"]

# These follow from counts of the compiled instructions and registers, not from measurements.
TILE_STEPS = 8
CARRY_TILE = 16
MAX_BLOCK = 64
MIN_CHUNK_STEPS = 32
# Chunks cost a second pass: not for less than this many.
MIN_CHUNKS = 3
# Programs for each multiprocessor that keep it busy: each is one warp.
PROGRAMS = 12
# Older ones compile a tuple with several strides of 1 wrong.
MIN_TRITON = (3, 6)

View = tuple[Tensor, int, int, int]


class Sequences(NamedTuple):
    """Tensors (B, rows, L) as the kernels take them: address and strides."""

    u: View | None
    delta: View | None
    B: View | None
    C: View | None
    z: View | None


class Weights(NamedTuple):
    """Tensors without time: A (S, E) or (parts, S, E), D and bias (E,) or (parts, E)."""

    A: Tensor
    D: Tensor | None
    bias: Tensor | None


class Plan(NamedTuple):
    """How the work is cut: chunks of equal steps (the last may be shorter), blocks of channels."""

    chunks: int
    chunk_steps: int
    blocks: int
    block: int


def triton_scan_problem(kind: str) -> str | None:
    """Return why Triton cannot scan tensors on devices of this kind, or None if it may."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed: on Linux with a GPU, pip install triton"
    if os.environ.get("TRITON_INTERPRET") != "1":
        if kind != "cuda":
            return f"it is for GPUs, not for {kind} (with TRITON_INTERPRET=1 it runs there, slowly)"
        if not torch.cuda.is_available():
            return "torch sees no GPU: install a driver, and torch for CUDA"
    try:
        version = importlib.import_module("triton").__version__
    except (ImportError, OSError, RuntimeError) as error:
        return f"triton cannot be imported ({error}): reinstall it"
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_TRITON:
        return f"triton {version} is too old, it takes 3.6: upgrade torch, which brings triton"
    return None


def selective_scan_triton(inputs: ScanInputs) -> tuple[Tensor, Tensor]:
    """Scan with the Triton kernels.

    Args:
        inputs: What `selective_scan_reference` takes, on a GPU (anywhere for the interpreter).

    Returns:
        The output (B, E, L) in the dtype of u, and the last state (B, E, S) in float32, or
        float64 for a u of that.

    Raises:
        RuntimeError: Triton cannot compile or start its kernels here.
    """
    dtype = torch.float64 if inputs.u.dtype == torch.float64 else torch.float32
    D, bias, start = inputs.D, inputs.delta_bias, inputs.initial_state
    y, last_state = _differentiable_scan(
        *inputs._replace(
            A=inputs.A.T.to(dtype).contiguous(),
            B=inputs.B.to(dtype).contiguous(),
            C=inputs.C.to(dtype).contiguous(),
            D=None if D is None else D.to(dtype).contiguous(),
            delta_bias=None if bias is None else bias.to(dtype).contiguous(),
            initial_state=None if start is None else start.mT.to(dtype).contiguous(),
        )
    )
    return y, last_state.mT.contiguous()


def _forward(inputs: ScanInputs) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Return the output, the last state, the state before each chunk, the sum of its steps."""
    from videollm.encoder.triton_forward import forward_kernel

    plan, u = _plan(inputs), inputs.u
    parts = u.shape[0] * plan.chunks
    y = torch.empty_like(u)
    running = _empty_states(inputs, parts)
    starts, totals = inputs.initial_state, None
    if plan.chunks > 1:
        totals = inputs.A.new_empty(parts, u.shape[1])
        _run(forward_kernel, inputs, plan, None, None, running, totals)
        starts = _carry(inputs, plan, inputs.initial_state, running, totals, reverse=False)
    _run(forward_kernel, inputs, plan, _view(y), starts, running, None)
    return y, running.unflatten(0, (-1, plan.chunks))[:, -1], starts, totals


def _backward(
    inputs: ScanInputs,
    starts: Tensor | None,
    totals: Tensor | None,
    grad_y: Tensor | None,
    grad_last: Tensor | None,
) -> dict[str, Tensor]:
    """Return the gradient of every tensor by its name."""
    from videollm.encoder.triton_backward import backward_kernel, replay_kernel

    plan, u = _plan(inputs), inputs.u
    (batch, channels, length), states = u.shape, inputs.A.shape[0]
    parts = batch * plan.chunks
    dy = _view(u.new_zeros(()).expand_as(u) if grad_y is None else grad_y)
    tile_starts = _empty_states(inputs, parts * plan.chunk_steps // TILE_STEPS)
    if totals is None:
        _run(replay_kernel, inputs, plan, dy, starts, tile_starts, None)
        carried = torch.zeros_like(inputs.A).repeat(parts, 1, 1)
        if grad_last is not None:
            carried.copy_(grad_last)
    else:
        running = _empty_states(inputs, parts)
        _run(replay_kernel, inputs, plan, dy, starts, tile_starts, running)
        first = None if grad_last is None else grad_last.contiguous()
        carried = _carry(inputs, plan, first, running, totals, reverse=True)
    grads = {name: torch.empty_like(getattr(inputs, name)) for name in ("u", "delta")}
    for name in ("B", "C"):
        grads[name] = inputs.A.new_empty(plan.blocks * batch, states, length)
    if inputs.z is not None:
        grads["z"] = torch.empty_like(inputs.z)
    sums = (_empty_states(inputs, parts), *inputs.A.new_empty(2, parts, channels).unbind())
    views = Sequences(*(_view(grads.get(name)) for name in Sequences._fields))
    _run(backward_kernel, inputs, plan, dy, views, Weights(*sums), tile_starts, carried)
    for name in ("B", "C"):
        grads[name] = grads[name].unflatten(0, (plan.blocks, batch)).sum(0)
    for name, partial in zip(("A", "D", "delta_bias"), sums, strict=True):
        grads[name] = partial.sum(0)
    grads["initial_state"] = carried.unflatten(0, (batch, plan.chunks))[:, 0]
    return grads


_differentiable_scan = make_differentiable("Triton", _forward, _backward)


def _carry(
    inputs: ScanInputs,
    plan: Plan,
    first: Tensor | None,
    added: Tensor,
    totals: Tensor,
    *,
    reverse: bool,
) -> Tensor:
    """Return what every chunk gets from the one before it (after it, for `reverse`)."""
    from videollm.encoder.triton_forward import carry_kernel

    states, channels = inputs.A.shape
    carried = torch.empty_like(added)
    _launch(
        carry_kernel,
        (inputs.u.shape[0] * states, plan.blocks),
        *(first, added, totals, inputs.A, carried, channels, states, plan.chunks),
        *(plan.block, CARRY_TILE, reverse),
    )
    return carried


def _run(kernel: Any, inputs: ScanInputs, plan: Plan, *arguments: Any) -> None:  # noqa: ANN401
    """Start a kernel that goes through the sequences, with what all such kernels take."""
    (batch, channels, length), states = inputs.u.shape, inputs.A.shape[0]
    _launch(
        kernel,
        (batch * plan.chunks, plan.blocks),
        Sequences(*(_view(getattr(inputs, name)) for name in Sequences._fields)),
        Weights(inputs.A, inputs.D, inputs.delta_bias),
        *arguments,
        *(channels, states, length, plan.chunks, plan.chunk_steps),
        *(plan.block, TILE_STEPS, inputs.delta_softplus, inputs.reverse),
    )


def _launch(kernel: Any, grid: tuple[int, int], *arguments: Any) -> None:  # noqa: ANN401
    """Start one warp for each point of the grid."""
    from triton import TritonError

    tensor = next(x for x in arguments if isinstance(x, Tensor))
    try:
        with torch.cuda.device_of(tensor):
            kernel[grid](*arguments, num_warps=1)
    except (TritonError, subprocess.CalledProcessError) as error:
        raise RuntimeError(f"Triton cannot run the scan here: {error}") from error


def _view(tensor: Tensor | None) -> View | None:
    if tensor is None:
        return None
    batch, row, time = tensor.stride()
    return tensor, batch, row, time


def _empty_states(inputs: ScanInputs, number: int) -> Tensor:
    return inputs.A.new_empty(number, *inputs.A.shape)


def _plan(inputs: ScanInputs) -> Plan:
    """Return how to cut the scan: no more chunks than it takes to keep the GPU busy."""
    batch, channels, length = inputs.u.shape
    block = MAX_BLOCK if channels > MAX_BLOCK // 2 else MAX_BLOCK // 2
    blocks = -(-channels // block)
    processors = 1
    if inputs.u.is_cuda:
        processors = torch.cuda.get_device_properties(inputs.u.device).multi_processor_count
    chunks = min(PROGRAMS * processors // (batch * blocks), -(-length // MIN_CHUNK_STEPS))
    if chunks < MIN_CHUNKS:
        chunks = 1
    tiles = -(-length // (chunks * TILE_STEPS))
    chunk_steps = tiles * TILE_STEPS
    return Plan(-(-length // chunk_steps), chunk_steps, blocks, block)
