"""Scores from predictions: accuracy per condition and family, and what the video was worth.

Everything here is a pure function of predictions, so that scoring them again gives the recorded
numbers. An unparsable answer is counted, stays in the denominator and is wrong.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from videollm.eval.intervals import NUM_RESAMPLES, bootstrap_interval
from videollm.eval.predictions import Prediction
from videollm.eval.settings import BASELINES, MODEL_CONDITION
from videollm.eval.task import Example, Score

__all__ = ["compare_conditions", "rescore", "score_condition", "score_task"]


def rescore(
    predictions: Iterable[Prediction], score: Callable[[str, Example], Score]
) -> list[Prediction]:
    """Return the predictions scored anew from their outputs.

    Args:
        predictions: Predictions of one task.
        score: The scoring rule of that task.
    """
    scored = []
    for prediction in predictions:
        verdict = score(prediction.output, prediction.example())
        scored.append(replace(prediction, parsed=verdict.parsed, correct=verdict.correct))
    return scored


def score_task(predictions: Sequence[Prediction], *, seed: int) -> dict[str, Any]:
    """Return the scores of one task, as `results.json` holds them.

    Args:
        predictions: All predictions of the task; every condition answered the same items.
        seed: Seed of the bootstrap.

    Returns:
        JSON values: `num_items`, `num_videos`; `conditions`, by name, each with `overall` and
        `families`; `differences`, by baseline, what the model scores above it, likewise.
    """
    by_condition: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        by_condition[prediction.condition].append(prediction)
    names = [name for name in (MODEL_CONDITION, *BASELINES) if name in by_condition]
    model = by_condition[MODEL_CONDITION]
    return {
        "num_items": len(model),
        "num_videos": len({prediction.video for prediction in model}),
        "interval": {"confidence": 0.95, "resamples": NUM_RESAMPLES, "unit": "video"},
        "conditions": {
            name: {
                "overall": score_condition(by_condition[name], seed=seed),
                "families": {
                    family: score_condition(members, seed=seed)
                    for family, members in _by_family(by_condition[name]).items()
                },
            }
            for name in names
        },
        "differences": {name: _differences(model, by_condition[name], seed) for name in names[1:]},
    }


def score_condition(predictions: Sequence[Prediction], *, seed: int) -> dict[str, Any]:
    """Return accuracy, its 95 % interval and the counts behind it.

    Args:
        predictions: Predictions of one condition, at least one.
        seed: Seed of the bootstrap.
    """
    correct = [float(prediction.correct) for prediction in predictions]
    low, high = _interval(predictions, correct, seed)
    return {
        "accuracy": sum(correct) / len(correct),
        "interval": [low, high],
        "num_items": len(predictions),
        "num_correct": int(sum(correct)),
        "num_unparsable": sum(prediction.parsed is None for prediction in predictions),
    }


def compare_conditions(
    model: Sequence[Prediction], baseline: Sequence[Prediction], *, seed: int
) -> dict[str, Any]:
    """Return how much more often the model is right than a baseline on the same items.

    Args:
        model: The model's predictions, at least one.
        baseline: The baseline's predictions of the same items, in any order.
        seed: Seed of the bootstrap.

    Returns:
        `difference` of the accuracies, from -1 to 1, and its paired 95 % `interval`.
    """
    right = {prediction.id: prediction.correct for prediction in baseline}
    gains = [float(prediction.correct) - float(right[prediction.id]) for prediction in model]
    low, high = _interval(model, gains, seed)
    return {"difference": sum(gains) / len(gains), "interval": [low, high]}


def _differences(
    model: Sequence[Prediction], baseline: Sequence[Prediction], seed: int
) -> dict[str, Any]:
    baseline_families = _by_family(baseline)
    return {
        "overall": compare_conditions(model, baseline, seed=seed),
        "families": {
            family: compare_conditions(members, baseline_families[family], seed=seed)
            for family, members in _by_family(model).items()
        },
    }


def _by_family(predictions: Iterable[Prediction]) -> dict[str, list[Prediction]]:
    families: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        families[prediction.family].append(prediction)
    return dict(sorted(families.items()))


def _interval(
    predictions: Sequence[Prediction], values: Sequence[float], seed: int
) -> tuple[float, float]:
    sums: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for prediction, value in zip(predictions, values, strict=True):
        sums[prediction.video] += value
        counts[prediction.video] += 1
    return bootstrap_interval(list(sums.values()), list(counts.values()), seed=seed)
