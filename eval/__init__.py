"""Evaluation (`videollm.eval`): benchmarks as data, the runner, baselines, scores.

settings     what is asked of whom
task         what a benchmark is; `toyworld` is one, `benchmarks` lists them
conditions   the model, and the baselines beside it
runner       asks; `predictions` keeps every answer, `folder` the files around them
open_ended   is an answer right
results      accuracies and differences, with `intervals`
record       what makes a result reproducible
report       tables
evaluation   all of it, from settings to results
run          the command `videollm eval`
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from videollm.eval.benchmarks import BENCHMARKS
    from videollm.eval.evaluation import evaluate, rescore_folder
    from videollm.eval.settings import EvalSettings
    from videollm.eval.task import Example, Score, Task, TaskSpec

__all__ = [
    "BENCHMARKS",
    "EvalSettings",
    "Example",
    "Score",
    "Task",
    "TaskSpec",
    "evaluate",
    "rescore_folder",
]

_HOMES = {
    "BENCHMARKS": "benchmarks",
    "EvalSettings": "settings",
    "Example": "task",
    "Score": "task",
    "Task": "task",
    "TaskSpec": "task",
    "evaluate": "evaluation",
    "rescore_folder": "evaluation",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"videollm.eval.{_HOMES[name]}"), name)
