"""The Triton kernels: interpreted they equal the reference (law 3), and they compile for GPUs."""

import importlib.util
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.encoder import triton_worker as worker
from tests.encoder.scan_cases import small

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed (Linux on x86-64)"
)

TILE_STEPS, CHUNK_STEPS = 2, 4
Call = Callable[..., Any]


@contextmanager
def process(**environment: str) -> Iterator[Call]:
    """Run functions in a process that was started in this environment."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            pool.submit(int).result()
        yield lambda function, *a, **k: pool.submit(function, *a, **k).result()


@pytest.fixture(scope="module")
def interpret() -> Iterator[Call]:
    with process(TRITON_INTERPRET="1") as call:
        call(worker.cut, TILE_STEPS, CHUNK_STEPS)
        yield call


# ---- law 3 ----


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((1, 1, 1, 1), {}),
        ((1, 65, 5, 1), {"reverse": True, "layout": "channels_last"}),
        ((1, 5, 18, 1), {"options": False}),
    ],
)
def test_float64_is_exact(interpret: Call, size: worker.Size, options: dict[str, Any]) -> None:
    interpret(worker.compare, size, 1e-12, dtype=torch.float64, **options)


@given(
    size=st.tuples(
        st.integers(1, 2), st.sampled_from([1, 3, 33]), st.integers(1, 9), st.integers(1, 3)
    ),
    layout=st.sampled_from(["time_last", "channels_last", "scattered"]),
    reverse=st.booleans(),
    seed=st.integers(0, 2**20),
)
@settings(small, max_examples=6)
def test_any_size_is_exact(interpret: Call, size: worker.Size, seed: int, **options: Any) -> None:
    interpret(worker.compare, size, 1e-12, seed, dtype=torch.float64, **options)


def test_float32_equals_reference(interpret: Call) -> None:
    interpret(worker.compare, (1, 6, 9, 2), 1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_inputs_keep_a_float32_state(interpret: Call, dtype: torch.dtype) -> None:
    interpret(worker.compare, (1, 6, 5, 2), 2 * torch.finfo(dtype).eps, dtype=dtype)


@pytest.mark.parametrize(
    ("name", "change", "value"),
    [
        ("delta", "scale", 300.0),
        ("delta", "scale", 1e-3),
        ("delta", "expand", 0.0),
        ("B", "last", float("nan")),
        ("A", "last", float("nan")),
    ],
)
def test_odd_inputs(interpret: Call, name: str, change: str, value: float) -> None:
    interpret(worker.compare_changed, (1, 3, 7, 1), name, change, value)


@pytest.mark.parametrize("result", [0, 1])
def test_gradients_through_one_result_alone(interpret: Call, result: int) -> None:
    interpret(worker.compare_one_way, (1, 3, 6, 1), result)


def test_there_is_no_second_derivative(interpret: Call) -> None:
    with pytest.raises(NotImplementedError, match="no second derivative: use backend='plain'"):
        interpret(worker.second_derivative)


def test_one_state_a_chunk_is_kept(interpret: Call) -> None:
    batch, channels, length, states = size = (1, 4, 24, 2)
    chunks = length // CHUNK_STEPS
    copies = 2 * batch * length * states + channels * (states + 2)
    kept = chunks * channels * (states + 1)
    assert interpret(worker.saved_elements, size) <= copies + kept
    assert kept < channels * states * length / 2


# ---- the compiler ----


@pytest.mark.slow
def test_kernels_compile_for_a_gpu(tmp_path: Path) -> None:
    with process(TRITON_CACHE_DIR=str(tmp_path)) as call:
        compiled = call(worker.compile_scan, torch.bfloat16, layout="channels_last")
        precise = call(worker.compile_scan, torch.float64, backward=False)
    forth = ["forward_kernel", "carry_kernel", "forward_kernel"]
    assert compiled == [*forth, "replay_kernel", "carry_kernel", "backward_kernel"]
    assert precise == forth
