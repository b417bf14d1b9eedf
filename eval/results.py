"""Scores from predictions: accuracy per condition and family, and what the video was worth.

Everything here is a pure function of predictions, so that scoring them again gives the recorded
numbers. An unparsable answer is counted, stays in the denominator and is wrong. An item that
could not be asked, or that a judge did not answer for, is counted and has no part in the score.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

from videollm.eval.intervals import (
    NUM_RESAMPLES,
    Clusters,
    bootstrap_interval,
    bootstrap_mean_of_means,
)
from videollm.eval.predictions import Prediction
from videollm.eval.settings import BASELINES, MODEL_CONDITION
from videollm.eval.spec_examples import split_part
from videollm.eval.task import Example, Score

__all__ = ["clusters_of", "compare_conditions", "rescore", "score_condition", "score_task"]


def rescore(
    predictions: Iterable[Prediction], score: Callable[[str, Example], Score]
) -> list[Prediction]:
    """Return the predictions scored anew from their outputs.

    Args:
        predictions: Predictions of one task; those that failed are left as they are.
        score: The scoring rule of that task.
    """
    scored = []
    for prediction in predictions:
        if prediction.error:
            scored.append(prediction)
            continue
        verdict = score(prediction.output, prediction.example())
        scored.append(
            replace(
                prediction,
                parsed=verdict.parsed,
                correct=verdict.correct,
                measures=verdict.measures,
            )
        )
    return scored


def score_task(
    predictions: Sequence[Prediction],
    *,
    seed: int,
    average: Literal["items", "families"] = "items",
) -> dict[str, Any]:
    """Return the scores of one task, as `results.json` holds them.

    Args:
        predictions: All predictions of the task; every condition answered the same items.
        seed: Seed of the bootstrap.
        average: Which mean is the task's score.

    Returns:
        JSON values: `num_items`, `num_videos`; `conditions`, by name, each with `score` (the mean
        that counts), `overall`, `families` and `groups`; `differences`, by baseline, what the
        model scores above it, likewise.
    """
    by_condition: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        by_condition[prediction.condition].append(prediction)
    names = sorted(by_condition, key=_place)
    model = by_condition[MODEL_CONDITION]
    return {
        "num_items": len(model),
        "num_videos": len({_source(prediction) for prediction in model}),
        "interval": {"confidence": 0.95, "resamples": NUM_RESAMPLES, "unit": "video"},
        "conditions": {
            name: _score_in_full(by_condition[name], seed=seed, average=average) for name in names
        },
        "differences": {name: _differences(model, by_condition[name], seed) for name in names[1:]},
        "failed": [f"{one.id}: {one.error}" for one in model if one.error][:100],
    }


def _score_in_full(
    predictions: Sequence[Prediction], *, seed: int, average: Literal["items", "families"]
) -> dict[str, Any]:
    families = _by_family(predictions)
    overall = score_condition(predictions, seed=seed)
    score = {"average": average, "value": overall["accuracy"], "interval": overall["interval"]}
    if average == "families":
        groups = [clusters_of(scored) for one in families.values() if (scored := _scored(one))]
        if groups:
            means = [sum(sums) / sum(counts) for sums, counts in groups]
            score["value"] = sum(means) / len(means)
            score["interval"] = list(bootstrap_mean_of_means(groups, seed=seed))
    axes = dict.fromkeys(axis for prediction in predictions for axis in prediction.groups)
    return {
        "score": score,
        "overall": overall,
        "families": {
            family: score_condition(members, seed=seed) for family, members in families.items()
        },
        "groups": {
            axis: {
                value: score_condition(members, seed=seed)
                for value, members in _by_value(predictions, axis).items()
            }
            for axis in axes
        },
    }


def score_condition(predictions: Sequence[Prediction], *, seed: int) -> dict[str, Any]:
    """Return accuracy, its 95 % interval and the counts behind it.

    Args:
        predictions: Predictions of one condition, at least one.
        seed: Seed of the bootstrap.

    Returns:
        `accuracy` and `interval` over the items that are scored (None where there is none),
        `num_items`, `num_correct`, `num_unparsable`, `num_failed`, `num_unjudged`, and for each
        further measure its mean and interval.
    """
    scored = _scored(predictions)
    names = dict.fromkeys(name for prediction in scored for name in prediction.measures)
    return {
        **_mean("accuracy", scored, [float(bool(one.correct)) for one in scored], seed),
        "num_items": len(predictions),
        "num_correct": sum(bool(one.correct) for one in scored),
        "num_unparsable": sum(one.parsed is None and not one.error for one in predictions),
        "num_failed": sum(bool(one.error) for one in predictions),
        "num_unjudged": sum(one.correct is None and not one.error for one in predictions),
        "measures": {
            name: _mean("mean", scored, [one.measures.get(name, 0.0) for one in scored], seed)
            for name in names
        },
    }


def compare_conditions(
    model: Sequence[Prediction], baseline: Sequence[Prediction], *, seed: int
) -> dict[str, Any]:
    """Return how much more often the model is right than a baseline on the same items.

    Args:
        model: The model's predictions.
        baseline: The baseline's predictions of the same items, in any order.
        seed: Seed of the bootstrap.

    Returns:
        `difference` of the accuracies, from -1 to 1, and its paired 95 % `interval`, over the
        items that are scored in both; None where there is none.
    """
    right = {one.id: one.correct for one in _scored(baseline)}
    both = [one for one in _scored(model) if one.id in right]
    gains = [float(bool(one.correct)) - float(bool(right[one.id])) for one in both]
    return _mean("difference", both, gains, seed)


def clusters_of(predictions: Sequence[Prediction]) -> Clusters:
    """Return right answers and items per video, as a bootstrap takes them.

    Args:
        predictions: Scored ones of one condition.
    """
    return _cluster(predictions, [float(bool(prediction.correct)) for prediction in predictions])


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


def _scored(predictions: Iterable[Prediction]) -> list[Prediction]:
    return [prediction for prediction in predictions if prediction.correct is not None]


def _by_family(predictions: Iterable[Prediction]) -> dict[str, list[Prediction]]:
    families: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        families[prediction.family].append(prediction)
    return dict(sorted(families.items()))


def _place(condition: str) -> int:
    """Return a condition's place in reports: the model, other policies of memory, baselines."""
    if condition == MODEL_CONDITION:
        return 0
    return 2 + BASELINES.index(condition) if condition in BASELINES else 1


def _by_value(predictions: Iterable[Prediction], axis: str) -> dict[str, list[Prediction]]:
    values: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        values[prediction.groups.get(axis, "")].append(prediction)
    return dict(sorted(values.items()))


def _source(prediction: Prediction) -> str:
    """Return the video that a clip is a part of: parts of one are not independent."""
    return split_part(prediction.video)[0]


def _mean(
    name: str, predictions: Sequence[Prediction], values: Sequence[float], seed: int
) -> dict[str, Any]:
    """Return a mean under a name, with its interval."""
    if not values:
        return {name: None, "interval": None}
    sums, counts = _cluster(predictions, values)
    low, high = bootstrap_interval(sums, counts, seed=seed)
    return {name: sum(values) / len(values), "interval": [low, high]}


def _cluster(predictions: Sequence[Prediction], values: Sequence[float]) -> Clusters:
    sums: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for prediction, value in zip(predictions, values, strict=True):
        sums[_source(prediction)] += value
        counts[_source(prediction)] += 1
    return list(sums.values()), list(counts.values())
