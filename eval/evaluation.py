"""One evaluation from settings to results, without a command line.

The order matters: everything that can be refused is refused before the output folder is made.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from videollm.errors import DataError
from videollm.eval.benchmarks import find_benchmark, find_benchmarks
from videollm.eval.conditions import build_conditions
from videollm.eval.folder import RunFolder
from videollm.eval.predictions import Prediction, PredictionLog, read_predictions
from videollm.eval.record import describe_model, hash_prompts
from videollm.eval.results import rescore, score_task
from videollm.eval.runner import Stopwatch, TaskRunner
from videollm.eval.settings import EvalSettings
from videollm.eval.task import Task
from videollm.runtime import environment_report

if TYPE_CHECKING:
    from videollm.api import VideoLLM

__all__ = ["Progress", "evaluate", "load_model", "rescore_folder"]

logger = logging.getLogger(__name__)


class Progress(Protocol):
    """Hear how far an evaluation is."""

    def begin(self, total: int) -> None:
        """Hear how many answers there will be."""

    def advance(self, count: int) -> None:
        """Hear that some answers more are there."""


def load_model(settings: EvalSettings) -> "VideoLLM":
    """Return the model that the settings name.

    Args:
        settings: Names model, adapter, quantization, device and dtype.

    Raises:
        ModelError: The model or the adapter cannot be had.
    """
    from videollm.api import VideoLLM

    return VideoLLM.from_pretrained(
        settings.model,
        adapter=settings.adapter,
        quantization=settings.quantization,
        device=settings.device,
        dtype=settings.dtype,
    )


def evaluate(
    settings: EvalSettings,
    output: Path | None = None,
    *,
    progress: Progress,
    load: Callable[[EvalSettings], "VideoLLM"] | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Ask every question that the folder does not hold yet, score all, write the results.

    Args:
        settings: What is asked of whom.
        output: Folder of the run; None names one after the settings, under `runs/eval`.
        progress: Hears how far it is.
        load: Returns the model; `load_model` where None.

    Returns:
        The folder, and the results as its `results.json` holds them.

    Raises:
        RequestError: A setting names what is not there, or the folder is not this run's.
        ModelError: The model cannot be had.
        DataError: The folder's files cannot be read.
    """
    stopwatch = Stopwatch.start()
    specs = find_benchmarks(settings)
    if output is not None:
        RunFolder(output).check()
    tasks = [spec.build(settings) for spec in specs]
    model = (load or load_model)(settings)
    claim = _claim(settings, tasks, model)
    folder = RunFolder(output or _default_output(settings, claim))
    if folder.claim(claim, environment_report()):
        logger.info("going on with %s", folder.path)
    with PredictionLog(folder.predictions_path) as log:
        progress.begin(sum(len(task.examples) for task in tasks) * len(settings.conditions))
        for spec, task in zip(specs, tasks, strict=True):
            TaskRunner(
                task=task,
                spec=spec,
                conditions=build_conditions(settings, task, model),
                log=log,
                batch_size=settings.batch_size,
                num_frames=claim["frames"]["num_frames"],
                size=claim["frames"]["size"],
                advance=progress.advance,
            ).run(stopwatch)
        predictions = log.predictions
    timing = stopwatch.to_dict() if stopwatch.num_answered else None
    return folder.path, _write_results(folder, predictions, timing)


def rescore_folder(path: Path) -> dict[str, Any]:
    """Score the predictions of a finished run again, without a model, and write the results.

    The predictions stay as they are; `results.json` says how many of them are now judged
    otherwise. Where nothing changed, the file does not change by a byte.

    Args:
        path: Output folder of an evaluation.

    Returns:
        The results as `results.json` holds them.

    Raises:
        RequestError: The folder is no run's folder.
        DataError: The run is not finished, or its files cannot be read.
    """
    folder = RunFolder(path)
    recorded = folder.read_settings()
    predictions = read_predictions(folder.predictions_path)
    num_items = sum(facts["num_items"] for facts in recorded["tasks"].values())
    expected = num_items * len(recorded["conditions"])
    if len(predictions) != expected:
        raise DataError(
            f"{path}: holds {len(predictions)} of {expected} predictions; "
            "finish the run with the command that began it"
        )
    return _write_results(folder, predictions, None)


def _write_results(
    folder: RunFolder, predictions: Sequence[Prediction], timing: dict[str, float] | None
) -> dict[str, Any]:
    """Score predictions and write the results; without timing, the recorded one is kept."""
    recorded = folder.read_settings()
    earlier = folder.read_results() or {}
    tasks: dict[str, Any] = {}
    for name, facts in recorded["tasks"].items():
        asked = [prediction for prediction in predictions if prediction.task == name]
        scored = rescore(asked, find_benchmark(name).score)
        rejudged = sum(new.correct != old.correct for new, old in zip(scored, asked, strict=True))
        scores = score_task(scored, seed=recorded["settings"]["seed"])
        tasks[name] = {**facts, **scores, "num_rejudged": rejudged}
    results = {**recorded, "tasks": tasks, "timing": timing or earlier.get("timing")}
    folder.write_results(results)
    return results


def _claim(settings: EvalSettings, tasks: Sequence[Task], model: "VideoLLM") -> dict[str, Any]:
    """Return, as JSON values, everything that decides the predictions."""
    return {
        "settings": settings.to_dict(),
        "conditions": list(settings.conditions),
        "model": {
            "name": settings.model,
            "adapter": settings.adapter,
            "quantization": settings.quantization,
            **describe_model(model),
        },
        "frames": {
            "num_frames": settings.num_frames or model.processor.num_frames,
            "size": model.processor.image_size,
            "policy": "uniform",
        },
        "generation": {"decoding": "greedy", "max_new_tokens": settings.max_new_tokens},
        "tasks": {
            task.name: {
                "split": settings.split,
                "num_items": len(task.examples),
                "prompts_sha256": hash_prompts(task.examples),
                "clips": dict(task.describe_clips()),
            }
            for task in tasks
        },
    }


def _default_output(settings: EvalSettings, claim: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(claim, sort_keys=True).encode()).hexdigest()
    model = Path(settings.model).name or "model"
    return Path("runs", "eval", "-".join([model, *settings.tasks, settings.split, digest[:8]]))
