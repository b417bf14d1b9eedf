"""The convolution before the scan: every way of computing it gives the same."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.encoder.scan_cases import LENGTHS, assert_same, small
from videollm.encoder import conv
from videollm.encoder.conv import causal_conv1d, causal_conv1d_plain
from videollm.encoder.conv_cpu import causal_conv1d_cpu

sizes = st.tuples(st.integers(1, 3), st.sampled_from([1, 5, 16, 33]), LENGTHS, st.integers(1, 5))


def make_inputs(
    batch: int,
    channels: int,
    length: int,
    taps: int,
    *,
    initial: bool = False,
    channels_last: bool = True,
    dtype: torch.dtype = torch.float32,
) -> list[Tensor | None]:
    x = torch.randn(batch, length, channels, dtype=dtype).transpose(1, 2)
    return [
        x if channels_last else x.contiguous(),
        torch.randn(channels, taps, dtype=dtype),
        torch.randn(channels, dtype=dtype),
        torch.randn(batch, channels, taps - 1, dtype=dtype) if initial else None,
    ]


def run(function: Any, inputs: list[Tensor | None], **options: bool) -> tuple[Tensor, ...]:  # noqa: ANN401
    """Return the result and, under fixed upstream gradients, every input's gradient."""
    leaves = [None if x is None else x.detach().requires_grad_() for x in inputs]
    y = function(*leaves, **options)
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
    present = [x for x in leaves if x is not None and x.numel()]
    return y, *torch.autograd.grad(y, present, upstream)


def by_definition(
    x: Tensor, weight: Tensor, bias: Tensor, initial: Tensor | None, *, reverse: bool, silu: bool
) -> Tensor:
    """Convolve by torch's own grouped convolution."""
    taps = weight.shape[1]
    if reverse:
        return by_definition(x.flip(2), weight, bias, None, reverse=False, silu=silu).flip(2)
    start = x.new_zeros(*x.shape[:2], taps - 1) if initial is None else initial
    padded = torch.cat([start, x], dim=2)
    y = torch.nn.functional.conv1d(padded, weight[:, None], bias, groups=len(weight))
    return torch.nn.functional.silu(y) if silu else y


@pytest.mark.parametrize("function", [causal_conv1d_plain, causal_conv1d_cpu])
@given(
    size=sizes,
    start=st.sampled_from(["zeros", "initial", "reverse"]),
    silu=st.booleans(),
    channels_last=st.booleans(),
    seed=st.integers(0, 2**20),
)
@small
def test_equals_the_definition(
    function: Any,  # noqa: ANN401
    size: tuple[int, int, int, int],
    start: str,
    silu: bool,
    channels_last: bool,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    inputs = make_inputs(*size, initial=start == "initial", channels_last=channels_last)
    options = {"reverse": start == "reverse", "silu": silu}
    found, expected = run(function, inputs, **options), run(by_definition, inputs, **options)
    sums = slice(2, 4)  # gradients of weight and bias; their terms may cancel, and one may be all
    assert_same(found[:2] + found[4:], expected[:2] + expected[4:], 2e-5)
    assert_same(found[sums], expected[sums], 2e-5, least_scale=(size[0] * size[2]) ** 0.5)


@pytest.mark.parametrize("length", [1, 2, 127, 128, 129, 260])
@pytest.mark.parametrize("initial", [False, True])
def test_float64_is_exact_at_the_borders_of_tasks(length: int, initial: bool) -> None:
    inputs = make_inputs(2, 19, length, 4, initial=initial, dtype=torch.float64)
    found = run(causal_conv1d_cpu, inputs, reverse=False, silu=True)
    assert_same(found, run(by_definition, inputs, reverse=False, silu=True), 1e-12)


def test_gradcheck() -> None:
    inputs = make_inputs(2, 3, 6, 4, initial=True, dtype=torch.float64)
    leaves = [x.requires_grad_() for x in inputs if x is not None]
    options = {"reverse": False, "silu": True}
    assert torch.autograd.gradcheck(lambda *x: causal_conv1d_cpu(*x, **options), leaves)


@pytest.mark.parametrize("channels_last", [False, True])
def test_chunks_that_carry_their_last_inputs_equal_the_whole(channels_last: bool) -> None:
    x, weight, bias, initial = make_inputs(2, 7, 50, 4, initial=True, channels_last=channels_last)
    assert x is not None
    assert weight is not None
    assert bias is not None
    whole = causal_conv1d(x, weight, bias, initial=initial, silu=True)
    pieces = []
    for chunk in x.split([1, 2, 30, 17], dim=2):
        assert initial is not None
        pieces.append(causal_conv1d(chunk, weight, bias, initial=initial, silu=True))
        initial = torch.cat([initial, chunk], dim=2)[:, :, -3:]
    torch.testing.assert_close(torch.cat(pieces, dim=2), whole)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_once(dtype: torch.dtype) -> None:
    inputs = make_inputs(2, 20, 70, 4, dtype=dtype)
    precise = [None if x is None else x.double() for x in inputs]
    found = causal_conv1d_cpu(*inputs, reverse=False, silu=True)
    expected = by_definition(*precise, reverse=False, silu=True)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected.to(dtype), rtol=torch.finfo(dtype).eps, atol=1e-5)


def test_the_chosen_scan_decides_who_convolves(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = make_inputs(1, 4, 9, 3)
    for chosen, forbidden in (("plain", "causal_conv1d_cpu"), ("cpu", "causal_conv1d_plain")):
        monkeypatch.setenv("VIDEOLLM_SCAN", chosen)
        with monkeypatch.context() as patch:
            patch.setattr(conv, forbidden, None)
            assert causal_conv1d(*inputs[:3]).shape == (1, 4, 9)


def test_second_derivatives_are_refused() -> None:
    inputs = make_inputs(1, 4, 9, 3)
    x = inputs[0]
    assert x is not None
    y = causal_conv1d_cpu(x.requires_grad_(), *inputs[1:], reverse=False, silu=False)
    with pytest.raises(NotImplementedError, match="no second derivative: set VIDEOLLM_SCAN=plain"):
        torch.autograd.grad(y.sum(), x, create_graph=True)


@pytest.mark.parametrize("start", ["zeros", "initial", "reverse"])
def test_the_package_is_called_as_its_kernels_want(start: str) -> None:
    def published(
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        *,
        initial_states: Tensor | None,
        activation: str | None,
    ) -> Tensor:
        if initial_states is not None:
            assert x.stride(1) == initial_states.stride(1) == 1
        return by_definition(
            x, weight, bias, initial_states, reverse=False, silu=activation == "silu"
        )

    inputs = make_inputs(2, 6, 20, 4, initial=start == "initial", channels_last=False)
    options = {"reverse": start == "reverse", "silu": True}
    found = conv.convolve_by(published, *inputs, **options)
    torch.testing.assert_close(found, by_definition(*inputs, **options))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(2, 9)}, r"x has shape \(2, 9\).*must be \(B, E, L\)"),
        ({"x": torch.zeros(2, 5, 9)}, "x has 5 channels, weight 4"),
        ({"bias": torch.zeros(3)}, r"bias shape \(3,\)"),
        ({"initial": torch.zeros(2, 4, 3)}, r"initial has shape .* must be \(2, 4, 2\)"),
        ({"initial": torch.zeros(2, 4, 2), "reverse": True}, "starts from zeros"),
    ],
)
def test_bad_input(change: dict[str, Any], message: str) -> None:
    x, weight, bias, _ = make_inputs(2, 4, 9, 3)
    with pytest.raises(ValueError, match=message):
        causal_conv1d(**{"x": x, "weight": weight, "bias": bias, **change})
