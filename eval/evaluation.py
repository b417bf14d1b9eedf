"""One evaluation from settings to results, without a command line.

The order matters: everything that can be refused is refused before the output folder is made.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from videollm.errors import DataError, RequestError
from videollm.eval.benchmarks import find_benchmarks
from videollm.eval.conditions import build_conditions
from videollm.eval.file_task import FileTask
from videollm.eval.finish import rescore_folder, write_results
from videollm.eval.folder import RunFolder
from videollm.eval.judge import build_judge
from videollm.eval.merging import expected_keys, merge_predictions
from videollm.eval.predictions import PredictionLog, read_predictions
from videollm.eval.record import describe_model, hash_adapter, hash_prompts
from videollm.eval.runner import TaskRunner
from videollm.eval.settings import BASELINES, EvalSettings, RunOptions
from videollm.eval.shards import WHOLE
from videollm.eval.spec_examples import split_part
from videollm.eval.stopwatch import Stopwatch
from videollm.eval.stream_runner import StreamRunner
from videollm.eval.task import StreamedTask, Task, TaskSpec
from videollm.eval.wordnet import load_wordnet
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

    A process of a launcher takes the GPU of its own number.

    Args:
        settings: Names model, adapter, quantization, device and dtype.

    Raises:
        ModelError: The model or the adapter cannot be had.
    """
    import torch

    from videollm.api import VideoLLM

    device = settings.device
    if device == "auto" and "LOCAL_RANK" in os.environ and torch.cuda.is_available():
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    return VideoLLM.from_pretrained(
        settings.model,
        adapter=settings.adapter,
        quantization=settings.quantization,
        device=device,
        dtype=settings.dtype,
    )


def evaluate(
    settings: EvalSettings,
    output: Path | None = None,
    *,
    progress: Progress,
    load: Callable[[EvalSettings], "VideoLLM"] | None = None,
    options: RunOptions | None = None,
) -> tuple[Path, dict[str, Any] | None]:
    """Ask every question that the folder does not hold yet, score all, write the results.

    Args:
        settings: What is asked of whom.
        output: Folder of the run; None names one after the settings, under `runs/eval`.
        progress: Hears how far it is.
        load: Returns the model; `load_model` where None.
        options: How the run goes.

    Returns:
        The folder, and the results as its `results.json` holds them; None for a shard that is
        done before the others.

    Raises:
        RequestError: A setting names what is not there, or the folder is not this run's.
        ModelError: The model cannot be had.
        DataError: Files cannot be read, or too many items failed.
    """
    options = options or RunOptions()
    specs = find_benchmarks(settings)
    if output is not None:
        RunFolder(output).check()
    _check_specs(specs, settings, options)
    tasks = [spec.build(settings) for spec in specs]
    _check_videos(tasks, options)
    model = (load or load_model)(settings)
    claim = _claim(settings, specs, tasks, model)
    folder = RunFolder(output or _default_output(settings, specs, claim))
    if folder.claim(claim, environment_report()):
        logger.info("going on with %s", folder.path)
    stopwatch = _ask(settings, options, folder, specs, tasks, model, claim, progress)
    conditions = {spec.name: spec.conditions_of(settings) for spec in specs}
    keys = expected_keys(tasks, conditions, settings.batch_size)
    predictions = merge_predictions(folder, options.shard, keys)
    if predictions is None:
        return folder.path, None
    timing = stopwatch.to_dict() if stopwatch.num_answered else None
    judge = build_judge(options, model)
    return folder.path, write_results(folder, predictions, timing=timing, judge=judge, tasks=tasks)


def _ask(
    settings: EvalSettings,
    options: RunOptions,
    folder: RunFolder,
    specs: Sequence[TaskSpec],
    tasks: Sequence[Task],
    model: "VideoLLM",
    claim: dict[str, Any],
    progress: Progress,
) -> Stopwatch:
    """Ask what this process has to ask, and return what that took."""
    stopwatch = Stopwatch(folder.timings_path(options.shard))
    known = [] if options.shard == WHOLE else read_predictions(folder.predictions_path)
    with PredictionLog(folder.shard_path(options.shard), known=known) as log:
        runners = [
            _runner(settings, options, spec, task, model, claim, log, progress)
            for spec, task in zip(specs, tasks, strict=True)
        ]
        progress.begin(sum(runner.num_answers for runner in runners))
        for runner in runners:
            runner.run(stopwatch)
            _check_failures(log, runner.task, options)
    return stopwatch


def _runner(
    settings: EvalSettings,
    options: RunOptions,
    spec: TaskSpec,
    task: Task,
    model: "VideoLLM",
    claim: dict[str, Any],
    log: PredictionLog,
    progress: Progress,
) -> TaskRunner | StreamRunner:
    """Return who asks the questions of one task."""
    names = spec.conditions_of(settings)
    max_new_tokens = claim["tasks"][task.name]["max_new_tokens"]
    baselines = [name for name in names if name in BASELINES]
    if spec.is_streamed(settings):
        return StreamRunner(
            task=cast(StreamedTask, task),
            spec=spec,
            model=model,
            settings=settings,
            baselines=build_conditions(
                settings, task, model, names=baselines, max_new_tokens=max_new_tokens
            ),
            log=log,
            max_new_tokens=max_new_tokens,
            advance=progress.advance,
            shard=options.shard,
        )
    return TaskRunner(
        task=task,
        spec=spec,
        conditions=build_conditions(
            settings, task, model, names=names, max_new_tokens=max_new_tokens
        ),
        log=log,
        batch_size=settings.batch_size,
        num_frames=claim["frames"]["num_frames"],
        size=claim["frames"]["size"],
        advance=progress.advance,
        shard=options.shard,
        num_workers=options.decode_workers,
    )


def _check_specs(specs: Sequence[TaskSpec], settings: EvalSettings, options: RunOptions) -> None:
    """Refuse what could only end in a run without scores."""
    for spec in specs:
        if spec.needs_judge and options.judge is None:
            raise RequestError(
                f"{spec.name} is scored by a judge; name one with --judge URL --judge-model NAME, "
                "or --judge self"
            )
        if spec.is_streamed(settings):
            _check_stream(spec, settings)
        elif spec.draws_clips and (settings.fps is not None or settings.sampling is not None):
            raise RequestError(
                f"{spec.name} draws its clips; leave --fps and --sampling out, or give --num-frames"
            )
        if spec.metric == "wups":
            load_wordnet()


def _check_stream(spec: TaskSpec, settings: EvalSettings) -> None:
    unused = {"num_frames": settings.num_frames, "sampling": settings.sampling}
    given = [f"--{name.replace('_', '-')}" for name, value in unused.items() if value is not None]
    if given or settings.mp4 or settings.scoring != "generate":
        raise RequestError(
            f"{spec.name} {spec.split_of(settings)} is watched as a stream, frame by frame, and "
            "answers in words: leave --num-frames, --sampling, --mp4 and --scoring out; --fps says "
            "how many frames a second"
        )


def _check_videos(tasks: Sequence[Task], options: RunOptions) -> None:
    for task in tasks:
        if not isinstance(task, FileTask):
            continue
        missing = task.missing_videos()
        if not missing:
            continue
        lost = sum(split_part(example.video)[0] in set(missing) for example in task.examples)
        logger.warning("%s: %d videos are missing", task.name, len(missing))
        if lost > options.max_failed * len(task.examples):
            raise DataError(
                f"{task.name}: {len(missing)} videos of {lost} of {len(task.examples)} questions "
                f"are not in {task.videos}, the first is {missing[0]}; put them "
                "there, name --videos, or allow it with --max-failed (--check lists them)"
            )


def _check_failures(log: PredictionLog, task: Task, options: RunOptions) -> None:
    """Refuse to go on where too many items could not be asked."""
    failed = {one.id: one.error for one in log.predictions if one.task == task.name and one.error}
    if len(failed) > options.max_failed * len(task.examples):
        name, error = next(iter(failed.items()))
        raise DataError(
            f"{task.name}: {len(failed)} of {len(task.examples)} items failed, more than "
            f"--max-failed {options.max_failed:g} allows; the first is {name}: {error}"
        )


def _claim(
    settings: EvalSettings, specs: Sequence[TaskSpec], tasks: Sequence[Task], model: "VideoLLM"
) -> dict[str, Any]:
    """Return, as JSON values, everything that decides the predictions."""
    return {
        "settings": settings.to_dict(),
        "conditions": list(settings.conditions),
        "model": {
            "name": settings.model,
            "adapter": settings.adapter,
            "adapter_sha256": hash_adapter(settings.adapter),
            "quantization": settings.quantization,
            **describe_model(model),
        },
        "frames": {
            "num_frames": settings.num_frames or model.processor.num_frames,
            "fps": settings.fps,
            "size": model.processor.image_size,
            "policy": settings.sampling or ("fps" if settings.fps else "uniform"),
        },
        "generation": {"decoding": "greedy", "scoring": settings.scoring},
        "tasks": {
            task.name: {
                "split": spec.split_of(settings),
                "num_items": len(task.examples),
                "metric": spec.metric,
                "average": spec.average,
                "judge": spec.judge,
                "conditions": list(spec.conditions_of(settings)),
                "max_new_tokens": settings.max_new_tokens or spec.max_new_tokens,
                "prompts_sha256": hash_prompts(task.examples),
                "clips": dict(task.describe_clips()),
            }
            for spec, task in zip(specs, tasks, strict=True)
        },
    }


def _default_output(
    settings: EvalSettings, specs: Sequence[TaskSpec], claim: dict[str, Any]
) -> Path:
    digest = hashlib.sha256(json.dumps(claim, sort_keys=True).encode()).hexdigest()
    model = Path(settings.model).name or "model"
    names = [spec.name for spec in specs]
    splits = dict.fromkeys(spec.split_of(settings) for spec in specs)
    return Path("runs", "eval", "-".join([model, *names[:3], *splits, digest[:8]]))
