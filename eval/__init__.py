"""Evaluation (`videollm.eval`): benchmarks as data, the runner, baselines, scores.

settings       what is asked of whom; `arguments` reads it from the command line
task           what a benchmark is; `benchmarks` lists them: `toyworld`, `own_questions`, and
specs/         the published ones as data; `spec_file` checks it, `annotations` reads their files,
               `spec_examples` makes questions of them, `file_task` shows their videos,
               `subtitles` adds what is spoken, `check` says what is missing
conditions     the model, and the baselines beside it
runner         asks; `clip_loader` decodes ahead, `shards` divides, `stopwatch` counts
predictions    keeps every answer; `merging` orders them, `folder` holds the files around them
metrics        is an answer right: `open_ended`, `wups` over `wordnet`; `judge` asks a model
results        accuracies and differences, with `intervals`; `compare` sets two runs side by side
record         what makes a result reproducible
report         tables; `html_report` the page
evaluation     all of it, from settings to predictions; `finish` from there to results
run            the command `videollm eval`
batch_answers  the command `videollm batch`; `ray_engine` spreads it over a cluster
lmms_manifest  how lmms-eval finds the model, `lmms_model` what it finds
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from videollm.eval.benchmarks import BENCHMARKS
    from videollm.eval.compare import compare_runs
    from videollm.eval.evaluation import evaluate, rescore_folder
    from videollm.eval.settings import EvalSettings, RunOptions
    from videollm.eval.task import Example, Score, Task, TaskSpec

__all__ = [
    "BENCHMARKS",
    "EvalSettings",
    "Example",
    "RunOptions",
    "Score",
    "Task",
    "TaskSpec",
    "compare_runs",
    "evaluate",
    "rescore_folder",
]

_HOMES = {
    "BENCHMARKS": "benchmarks",
    "EvalSettings": "settings",
    "Example": "task",
    "RunOptions": "settings",
    "Score": "task",
    "Task": "task",
    "TaskSpec": "task",
    "compare_runs": "compare",
    "evaluate": "evaluation",
    "rescore_folder": "evaluation",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"videollm.eval.{_HOMES[name]}"), name)
