"""What the runner of `videollm eval` costs over a bare loop, and what batches are worth.

The rival is the shortest loop that answers the same questions: decode a batch's clips, call
`VideoLLM.batch`. Items are questions of the toy world over H.264 files: each about a video of its
own, and, as in most benchmarks, several about each.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, save
from videollm.api import VideoLLM
from videollm.eval import EvalSettings, Example
from videollm.eval.benchmarks import find_benchmark
from videollm.eval.conditions import ModelCondition
from videollm.eval.predictions import PredictionLog, read_predictions
from videollm.eval.runner import TaskRunner, cut_batches
from videollm.eval.stopwatch import Stopwatch
from videollm.eval.task import Task, TaskSpec
from videollm.sampling import load_clip
from videollm.toyworld import write_split

__all__ = ["main"]

_MAX_NEW_TOKENS = 32


def _bare(model: VideoLLM, folder: Path, examples: Sequence[Example], size: int) -> list[str]:
    """Return the answers of a loop without anything around it."""
    answers: list[str] = []
    for batch in cut_batches(examples, size):
        names = dict.fromkeys(example.video for example in batch)
        clips = {name: load_clip(folder / name, num_frames=model.processor.num_frames)
                 for name in names}  # fmt: skip
        answers += model.batch(
            [clips[example.video] for example in batch],
            [example.question for example in batch],
            max_new_tokens=_MAX_NEW_TOKENS,
            batch_size=size,
        )
    return answers


def _run(model: VideoLLM, spec: TaskSpec, task: Task, size: int, folder: Path) -> list[str]:
    """Return the answers of the runner, with its log, its scores and its timings."""
    log_path = folder / "predictions.jsonl"
    condition = ModelCondition(name="model", model=model, seed=0, max_new_tokens=_MAX_NEW_TOKENS)
    with PredictionLog(log_path) as log:
        TaskRunner(
            task=task,
            spec=spec,
            conditions=[condition],
            log=log,
            batch_size=size,
            num_frames=model.processor.num_frames,
            size=model.processor.image_size,
            advance=lambda count: None,
        ).run(Stopwatch(folder / "timings.jsonl"))
    return [prediction.output for prediction in read_predictions(log_path)]


def _measure(
    model: VideoLLM, num_items: int, batch_size: int, rounds: int, *, per_clip: int
) -> dict[str, Any]:
    """Return the best times of the contenders, in turn, and whether they say the same."""
    with tempfile.TemporaryDirectory(prefix="videollm-runner-") as name:
        summary = write_split(
            "test_iid", num_items // per_clip, 0, Path(name, "clips"), questions_per_video=per_clip
        )
        path = summary.folder / "qa.jsonl"
        settings = EvalSettings(tasks=(str(path),), limit=num_items)
        spec = find_benchmark(str(path))
        task = spec.build(settings)
        seconds: dict[str, list[float]] = {"bare": [], "runner": [], "one_by_one": []}
        answers: dict[str, list[str]] = {}
        for number in range(rounds):
            for contender in seconds:
                output = Path(name, f"{contender}-{number}")
                output.mkdir()
                started = time.perf_counter()
                if contender == "bare":
                    answers[contender] = _bare(model, summary.folder, task.examples, batch_size)
                else:
                    size = batch_size if contender == "runner" else 1
                    answers[contender] = _run(model, spec, task, size, output)
                seconds[contender].append(time.perf_counter() - started)
    best = {contender: min(times) for contender, times in seconds.items()}
    equal = [one == other for one, other in zip(answers["runner"], answers["one_by_one"],
                                                strict=True)]  # fmt: skip
    return {
        "num_items": len(equal),
        "questions_per_video": per_clip,
        "seconds": {name: [round(one, 3) for one in times] for name, times in seconds.items()},
        "overhead_over_bare": round(best["runner"] / best["bare"] - 1, 4),
        "runner_equals_bare": answers["runner"] == answers["bare"],
        "batch_speedup": round(best["one_by_one"] / best["runner"], 3),
        "batch_equal_answers": sum(equal) / len(equal),
    }


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--items", type=int, default=48)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--per-video", default="1,8", help="questions about each video")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    model = VideoLLM.from_pretrained(options.model)
    results = {
        "batch_size": options.batch_size,
        "rounds": options.rounds,
        "sets": [
            _measure(model, options.items, options.batch_size, options.rounds, per_clip=int(number))
            for number in options.per_video.split(",")
        ],
    }
    print(json.dumps(results, indent=1))
    save(options.output, "eval_runner", results, ["benchmarks.eval_runner", *sys.argv[1:]])


if __name__ == "__main__":
    main()
