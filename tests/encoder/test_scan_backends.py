"""Every back end of the scan gives the reference's values and gradients (law 3)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.encoder.scan_cases import (
    BACKENDS,
    FAST,
    LENGTHS,
    assert_same,
    make_inputs,
    run,
    small,
)
from videollm.encoder.scan import selective_scan

sizes = st.tuples(
    st.integers(1, 3), st.sampled_from([1, 5, 16, 33, 130]), LENGTHS, st.integers(1, 17)
)

# Arithmetic and state are float32 whatever the inputs: half precision adds one rounding.
TOLERANCE = {
    torch.float32: 5e-5,
    torch.bfloat16: 2 * torch.finfo(torch.bfloat16).eps,
    torch.float16: 2 * torch.finfo(torch.float16).eps,
}


# ---- law 3: every back end equals the reference ----


@pytest.mark.parametrize("backend", FAST)
@given(
    size=sizes,
    reverse=st.booleans(),
    options=st.booleans(),
    layout=st.sampled_from(["time_last", "channels_last", "scattered"]),
    dtype=st.sampled_from([torch.float32, torch.float32, torch.bfloat16, torch.float16]),
    seed=st.integers(0, 2**20),
)
@small
def test_backends_equal_reference(
    backend: str,
    size: tuple[int, int, int, int],
    reverse: bool,
    options: bool,
    layout: str,
    dtype: torch.dtype,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    inputs = make_inputs(*size, dtype=dtype, options=options, layout=layout, reverse=reverse)
    found, expected = run(inputs, backend), run(inputs, "reference")
    assert_same(found, expected, TOLERANCE[dtype])


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("options", [False, True])
@pytest.mark.parametrize("length", [1, 63, 64, 65, 200])
def test_float64_is_exact(backend: str, reverse: bool, options: bool, length: int) -> None:
    inputs = make_inputs(2, 37, length, 16, dtype=torch.float64, options=options, reverse=reverse)
    assert_same(run(inputs, backend), run(inputs, "reference"), 1e-12)


@pytest.mark.parametrize("backend", FAST)
def test_half_precision_weights_sum_their_gradients_in_float32(backend: str) -> None:
    torch.manual_seed(1)
    inputs = make_inputs(1, 1, 995, 2, dtype=torch.bfloat16, options=False)
    precise = {name: x.double() if isinstance(x, Tensor) else x for name, x in inputs.items()}
    found, expected = run(inputs, backend)[4], run(precise, "reference")[4]
    assert_same((found.double(),), (expected,), 2**-8)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_inputs_keep_a_float32_state(backend: str, dtype: torch.dtype) -> None:
    inputs = make_inputs(2, 40, 90, 16, dtype=dtype)
    found, expected = run(inputs, backend), run(inputs, "reference")
    assert found[0].dtype == dtype
    assert found[1].dtype == torch.float32
    # The arithmetic is float32 in both: results differ by one rounding to the input's dtype.
    assert_same(found, expected, 2 * torch.finfo(dtype).eps)
    assert_same(found[1:2], expected[1:2], 1e-6)


@pytest.mark.parametrize("backend", FAST)
def test_upstream_gradients_of_any_strides(backend: str) -> None:
    inputs = make_inputs(2, 20, 70, 4)
    u = inputs["u"].requires_grad_()
    grads = [
        torch.autograd.grad(selective_scan(**inputs, backend=name).sum(), u)[0]
        for name in (backend, "reference")
    ]
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_broadcast_inputs(backend: str) -> None:
    inputs = make_inputs(2, 20, 70, 4, options=False)
    wide = inputs | {"delta": inputs["delta"][:1, :1].expand(2, 20, 70)}
    dense = wide | {"delta": wide["delta"].clone()}
    assert_same(run(wide, backend), run(dense, backend), 1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_autocast_changes_nothing(backend: str) -> None:
    inputs = make_inputs(1, 20, 70, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = run(inputs, backend)
    assert_same(found, run(inputs, backend), 1e-6)


# ---- gradients ----


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reverse", [False, True])
def test_gradcheck(backend: str, reverse: bool) -> None:
    inputs = make_inputs(2, 3, 5, 2, dtype=torch.float64, reverse=reverse)
    names = [name for name, x in inputs.items() if isinstance(x, Tensor)]

    def scan(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        arguments = inputs | dict(zip(names, tensors, strict=True))
        return selective_scan(**arguments, return_last_state=True, backend=backend)

    leaves = [inputs[name].requires_grad_() for name in names]
    assert torch.autograd.gradcheck(scan, leaves)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradient_through_the_last_state_alone(backend: str) -> None:
    # Without inputs the last state is the initial one times the whole decay.
    E, L, S = 3, 70, 2
    zero, start = torch.zeros(1, E, L), torch.randn(1, E, S, requires_grad=True)
    delta = torch.full((1, E, L), 0.01, requires_grad=True)
    A, weights = -torch.rand(E, S), torch.randn(1, S, L)
    y, last = selective_scan(
        *(zero, delta, A, weights, weights),
        initial_state=start,
        return_last_state=True,
        backend=backend,
    )
    grad_start, grad_delta = torch.autograd.grad(last.sum(), [start, delta])
    decay = torch.exp(0.01 * L * A)
    torch.testing.assert_close(grad_start[0], decay)
    expected = (start.detach()[0] * decay * A).sum(1)
    torch.testing.assert_close(grad_delta[0], expected[:, None].expand(E, L))
    assert y.requires_grad


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_what_asks_for_a_gradient_gets_one(backend: str) -> None:
    inputs = make_inputs(1, 4, 10, 3)
    inputs["A"].requires_grad_()
    selective_scan(**inputs, backend=backend).sum().backward()
    assert inputs["A"].grad is not None
    assert all(x.grad is None for n, x in inputs.items() if isinstance(x, Tensor) and n != "A")


def test_second_derivatives_come_from_plain_pytorch_only() -> None:
    inputs = make_inputs(1, 4, 10, 3)
    u = inputs["u"].requires_grad_()
    y = selective_scan(**inputs, backend="cpu")
    with pytest.raises(NotImplementedError, match="no second derivative: use backend='plain'"):
        torch.autograd.grad(y.sum(), u, create_graph=True)
    y = selective_scan(**inputs, backend="plain")
    (grad,) = torch.autograd.grad(y.square().sum(), u, create_graph=True)
    assert torch.autograd.grad(grad.sum(), u)[0].abs().sum() > 0
