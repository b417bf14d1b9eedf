"""The selective scan by mamba-ssm's CUDA kernel, with what that one lacks.

`selective_scan_fn` of state-spaces/mamba starts from a state of zero, scans forward, takes no
float64 and gives its last state no gradient. The scan is linear in its state, so an initial state
h0 adds exactly

    C[t] (exp(A c[t]) h0)    with c[t] the sum of the step sizes up to t

to the output before the gate, and exp(A c[L]) h0 to the last state. Both, and the gradient of the
last state, are plain PyTorch, one state at a time, so that only (B, E, L) tensors are ever stored.
A reversed scan is a scan of flipped sequences.

Legend: B batch, E channels, S states, L length (time).
"""

import importlib
import importlib.util
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from videollm.encoder.scan_reference import ScanInputs

__all__ = ["mamba_scan_problem", "selective_scan_mamba_ssm"]

MODULE = "mamba_ssm.ops.selective_scan_interface"
KERNEL = "selective_scan_cuda"
REMEDY = "MAMBA_KEEP_CUDA_BUILD=TRUE pip install --no-build-isolation mamba-ssm"
KERNEL_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def mamba_scan_problem(kind: str) -> str | None:
    """Return why mamba-ssm cannot scan tensors on devices of this kind, or None if it may.

    Newer sources of mamba-ssm leave the kernel out by default and say so only when it is called,
    so it is the kernel that is looked for.
    """
    if importlib.util.find_spec("mamba_ssm") is None:
        return f"mamba-ssm is not installed: with a CUDA toolkit, {REMEDY}"
    if kind != "cuda":
        return f"it is for GPUs, not for {kind}"
    try:
        module = _module()
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return f"mamba-ssm cannot be imported ({error}): build it for this torch, {REMEDY}"
    if getattr(module, KERNEL, None) is None:
        return f"mamba-ssm was built without its kernel {KERNEL}: reinstall it, {REMEDY}"
    return None


def selective_scan_mamba_ssm(inputs: ScanInputs) -> tuple[Tensor, Tensor]:
    """Scan with mamba-ssm's kernel.

    Args:
        inputs: What `selective_scan_reference` takes, on a GPU.

    Returns:
        The output (B, E, L) in the dtype of u, and the last state (B, E, S) in float32.

    Raises:
        ValueError: u is float64.
    """
    if inputs.u.dtype == torch.float64:
        raise ValueError(
            "u is torch.float64: mamba-ssm takes float32 and less; use backend='plain'"
        )
    if inputs.reverse:
        y, last_state = selective_scan_mamba_ssm(_flip(inputs))
        return y.flip(2), last_state
    u, delta, A, B, C, D, z, bias, softplus, start, _ = inputs
    dtype = _common_dtype(inputs)
    gate = None if z is None or start is not None else z.to(dtype)
    y, last_state = _module().selective_scan_fn(
        *(u.to(dtype), delta.to(dtype), A.float(), B.to(dtype), C.to(dtype)),
        *(None if D is None else D.float(), gate, None if bias is None else bias.float()),
        *(softplus, True),
    )
    last_state = _last_state(last_state.detach(), softplus, u, delta, A, B, bias)
    if start is not None:
        elapsed = _step_sizes(delta, bias, softplus=softplus).cumsum(2)
        rates, start = A.float(), start.float()
        y = y + _fading(elapsed, rates, C.float(), start)
        last_state = last_state + torch.exp(elapsed[..., -1:] * rates) * start
        if z is not None:
            y = y * functional.silu(z.float())
    return y.to(u.dtype), last_state


def _module() -> ModuleType:
    return importlib.import_module(MODULE)


def _flip(inputs: ScanInputs) -> ScanInputs:
    return inputs._replace(
        reverse=False,
        u=inputs.u.flip(2),
        delta=inputs.delta.flip(2),
        B=inputs.B.flip(2),
        C=inputs.C.flip(2),
        z=None if inputs.z is None else inputs.z.flip(2),
    )


def _common_dtype(inputs: ScanInputs) -> torch.dtype:
    """Return the dtype for the kernel, which wants one for all sequences.

    With an initial state it is float32: what is added comes before the one rounding.
    """
    sequences = [x for x in (inputs.u, inputs.delta, inputs.B, inputs.C, inputs.z) if x is not None]
    dtype = inputs.u.dtype
    same = all(x.dtype == dtype for x in sequences) and dtype in KERNEL_DTYPES
    return dtype if same and inputs.initial_state is None else torch.float32


def _step_sizes(delta: Tensor, bias: Tensor | None, *, softplus: bool) -> Tensor:
    delta = delta.float()
    if bias is not None:
        delta = delta + bias.float()[:, None]
    return functional.softplus(delta) if softplus else delta


def _fading(elapsed: Tensor, A: Tensor, C: Tensor, start: Tensor) -> Tensor:
    """Return what is left of the initial state in each output, (B, E, L)."""
    total = torch.zeros_like(elapsed)
    for s in range(A.shape[1]):
        total = total + _again(_one_fading, elapsed, A[:, s], C[:, s], start[..., s])
    return total


def _one_fading(elapsed: Tensor, rate: Tensor, C: Tensor, start: Tensor) -> Tensor:
    return torch.exp(elapsed * rate[:, None]) * start[..., None] * C[:, None]


class _LastState(torch.autograd.Function):
    """The kernel's last state as it is, with the gradient that the kernel leaves out."""

    @staticmethod
    def forward(ctx: Any, last_state: Tensor, softplus: bool, *causes: Tensor | None) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(*causes)
        ctx.softplus = softplus
        return last_state.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        causes: list[Any] = [
            None if x is None else x.detach().requires_grad_() for x in ctx.saved_tensors
        ]
        given = [cause for cause in causes if cause is not None]
        with torch.enable_grad():
            last_state = _sum_inputs(*causes, softplus=ctx.softplus)
        grads = iter(torch.autograd.grad(last_state, given, grad))
        return None, None, *(None if cause is None else next(grads) for cause in causes)


_last_state: Callable[..., Tensor] = _LastState.apply


def _sum_inputs(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, bias: Tensor | None, *, softplus: bool
) -> Tensor:
    """Return the state that the inputs leave, (B, E, S), each faded by the steps after it."""
    steps = _step_sizes(delta, bias, softplus=softplus)
    after = functional.pad(steps[..., 1:], (0, 1)).flip(2).cumsum(2).flip(2)
    added, rates, B = steps * u.float(), A.float(), B.float()
    return torch.stack(
        [_again(_one_sum, after, added, rates[:, s], B[:, s]) for s in range(A.shape[1])], dim=-1
    )


def _one_sum(after: Tensor, added: Tensor, rate: Tensor, B: Tensor) -> Tensor:
    return (torch.exp(after * rate[:, None]) * added * B[:, None]).sum(2)


def _again(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Return function(*tensors), its inside computed again on the way back instead of stored."""
    return checkpoint(function, *tensors, use_reentrant=False, preserve_rng_state=False)
