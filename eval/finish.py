"""From the predictions of a finished run to its results and its report, without a model."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from videollm.errors import DataError, VideoLLMError
from videollm.eval.benchmarks import find_benchmark
from videollm.eval.depth_map import draw_depths
from videollm.eval.folder import RunFolder
from videollm.eval.html_report import ClipSource, write_report
from videollm.eval.judge import Judge, apply_judgements, build_judge, judge_predictions
from videollm.eval.judge_prompts import JUDGE_PROMPTS
from videollm.eval.metrics import METRICS
from videollm.eval.predictions import Prediction, read_predictions
from videollm.eval.results import rescore, score_task
from videollm.eval.settings import EvalSettings, RunOptions
from videollm.eval.task import Example, Score, Task

__all__ = ["rescore_folder", "scored_predictions", "write_results"]

logger = logging.getLogger(__name__)


def rescore_folder(path: Path, options: RunOptions | None = None) -> dict[str, Any]:
    """Score the predictions of a finished run again, without a model, and write the results.

    The predictions stay as they are; `results.json` says how many of them are now judged
    otherwise. Where nothing changed, the file does not change by a byte.

    Args:
        path: Output folder of an evaluation.
        options: May name a judge who has not been asked before.

    Returns:
        The results as `results.json` holds them.

    Raises:
        RequestError: The folder is no run's folder.
        DataError: The run is not finished, or its files cannot be read.
    """
    folder = RunFolder(path)
    recorded = folder.read_settings()
    predictions = read_predictions(folder.predictions_path)
    expected = sum(
        facts["num_items"] * len(facts.get("conditions", recorded["conditions"]))
        for facts in recorded["tasks"].values()
    )
    if len(predictions) != expected:
        raise DataError(
            f"{path}: holds {len(predictions)} of {expected} predictions; "
            "finish the run with the command that began it"
        )
    judge = build_judge(options, None) if options is not None else None
    return write_results(folder, predictions, timing=None, judge=judge, tasks=None)


def write_results(
    folder: RunFolder,
    predictions: Sequence[Prediction],
    *,
    timing: dict[str, float] | None,
    judge: Judge | None,
    tasks: Sequence[Task] | None,
) -> dict[str, Any]:
    """Score predictions, and write `results.json` and `report.html`.

    Args:
        folder: The run's folder, with its settings.
        predictions: All of the run's.
        timing: What the run took; None keeps what is recorded.
        judge: Who is asked where a judge is of use; None takes the recorded verdicts.
        tasks: The tasks, for the report's frames; None builds them again where that can be done.

    Returns:
        The results.
    """
    recorded = folder.read_settings()
    earlier = folder.read_results() or {}
    judge_name = judge.name if judge else (earlier.get("judge") or {}).get("name")
    scores: dict[str, Any] = {}
    scored_all: list[Prediction] = []
    prompts: dict[str, str] = {}
    for name, facts in recorded["tasks"].items():
        asked = [prediction for prediction in predictions if prediction.task == name]
        scored = rescore(asked, _score_rule(name, facts))
        rejudged = sum(new.correct != old.correct for new, old in zip(scored, asked, strict=True))
        prompt = facts.get("judge", "")
        if prompt and judge is not None:
            judge_predictions(scored, prompt, judge, folder.judgements_path)
        if prompt and judge_name is not None:
            scored = apply_judgements(scored, prompt, judge_name, folder.judgements_path)
            prompts[prompt] = JUDGE_PROMPTS[prompt].template
        seed, average = recorded["settings"]["seed"], facts.get("average", "items")
        scores[name] = {
            **facts,
            **score_task(scored, seed=seed, average=average),
            "num_rejudged": rejudged,
        }
        scored_all += scored
    results = {
        **recorded,
        "judge": {"name": judge_name, "temperature": 0, "prompts": prompts} if prompts else None,
        "tasks": scores,
        "timing": timing or earlier.get("timing"),
    }
    folder.write_results(results)
    for name in scores:
        asked = [prediction for prediction in scored_all if prediction.task == name]
        if any("depth" in prediction.groups for prediction in asked):
            draw_depths(folder.path / f"{name}_depths.png", asked)
    write_report(folder.report_path, results, scored_all, _clip_sources(recorded, tasks))
    return results


def scored_predictions(folder: RunFolder) -> list[Prediction]:
    """Return a finished run's predictions, scored as its results are.

    Args:
        folder: The run's folder.

    Raises:
        RequestError: It is no run's folder.
        DataError: Its files cannot be read.
    """
    recorded = folder.read_settings()
    judge = ((folder.read_results() or {}).get("judge") or {}).get("name")
    predictions = read_predictions(folder.predictions_path)
    scored: list[Prediction] = []
    for name, facts in recorded["tasks"].items():
        own = [prediction for prediction in predictions if prediction.task == name]
        own = rescore(own, _score_rule(name, facts))
        if facts.get("judge") and judge is not None:
            own = apply_judgements(own, facts["judge"], judge, folder.judgements_path)
        scored += own
    return scored


def _score_rule(name: str, facts: dict[str, Any]) -> Callable[[str, Example], Score]:
    metric = facts.get("metric")
    return METRICS[str(metric)] if metric in METRICS else find_benchmark(name).score


def _clip_sources(recorded: dict[str, Any], tasks: Sequence[Task] | None) -> dict[str, ClipSource]:
    """Return by task how its clips are loaded, as far as its files are still there."""
    frames = recorded["frames"]

    def source(task: Task) -> ClipSource:
        return lambda video: task.load_clip(
            video, num_frames=frames["num_frames"], size=frames["size"]
        )

    return {task.name: source(task) for task in (_rebuild(recorded) if tasks is None else tasks)}


def _rebuild(recorded: dict[str, Any]) -> list[Task]:
    """Return a run's tasks as far as they can be built again."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in recorded["settings"].items()
    }
    tasks: list[Task] = []
    try:
        settings = EvalSettings(**values)
        tasks += (find_benchmark(name).build(settings) for name in settings.tasks)
    except (VideoLLMError, OSError, TypeError) as error:  # written by an older version, say
        logger.warning("the report shows no frames: %s", error)
    return tasks
