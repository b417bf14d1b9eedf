"""The mamba-ssm back end, with a package of that name that computes what the published one does."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.encoder.scan_cases import assert_same, make_inputs, run
from videollm.encoder import kernels, scan_mamba_ssm
from videollm.encoder.scan import selective_scan
from videollm.encoder.scan_mamba_ssm import mamba_scan_problem

INTERFACE = """
import torch
from videollm.encoder.scan_reference import selective_scan_reference

selective_scan_cuda = object()


def selective_scan_fn(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False,
                      return_last_state=False):
    # What the published kernel asserts, and that its last state has no gradient.
    assert u.dtype in (torch.float32, torch.float16, torch.bfloat16)
    assert all(x is None or x.dtype == u.dtype for x in (delta, B, C, z))
    assert all(x is None or x.dtype == torch.float32 for x in (A, D, delta_bias))
    y, last = selective_scan_reference(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    return (y, last.detach()) if return_last_state else y
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Put a package mamba_ssm first on the path; return its interface, which may be rewritten."""
    interface = tmp_path / "mamba_ssm" / "ops" / "selective_scan_interface.py"
    interface.parent.mkdir(parents=True)
    for folder in (interface.parent, interface.parent.parent):
        (folder / "__init__.py").touch()
    interface.write_text(INTERFACE)
    monkeypatch.syspath_prepend(tmp_path)
    _forget()
    yield interface
    _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "mamba_ssm"]:
        del sys.modules[name]


@pytest.fixture
def _on_any_device(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_trial", lambda name, kind: "")


# ---- law 3 ----


@pytest.mark.usefixtures("_on_any_device")
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"initial_state": None},
        {"z": None},
        {"D": None, "delta_bias": None},
        {"delta_softplus": False, "delta_bias": None},
    ],
)
@pytest.mark.parametrize("size", [(1, 1, 1, 1), (2, 5, 33, 3)])
def test_it_equals_the_reference(
    size: tuple[int, int, int, int], changes: dict[str, Any], reverse: bool
) -> None:
    inputs = make_inputs(*size, reverse=reverse, layout="channels_last") | changes
    if not inputs["delta_softplus"]:
        inputs["delta"] = inputs["delta"].sigmoid()
    assert_same(run(inputs, "mamba_ssm"), run(inputs, "reference"), 1e-5)


@pytest.mark.usefixtures("_on_any_device")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("options", [False, True])
def test_half_precision_is_rounded_once(dtype: torch.dtype, options: bool) -> None:
    inputs = make_inputs(2, 5, 33, 3, dtype=dtype, options=options)
    assert_same(run(inputs, "mamba_ssm"), run(inputs, "reference"), 2 * torch.finfo(dtype).eps)


@pytest.mark.usefixtures("_on_any_device")
def test_sequences_of_several_dtypes() -> None:
    inputs = make_inputs(2, 5, 33, 3, options=False)
    inputs["u"] = inputs["u"].bfloat16()
    found, expected = (selective_scan(**inputs, backend=name) for name in ("mamba_ssm", "plain"))
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected)


@pytest.mark.usefixtures("_on_any_device")
def test_what_is_added_to_the_kernel_stores_no_states(monkeypatch: pytest.MonkeyPatch) -> None:
    interface = importlib.import_module(scan_mamba_ssm.MODULE)
    monkeypatch.setattr(
        interface, "selective_scan_fn", torch.no_grad()(interface.selective_scan_fn)
    )
    batch, channels, length, states = 1, 16, 64, 32
    inputs = make_inputs(batch, channels, length, states)
    inputs["delta"].requires_grad_()
    saved: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        saved[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        selective_scan(**inputs, return_last_state=True, backend="mamba_ssm")
    assert 0 < sum(saved.values()) < batch * channels * length * states / 2


@pytest.mark.usefixtures("_on_any_device")
def test_float64_is_refused() -> None:
    inputs = make_inputs(1, 2, 3, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"^u is torch.float64: mamba-ssm takes float32 and less"):
        selective_scan(**inputs, backend="mamba_ssm")


# ---- whether it is there ----


def test_a_missing_package_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    problem = mamba_scan_problem("cuda")
    assert problem is not None
    assert problem.startswith("mamba-ssm is not installed: ")
    assert "MAMBA_KEEP_CUDA_BUILD=TRUE pip install" in problem


def test_a_kernel_is_found(package: Path) -> None:
    assert mamba_scan_problem("cuda") is None
    assert mamba_scan_problem("cpu") == "it is for GPUs, not for cpu"


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("= object()", "= None", "was built without its kernel selective_scan_cuda: reinstall"),
        ("selective_scan_cuda =", "other =", "was built without its kernel selective_scan_cuda"),
        (
            "import torch",
            "import no_such_module",
            "cannot be imported .*no_such_module.*: build it",
        ),
        ("import torch", "raise OSError('undefined symbol')", r"imported \(undefined symbol\)"),
    ],
)
def test_a_package_without_its_kernel_is_no_back_end(
    package: Path, before: str, after: str, reason: str
) -> None:
    package.write_text(INTERFACE.replace(before, after))
    problem = mamba_scan_problem("cuda")
    assert problem is not None
    assert re.search(reason, problem), problem
    assert "MAMBA_KEEP_CUDA_BUILD=TRUE pip install" in problem
