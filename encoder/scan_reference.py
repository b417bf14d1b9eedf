"""The selective scan by its definition, whole and chunk by chunk, in plain PyTorch.

The whole form is what every back end is held to. The chunked form calls it, and serves where
there is no compiled scan: on any device, in memory that does not grow with L times S.

Legend: B batch, E channels, S states, L length (time).
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

__all__ = ["ScanInputs", "selective_scan_plain", "selective_scan_reference"]

CHUNK_STEPS = 64


class ScanInputs(NamedTuple):
    """The arguments of one scan, checked, in the order that every back end takes them."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None = None
    z: Tensor | None = None
    delta_bias: Tensor | None = None
    delta_softplus: bool = False
    initial_state: Tensor | None = None
    reverse: bool = False


def selective_scan_reference(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    initial_state: Tensor | None = None,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the output and the last state that `selective_scan` has to give, in four plain steps.

    Arguments and results are those of `scan.selective_scan`. It stores (L, B, E, S) tensors.
    """
    dtype = _state_dtype(u)
    x, delta, A, B, C = (tensor.to(dtype) for tensor in (u, delta, A, B, C))

    # 1. The step sizes: (B, E, L).
    if delta_bias is not None:
        delta = delta + delta_bias.to(dtype)[:, None]
    if delta_softplus:
        delta = functional.softplus(delta)

    # 2. What each step keeps of the state and what it adds to it: L times (B, E, S).
    decay_LBES = torch.exp(_time_first(delta)[..., None] * A)
    added_LBES = _time_first(delta * x)[..., None] * _time_first(B)[:, :, None]

    # 3. The recurrence, in the order of the scan.
    state = x.new_zeros(decay_LBES.shape[1:])
    if initial_state is not None:
        state = initial_state.to(dtype)
    steps = list(zip(decay_LBES.unbind(), added_LBES.unbind(), strict=True))
    states = []
    for decay, added in reversed(steps) if reverse else steps:
        state = decay * state + added
        states.append(state)

    # 4. Read-out, skip and gate: (B, E, L).
    states_LBES = torch.stack(states[::-1] if reverse else states)
    y = (states_LBES * _time_first(C)[:, :, None]).sum(-1).permute(1, 2, 0)
    if D is not None:
        y = y + D.to(dtype)[:, None] * x
    if z is not None:
        y = y * functional.silu(z.to(dtype))
    return y.to(u.dtype), state


def _state_dtype(u: Tensor) -> torch.dtype:
    return torch.float64 if u.dtype == torch.float64 else torch.float32


def _time_first(sequence: Tensor) -> Tensor:
    """Move (B, rows, L) to (L, B, rows), so that each step is one stretch of memory."""
    return sequence.permute(2, 0, 1).contiguous()


def selective_scan_plain(inputs: ScanInputs) -> tuple[Tensor, Tensor]:
    """Scan by the reference, a chunk at a time, the state carried from one to the next.

    When gradients are wanted, the inside of a chunk is computed again on the way back.

    Args:
        inputs: What `selective_scan_reference` takes.

    Returns:
        The output (B, E, L) and the last state (B, E, S).
    """
    # Gradients of what all chunks share are summed over these: not in half precision.
    dtype = _state_dtype(inputs.u)
    shared = {name: getattr(inputs, name) for name in ("A", "D", "delta_bias")}
    shared = {name: None if x is None else x.to(dtype) for name, x in shared.items()}
    inputs = inputs._replace(**shared)
    chunks = [slice(t, t + CHUNK_STEPS) for t in range(0, inputs.u.shape[2], CHUNK_STEPS)]
    outputs = []
    for chunk in reversed(chunks) if inputs.reverse else chunks:
        piece = inputs._replace(
            u=inputs.u[..., chunk],
            delta=inputs.delta[..., chunk],
            B=inputs.B[..., chunk],
            C=inputs.C[..., chunk],
            z=None if inputs.z is None else inputs.z[..., chunk],
        )
        if torch.is_grad_enabled():
            y, state = checkpoint(
                selective_scan_reference, *piece, use_reentrant=False, preserve_rng_state=False
            )
        else:
            y, state = selective_scan_reference(*piece)
        outputs.append(y)
        inputs = inputs._replace(initial_state=state)
    return torch.cat(outputs[::-1] if inputs.reverse else outputs, dim=2), state
