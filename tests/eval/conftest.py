"""Fixtures for tests of the runner: a benchmark of grey clips under the name `paint`."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.eval.paint import SPEC, Silence
from videollm.eval import benchmarks
from videollm.eval.settings import EvalSettings
from videollm.eval.task import TaskSpec


@pytest.fixture
def paint(monkeypatch: pytest.MonkeyPatch) -> TaskSpec:
    """Offer the benchmark beside the real ones."""
    monkeypatch.setattr(benchmarks, "BENCHMARKS", {**benchmarks.BENCHMARKS, "paint": SPEC})
    return SPEC


@pytest.fixture
def silence() -> Silence:
    """Return a progress that prints nothing."""
    return Silence()


@pytest.fixture
def paint_settings(paint: TaskSpec) -> Callable[..., EvalSettings]:
    """Return a maker of settings for ten questions of the benchmark."""

    def make(**changes: Any) -> EvalSettings:  # noqa: ANN401 (any setting)
        return EvalSettings(**{"tasks": ("paint",), "limit": 10, "batch_size": 4, **changes})

    return make
