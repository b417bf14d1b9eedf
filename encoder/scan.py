"""The selective scan: a linear recurrence whose decay and input depend on the token.

    h[t] = exp(delta[t] A) h[t-1] + delta[t] B[t] u[t],    y[t] = C[t] h[t] + D u[t]

for each channel, with a state of S numbers. `selective_scan` is what the encoder calls;
`selective_scan_reference` is the truth that every back end is held to. Which back end runs is
decided in `kernels.py`.

Legend: B batch, E channels, S states, L length (time).
"""

from typing import Literal, overload

from torch import Tensor

from videollm.encoder.kernels import SCANS, resolve_backend
from videollm.encoder.scan_reference import ScanInputs, selective_scan_reference

__all__ = ["selective_scan", "selective_scan_reference"]


@overload
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: Literal[False] = False,
    *,
    initial_state: Tensor | None = None,
    reverse: bool = False,
    backend: str = "auto",
) -> Tensor: ...


@overload
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    *,
    return_last_state: Literal[True],
    initial_state: Tensor | None = None,
    reverse: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]: ...


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    *,
    initial_state: Tensor | None = None,
    reverse: bool = False,
    backend: str = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Scan `u` through a state space whose step sizes, inputs and outputs vary in time.

    Differentiable in every tensor, `initial_state` included, and through the last state. The
    arithmetic and the state are float32, or float64 where `u` is float64.

    Args:
        u: Inputs, (B, E, L), any floating dtype, any strides.
        delta: Step sizes before bias and softplus, (B, E, L).
        A: Decay rates, (E, S), real and negative for a state that fades.
        B: Input weights, (B, S, L).
        C: Output weights, (B, S, L).
        D: Skip weights, (E,); no skip when None.
        z: Gate, (B, E, L): the result is multiplied by silu(z); no gate when None.
        delta_bias: Added to `delta`, (E,).
        delta_softplus: Whether the step size is softplus(delta + delta_bias).
        return_last_state: Whether to return the last state too.
        initial_state: State before the first step of the scan, (B, E, S); zero when None.
        reverse: Whether to scan from the last time to the first. `initial_state` is then the
            state after the end, and the last state the one at time 0.
        backend: A name that `kernels.resolve_backend` knows.

    Returns:
        y: (B, E, L), dtype of `u`; with `return_last_state`, the pair of y and the last state
        (B, E, S), float32 (float64 for float64 inputs).

    Raises:
        ValueError: Shapes, dtypes or devices do not fit together, or the back end is not there.

    Source: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces",
        algorithm 2; positional arguments as in `selective_scan_fn` of state-spaces/mamba, which
        has no `initial_state` and no `reverse`.
    """
    inputs = ScanInputs(
        *(u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state, reverse)
    )
    _check(inputs)
    y, last_state = SCANS[resolve_backend(backend, u.device)](inputs)
    return (y, last_state) if return_last_state else y


def _check(inputs: ScanInputs) -> None:
    """Raise ValueError unless the tensors fit together."""
    u, A = inputs.u, inputs.A
    if u.ndim != 3 or 0 in u.shape or A.ndim != 2 or 0 in A.shape:
        raise ValueError(
            f"u has shape {tuple(u.shape)} and A {tuple(A.shape)}: they must be (B, E, L) and"
            " (E, S), every size at least 1"
        )
    (batch, channels, length), states = u.shape, A.shape[1]
    sequence = (batch, channels, length)
    expected = {
        "u": sequence,
        "delta": sequence,
        "A": (channels, states),
        "B": (batch, states, length),
        "C": (batch, states, length),
        "D": (channels,),
        "z": sequence,
        "delta_bias": (channels,),
        "initial_state": (batch, channels, states),
    }
    for name, shape in expected.items():
        tensor: Tensor | None = getattr(inputs, name)
        if tensor is None:
            continue
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}: beside u {tuple(u.shape)} and"
                f" A {tuple(A.shape)} it must be {shape}"
            )
        if not tensor.is_floating_point():
            raise ValueError(f"{name} is {tensor.dtype}: the scan takes real floating numbers")
        if tensor.device != u.device:
            raise ValueError(f"{name} is on {tensor.device} and u on {u.device}: use one device")
