"""The choice of the scan's back end: what is taken, what is refused, what is said."""

import logging
import warnings
from collections.abc import Iterator

import pytest
import torch

from tests.encoder.scan_cases import assert_same, make_inputs, run
from videollm.encoder import extension, kernels, scan_cpu
from videollm.encoder.kernels import BACKENDS, probe_backends, resolve_backend
from videollm.encoder.scan import selective_scan


@pytest.fixture(autouse=True)
def _no_choice_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIDEOLLM_SCAN", raising=False)
    kernels._warn_once.cache_clear()
    kernels._log_once.cache_clear()


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


def test_auto_takes_the_compiled_scan_on_processors_and_plain_elsewhere() -> None:
    assert resolve_backend("auto", torch.device("cpu")) == "cpu"
    assert resolve_backend("auto", "cuda") == "plain"


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


@pytest.mark.parametrize("name", ["triton", "mamba_ssm"])
def test_known_but_missing_backends_say_so(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^backend is '{name}': .* not in this version; choose"):
        selective_scan(**make_inputs(1, 2, 3, 4), backend=name)


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
        assert "not in this version" in statuses[name].reason
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
    def wrong(inputs: kernels.ScanInputs) -> tuple[torch.Tensor, torch.Tensor]:
        return inputs.u, inputs.A

    def failing(inputs: kernels.ScanInputs) -> tuple[torch.Tensor, torch.Tensor]:
        raise RuntimeError("out of order")

    monkeypatch.setitem(kernels.SCANS, "plain", wrong)
    monkeypatch.setitem(kernels.SCANS, "cpu", failing)
    statuses = {status.name: status for status in probe_backends()}
    assert not statuses["plain"].works
    assert "off the reference" in statuses["plain"].reason
    assert not statuses["cpu"].works
    assert statuses["cpu"].reason == "it failed: out of order"
