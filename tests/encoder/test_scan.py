"""The selective scan: what it computes, in pieces and whole, and what it refuses."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.encoder.scan_cases import BACKENDS, FAST, assert_same, make_inputs, run, small
from videollm.encoder.scan import selective_scan, selective_scan_reference
from videollm.encoder.scan_reference import ScanInputs


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# ---- what the scan means ----


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_decay_it_is_a_running_sum(backend: str) -> None:
    one, u = torch.ones(1, 1, 5), torch.tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]]])
    A = torch.zeros(1, 1)
    y, last = selective_scan(u, one, A, one, one, return_last_state=True, backend=backend)
    assert y.tolist() == [[[1, 3, 6, 10, 15]]]
    assert last.tolist() == [[[15]]]
    y, last = selective_scan(
        u, one, A, one, one, return_last_state=True, reverse=True, backend=backend
    )
    assert y.tolist() == [[[15, 14, 12, 9, 5]]]
    assert last.tolist() == [[[15]]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_term_by_hand(backend: str) -> None:
    u, delta, C = (torch.full((1, 1, 1), value) for value in (3.0, 0.5, 7.0))
    B, A, bias = torch.full((1, 1, 1), 2.0), torch.tensor([[-1.5]]), torch.tensor([0.25])
    z, D, start = torch.full((1, 1, 1), 0.8), torch.tensor([11.0]), torch.tensor([[[4.0]]])
    y, last = selective_scan(
        *(u, delta, A, B, C, D, z, bias, True),
        return_last_state=True,
        initial_state=start,
        backend=backend,
    )
    step = math.log1p(math.exp(0.75))
    state = math.exp(step * -1.5) * 4 + step * 2 * 3
    assert last.item() == pytest.approx(state, rel=1e-6)
    gate = 0.8 / (1 + math.exp(-0.8))
    assert y.item() == pytest.approx((7 * state + 11 * 3) * gate, rel=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_reverse_is_a_flip(backend: str) -> None:
    inputs = make_inputs(2, 20, 70, 5)
    flipped = {
        name: x.flip(2) if name in ("u", "delta", "B", "C", "z") else x
        for name, x in inputs.items()
    }
    y, last = selective_scan(**inputs | {"reverse": True}, return_last_state=True, backend=backend)
    y_flipped, last_flipped = selective_scan(**flipped, return_last_state=True, backend=backend)
    torch.testing.assert_close(y, y_flipped.flip(2))
    torch.testing.assert_close(last, last_flipped)


# ---- streaming, determinism, memory ----


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reverse", [False, True])
@given(cuts=st.lists(st.integers(1, 149), max_size=6, unique=True))
@small
def test_chunks_with_carried_state_equal_the_whole(
    backend: str, reverse: bool, cuts: list[int]
) -> None:
    torch.manual_seed(0)
    inputs = make_inputs(2, 20, 150, 4, reverse=reverse)
    whole, last = selective_scan(**inputs, return_last_state=True, backend=backend)
    state, pieces = inputs["initial_state"], []
    edges = [0, *sorted(cuts), 150]
    spans = list(zip(edges, edges[1:], strict=False))
    for start, end in spans[::-1] if reverse else spans:
        chunk = {
            name: x[..., start:end] if name in ("u", "delta", "B", "C", "z") else x
            for name, x in inputs.items()
        }
        piece, state = selective_scan(
            **chunk | {"initial_state": state}, return_last_state=True, backend=backend
        )
        pieces.append(piece)
    torch.testing.assert_close(torch.cat(pieces[::-1] if reverse else pieces, dim=2), whole)
    torch.testing.assert_close(state, last)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_future_does_not_touch_the_past(backend: str) -> None:
    inputs = make_inputs(2, 20, 150, 4)
    before = selective_scan(**inputs, backend=backend)
    for name in ("u", "delta", "B", "C", "z"):
        inputs[name] = inputs[name].clone()
        inputs[name][..., 100:] = torch.randn_like(inputs[name][..., 100:])
    after = selective_scan(**inputs, backend=backend)
    assert torch.equal(before[..., :100], after[..., :100])
    assert not torch.equal(before[..., 100:], after[..., 100:])


def test_the_number_of_threads_changes_no_bit() -> None:
    inputs = make_inputs(3, 200, 150, 16)
    with threads(1):
        alone = run(inputs, "cpu")
    with threads(3):
        together = run(inputs, "cpu")
    for a, b in zip(alone, together, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("backend", FAST)
def test_training_does_not_store_every_state(backend: str) -> None:
    inputs = make_inputs(1, 64, 512, 16)
    inputs["u"].requires_grad_()
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        saved[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        selective_scan(**inputs, backend=backend)
    all_states = 64 * 512 * 16 * 4
    assert sum(saved.values()) < all_states / 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_grad_leaves_no_graph(backend: str) -> None:
    inputs = make_inputs(1, 4, 10, 3)
    inputs["u"].requires_grad_()
    with torch.no_grad():
        y, last = selective_scan(**inputs, return_last_state=True, backend=backend)
    assert not y.requires_grad
    assert not last.requires_grad


# ---- extreme values ----


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 300.0])
def test_step_sizes_of_any_magnitude(backend: str, scale: float) -> None:
    inputs = make_inputs(1, 40, 90, 16) | {"D": None}
    inputs["delta"] = inputs["delta"] * scale
    assert_same(run(inputs, backend), run(inputs, "reference"), 5e-5)


def test_tiny_steps_keep_their_relative_accuracy() -> None:
    delta = torch.linspace(-80, -1, 64).reshape(1, 1, 64)
    one, zero = torch.ones(1, 1, 64), torch.zeros(1, 1)
    y = selective_scan(one, delta, zero, one, one, delta_softplus=True, backend="cpu")
    expected = torch.nn.functional.softplus(delta.double()).cumsum(-1).float()
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ["u", "delta", "A", "B", "C", "D", "z", "initial_state"])
@pytest.mark.parametrize("backend", FAST)
def test_nan_is_never_hidden(backend: str, name: str) -> None:
    inputs = make_inputs(1, 4, 10, 3)
    inputs[name].view(-1)[0] = float("nan")
    found = selective_scan(**inputs, backend=backend).isnan()
    assert found.any()
    assert torch.equal(found, selective_scan(**inputs, backend="reference").isnan())


@pytest.mark.parametrize("rate", [1.0, 1.7, 2.0, -1.7, -1.75, -1.8, -1e30])
def test_overflow_and_underflow_are_those_of_the_reference(rate: float) -> None:
    one, A = torch.ones(1, 1, 4), torch.full((1, 1), rate)
    y, expected = (
        selective_scan(one, one * 50, A, one, one, backend=name) for name in ("cpu", "reference")
    )
    torch.testing.assert_close(y, expected, equal_nan=True)


# ---- bad input ----


@pytest.mark.parametrize("name", ["delta", "B", "C", "D", "z", "delta_bias", "initial_state"])
def test_wrong_shapes_are_named_with_both_shapes(name: str) -> None:
    inputs = make_inputs(2, 5, 7, 3)
    right = tuple(inputs[name].shape)
    inputs[name] = inputs[name][..., :-1]
    with pytest.raises(ValueError, match=rf"^{name} has shape .* it must be ") as caught:
        selective_scan(**inputs)
    assert str(tuple(inputs[name].shape)) in str(caught.value)
    assert str(right) in str(caught.value)


@pytest.mark.parametrize(("name", "shape"), [("u", (5, 7)), ("u", (2, 5, 0)), ("A", (5,))])
def test_shapes_that_set_the_others(name: str, shape: tuple[int, ...]) -> None:
    inputs = make_inputs(2, 5, 7, 3) | {name: torch.zeros(shape)}
    with pytest.raises(ValueError, match=r"they must be \(B, E, L\) and \(E, S\)"):
        selective_scan(**inputs)


def test_integers_and_complex_numbers_are_refused() -> None:
    inputs = make_inputs(2, 5, 7, 3)
    with pytest.raises(ValueError, match=r"^u is torch.int64: the scan takes real"):
        selective_scan(**inputs | {"u": inputs["u"].long()})
    with pytest.raises(ValueError, match=r"^A is torch.complex64: the scan takes real"):
        selective_scan(**inputs | {"A": inputs["A"].to(torch.complex64)})


def test_devices_must_agree() -> None:
    inputs = make_inputs(2, 5, 7, 3)
    with pytest.raises(ValueError, match=r"^B is on meta and u on cpu: use one device"):
        selective_scan(**inputs | {"B": inputs["B"].to("meta")})


def test_the_reference_can_be_called_by_position() -> None:
    inputs = make_inputs(2, 5, 7, 3)
    y, last = selective_scan_reference(*ScanInputs(**inputs))
    expected = selective_scan(**inputs, return_last_state=True, backend="reference")
    assert_same((y, last), expected, 0.0)
