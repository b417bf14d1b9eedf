"""The choice of the scan's back end: what is taken, what is refused, what is said."""

import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
import torch

from tests.encoder.scan_cases import assert_same, make_inputs, run
from videollm.encoder import extension, kernels, scan_cpu
from videollm.encoder.kernels import BACKENDS, probe_backends, resolve_backend
from videollm.encoder.scan import selective_scan
from videollm.encoder.scan_triton import triton_scan_problem

Scan = Callable[[kernels.ScanInputs], tuple[torch.Tensor, torch.Tensor]]


@pytest.fixture(autouse=True)
def _no_choice_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIDEOLLM_SCAN", raising=False)
    for memory in (kernels._warn_once, kernels._log_once, kernels._trial):
        memory.cache_clear()


@pytest.fixture
def broken_build(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the compiled library impossible to have."""
    problem = extension.BuildError("no C++ compiler (c++): install g++")

    def refuse() -> None:
        raise problem

    monkeypatch.setattr(scan_cpu, "load_library", refuse)
    scan_cpu._library.cache_clear()
    yield
    scan_cpu._library.cache_clear()


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Act as if there were a GPU; return why each of its scans is missing, for tests to fill."""
    missing: dict[str, str] = {}
    small_scan = kernels._small_scan
    monkeypatch.setattr(kernels, "_small_scan", lambda kind: small_scan("cpu"))
    monkeypatch.setattr(kernels, "triton_scan_problem", lambda kind: missing.get("triton"))
    monkeypatch.setattr(kernels, "mamba_scan_problem", lambda kind: missing.get("mamba_ssm"))
    for name in ("triton", "mamba_ssm"):
        monkeypatch.setitem(kernels.SCANS, name, kernels.SCANS["plain"])
    return missing


def wrong_scan(inputs: kernels.ScanInputs) -> tuple[torch.Tensor, torch.Tensor]:
    return inputs.u, inputs.A


def failing_scan(inputs: kernels.ScanInputs) -> tuple[torch.Tensor, torch.Tensor]:
    raise RuntimeError("out of order")


def test_auto_takes_the_compiled_scan_on_processors_and_plain_where_there_is_no_other() -> None:
    assert resolve_backend("auto", torch.device("cpu")) == "cpu"
    assert resolve_backend("auto", "mps") == "plain"


def test_auto_takes_the_first_that_is_there_on_gpus(gpu: dict[str, str]) -> None:
    assert resolve_backend("auto", "cuda") == "triton"
    assert [status.name for status in probe_backends("cuda") if status.chosen] == ["triton"]
    gpu["triton"] = "triton is not installed"
    kernels._trial.cache_clear()
    assert resolve_backend("auto", "cuda") == "mamba_ssm"
    gpu["mamba_ssm"] = "no kernel"
    kernels._trial.cache_clear()
    with pytest.warns(
        RuntimeWarning, match="slower: triton: triton is not installed; mamba_ssm: no kernel"
    ):
        assert resolve_backend("auto", "cuda") == "plain"


@pytest.mark.parametrize("scan", [wrong_scan, failing_scan])
def test_a_gpu_scan_is_tried_once_before_it_is_trusted(
    gpu: dict[str, str], monkeypatch: pytest.MonkeyPatch, scan: Scan
) -> None:
    tried = []

    def counted(inputs: kernels.ScanInputs) -> tuple[torch.Tensor, torch.Tensor]:
        tried.append(inputs)
        return scan(inputs)

    monkeypatch.setitem(kernels.SCANS, "triton", counted)
    for _ in range(3):
        assert resolve_backend("auto", "cuda") == "mamba_ssm"
    with pytest.raises(ValueError, match="backend is 'triton': it .*; else choose auto or plain"):
        resolve_backend("triton", "cuda")
    assert len(tried) == 1


@pytest.mark.parametrize("name", ["reference", "plain", "cpu"])
def test_a_named_backend_is_taken(name: str) -> None:
    assert resolve_backend(name, "cpu") == name


@pytest.mark.parametrize("name", ["reference", "plain", "cpu"])
def test_the_variable_decides_for_auto_only(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEOLLM_SCAN", name)
    assert resolve_backend("auto", "cpu") == name
    assert resolve_backend("reference", "cpu") == "reference"


@pytest.mark.parametrize("value", ["", "auto"])
def test_an_empty_variable_is_no_choice(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEOLLM_SCAN", value)
    assert resolve_backend("auto", "cpu") == "cpu"


def test_unknown_names_are_refused_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^backend is 'fast': choose auto, reference, plain, cpu"):
        resolve_backend("fast", "cpu")
    monkeypatch.setenv("VIDEOLLM_SCAN", "fast")
    with pytest.raises(ValueError, match=r"^VIDEOLLM_SCAN is 'fast': choose auto, reference"):
        resolve_backend("auto", "cpu")


@pytest.mark.parametrize(
    ("name", "remedy"), [("triton", "pip install triton"), ("mamba_ssm", "MAMBA_KEEP_CUDA_BUILD")]
)
def test_what_is_not_installed_is_told_with_its_remedy(
    name: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    with pytest.raises(ValueError, match=f"^backend is '{name}': .* not installed: .*{remedy}"):
        selective_scan(**make_inputs(1, 2, 3, 4), backend=name)


def test_triton_needs_a_gpu_or_its_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda package: package)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(
        ValueError, match="^backend is 'triton': it is for GPUs, not for cpu .*; else"
    ):
        resolve_backend("triton", "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert triton_scan_problem("cuda") == "torch sees no GPU: install a driver, and torch for CUDA"


@pytest.mark.parametrize(
    ("version", "problem"),
    [("3.7.1", None), ("3.10.0+rocm", None), ("3.5.1", "triton 3.5.1 is too old, it takes 3.6:")],
)
def test_triton_must_be_new_enough(
    version: str, problem: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda package: package)
    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(__version__=version))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    found = triton_scan_problem("cpu")
    assert found is None if problem is None else (found or "").startswith(problem)


def test_the_compiled_scan_is_refused_for_other_devices() -> None:
    with pytest.raises(ValueError, match="'cpu' but the tensors are on cuda: choose auto or plain"):
        resolve_backend("cpu", "cuda")


def test_the_choice_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="videollm.encoder.kernels"):
        for _ in range(3):
            selective_scan(**make_inputs(1, 2, 3, 4))
        selective_scan(**make_inputs(1, 2, 3, 4), backend="plain")
    assert caplog.messages == ["selective scan on cpu: cpu", "selective scan on cpu: plain"]


@pytest.mark.usefixtures("broken_build")
@pytest.mark.parametrize("backend", ["auto", "cpu"])
def test_without_a_compiler_one_warning_and_right_results(backend: str) -> None:
    inputs = make_inputs(1, 5, 70, 4)
    with pytest.warns(
        RuntimeWarning, match=r"plain PyTorch, .*: no C\+\+ compiler.* g\+\+"
    ) as seen:
        found = run(inputs, backend)
    assert len(seen) == 1
    assert seen[0].filename.endswith("scan_cases.py"), "it names the caller's line"
    assert_same(found, run(inputs, "reference"), 1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_backend(backend, "cpu") == "plain"


def test_probe_runs_every_backend() -> None:
    statuses = {status.name: status for status in probe_backends()}
    assert tuple(statuses) == BACKENDS
    for name in ("reference", "plain", "cpu"):
        assert statuses[name].available
        assert statuses[name].works
        assert statuses[name].reason == ""
    for name in ("triton", "mamba_ssm"):
        assert not statuses[name].available
        assert not statuses[name].works
        assert re.search(
            "not installed: .*pip install|for GPUs, not for cpu", statuses[name].reason
        )
    assert [name for name, status in statuses.items() if status.chosen] == ["cpu"]


@pytest.mark.usefixtures("broken_build")
def test_probe_reports_a_failed_build_without_warning() -> None:
    statuses = {status.name: status for status in probe_backends()}
    assert not statuses["cpu"].available
    assert not statuses["cpu"].works
    assert "install g++" in statuses["cpu"].reason
    assert statuses["plain"].chosen


def test_probe_follows_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEOLLM_SCAN", "reference")
    assert [status.name for status in probe_backends() if status.chosen] == ["reference"]


def test_probe_finds_wrong_results_and_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kernels.SCANS, "plain", wrong_scan)
    monkeypatch.setitem(kernels.SCANS, "cpu", failing_scan)
    statuses = {status.name: status for status in probe_backends()}
    assert not statuses["plain"].works
    assert "off the reference" in statuses["plain"].reason
    assert not statuses["cpu"].works
    assert statuses["cpu"].reason == "it failed: out of order"
