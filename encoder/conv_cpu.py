"""The convolution before the scan on processors: C++ with the SiLU fused, both passes.

Legend: B batch, E channels, K taps, L length.
"""

import ctypes
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from videollm.encoder.extension import load_library
from videollm.encoder.native import call_native, native_dtype, native_struct

__all__ = ["causal_conv1d_cpu"]

# The fields of `struct Convolution` in the C++ source, in the same order.
_Convolution = native_struct(
    "_Convolution",
    sizes=("batch", "channels", "taps", "length", "silu", "reverse", "threads"),
    views=("x", "y", "grad_y", "grad_x"),
    arrays=("weight", "bias", "initial", "grad_initial", "grad_weight", "grad_bias"),
)


@functools.cache
def _stretch_steps() -> int:
    library = load_library()
    library.convolution_bytes.restype = library.stretch_steps.restype = ctypes.c_int64
    size = ctypes.sizeof(_Convolution)
    assert library.convolution_bytes() == size, "conv_cpu.cpp has other fields"
    steps: int = library.stretch_steps()
    return steps


def causal_conv1d_cpu(
    x: Tensor, weight: Tensor, bias: Tensor, initial: Tensor | None, *, reverse: bool, silu: bool
) -> Tensor:
    """Convolve with the compiled library; arguments and result are those of `conv.causal_conv1d`.

    The arithmetic is float32, or float64 where `x` is float64.

    Raises:
        BuildError: The library cannot be compiled here (see `scan_cpu.cpu_scan_problem`).
    """
    dtype = native_dtype(x.dtype)
    rows = _channels_last(x.to(dtype))
    taps = weight.to(dtype).t()
    start = None if initial is None else initial.to(dtype).transpose(1, 2)
    y = _differentiable_convolution(rows, taps, bias.to(dtype), start, reverse, silu)
    return y.to(x.dtype)


def _channels_last(x: Tensor) -> Tensor:
    """Return x (B, E, L) with its channels neighbours in memory; as it is where they are."""
    return x if x.stride(1) == 1 else x.transpose(1, 2).contiguous().transpose(1, 2)


class _Inputs(NamedTuple):
    x: Tensor
    weight: Tensor
    bias: Tensor
    initial: Tensor | None
    reverse: bool
    silu: bool


class _Convolve(torch.autograd.Function):
    """The compiled passes as one differentiable function."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:  # noqa: ANN401
        inputs = _Inputs(*arguments)
        ctx.save_for_backward(*inputs[:4])
        ctx.options = inputs[4:]
        batch, channels, length = inputs.x.shape
        y = inputs.x.new_empty(batch, length, channels).transpose(1, 2)
        _run("forward", inputs, y=y)
        return y

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        if torch.is_grad_enabled():  # create_graph=True: the graph would end here, unsaid
            raise NotImplementedError(
                "the compiled convolution has no second derivative: set VIDEOLLM_SCAN=plain"
            )
        inputs = _Inputs(*ctx.saved_tensors, *ctx.options)
        x, initial, num_taps = inputs.x, inputs.initial, inputs.weight.shape[0]
        batch, channels, length = x.shape
        tasks = batch * -(-length // _stretch_steps())
        grad_x = x.new_empty(batch, length, channels).transpose(1, 2)
        grad_weight = x.new_empty(tasks, num_taps, channels)
        grad_bias = x.new_empty(tasks, channels)
        grad_initial = None if initial is None else x.new_empty(initial.shape)
        _run(
            "backward",
            inputs,
            grad_y=_channels_last(grad_y),
            grad_x=grad_x,
            grad_weight=grad_weight,
            grad_bias=grad_bias,
            grad_initial=grad_initial,
        )
        return grad_x, grad_weight.sum(0), grad_bias.sum(0), grad_initial, None, None


_differentiable_convolution: Callable[..., Tensor] = _Convolve.apply


def _run(direction: str, inputs: _Inputs, **results: Tensor | None) -> None:
    batch, channels, length = inputs.x.shape
    _stretch_steps()
    problem = _Convolution(
        *(batch, channels, inputs.weight.shape[0], length),
        *(inputs.silu, inputs.reverse, torch.get_num_threads()),
    )
    given = {name: x for name, x in inputs._asdict().items() if isinstance(x, Tensor)}
    call_native(f"convolve_{direction}", problem, given | results)
