"""The short causal convolution before each selective scan.

Like the scan it runs compiled where that works: in C++ on processors, by the `causal-conv1d`
package on GPUs where that is installed, and in plain PyTorch elsewhere.

Legend: B batch, E channels, K taps, L length.
"""

import functools
import importlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from videollm.encoder.conv_cpu import causal_conv1d_cpu
from videollm.encoder.kernels import resolve_backend

__all__ = ["causal_conv1d", "causal_conv1d_plain", "convolve_by"]

_PACKAGE = "causal_conv1d"
_PACKAGE_TAPS = (2, 3, 4)


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    initial: Tensor | None = None,
    reverse: bool = False,
    silu: bool = False,
) -> Tensor:
    """Convolve each channel with its own taps over the present and past.

    Differentiable in every tensor. Fastest are channels that are neighbours in memory, that is
    (B, L, E) seen as (B, E, L) by a transpose; the result is laid out so.

    Args:
        x: (B, E, L), any floating dtype, any strides.
        weight: (E, K); the last tap meets the present element.
        bias: (E,).
        initial: (B, E, K - 1), the elements before the first; zeros when None.
        reverse: Past means the elements after; `initial` must then be None.
        silu: Whether to return silu of the sum.

    Returns:
        (B, E, L), dtype of `x`.

    Raises:
        ValueError: Shapes do not fit together, or `initial` is given with `reverse`.
    """
    _check(x, weight, bias, initial, reverse)
    if resolve_backend("auto", x.device) == "cpu":
        return causal_conv1d_cpu(x, weight, bias, initial, reverse=reverse, silu=silu)
    packaged = _packaged_convolution() if x.is_cuda else None
    if packaged is not None and weight.shape[1] in _PACKAGE_TAPS:
        return convolve_by(packaged, x, weight, bias, initial, reverse=reverse, silu=silu)
    return causal_conv1d_plain(x, weight, bias, initial, reverse=reverse, silu=silu)


def causal_conv1d_plain(
    x: Tensor, weight: Tensor, bias: Tensor, initial: Tensor | None, *, reverse: bool, silu: bool
) -> Tensor:
    """Convolve as `causal_conv1d` says, by one addition a tap in PyTorch."""
    taps = weight.shape[1]
    length = x.shape[2]
    weight, bias = weight.to(x.dtype), bias.to(x.dtype)
    if reverse:
        padded = nn.functional.pad(x, (0, taps - 1))
        weight = weight.flip(1)
    elif initial is None:
        padded = nn.functional.pad(x, (taps - 1, 0))
    else:
        padded = torch.cat([initial.to(x.dtype), x], dim=2)
    result = bias[:, None] + padded[:, :, :length] * weight[:, 0, None]
    for tap in range(1, taps):
        shifted = padded[:, :, tap : tap + length]
        result = result.addcmul(shifted, weight[:, tap, None].expand_as(x))
    return nn.functional.silu(result) if silu else result


@functools.cache
def _packaged_convolution() -> Callable[..., Tensor] | None:
    """Return the package's function where it is installed with a kernel that loads."""
    try:
        function: Callable[..., Tensor] = importlib.import_module(_PACKAGE).causal_conv1d_fn
    except (ImportError, OSError, AttributeError):
        return None
    return function


def convolve_by(
    function: Callable[..., Tensor],
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    initial: Tensor | None,
    *,
    reverse: bool,
    silu: bool,
) -> Tensor:
    """Convolve by `causal_conv1d_fn` of Dao-AILab/causal-conv1d, which has no reverse.

    Its kernels take initial elements in the channels-last layout only.
    """
    x = x.flip(2) if reverse else x
    if initial is not None:
        x, initial = (
            part.to(x.dtype).transpose(1, 2).contiguous().transpose(1, 2) for part in (x, initial)
        )
    y = function(
        *(x, weight.to(x.dtype), bias.to(x.dtype)),
        initial_states=initial,
        activation="silu" if silu else None,
    )
    return y.flip(2) if reverse else y


def _check(x: Tensor, weight: Tensor, bias: Tensor, initial: Tensor | None, reverse: bool) -> None:
    """Raise ValueError unless the tensors fit together."""
    if x.ndim != 3 or 0 in x.shape or weight.ndim != 2 or 0 in weight.shape:
        raise ValueError(
            f"x has shape {tuple(x.shape)} and weight {tuple(weight.shape)}: they must be "
            "(B, E, L) and (E, K), every size at least 1"
        )
    channels, taps = weight.shape
    expected = (x.shape[0], channels, taps - 1)
    if x.shape[1] != channels or tuple(bias.shape) != (channels,):
        raise ValueError(
            f"x has {x.shape[1]} channels, weight {channels} and bias shape {tuple(bias.shape)}: "
            "they must agree"
        )
    if initial is not None and reverse:
        raise ValueError("initial was given with reverse: a reverse convolution starts from zeros")
    if initial is not None and tuple(initial.shape) != expected:
        raise ValueError(f"initial has shape {tuple(initial.shape)}: it must be {expected}")
