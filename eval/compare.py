"""Two runs side by side: what flipped between them, and whether that is more than chance.

Items are paired by name, so that the question is not whether two accuracies differ but on which
items the models do. McNemar's exact test looks at the items that one gets and the other does
not; the interval is the paired bootstrap over videos, which does not take questions about one
video for independent.

Source:
    McNemar, Note on the sampling error of the difference between correlated proportions, 1947;
    the exact binomial form of its test.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videollm.errors import RequestError
from videollm.eval.finish import scored_predictions
from videollm.eval.folder import RunFolder
from videollm.eval.predictions import Prediction
from videollm.eval.results import compare_conditions
from videollm.eval.settings import MODEL_CONDITION

__all__ = ["Comparison", "compare_runs", "mcnemar"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Hold what two runs did with the items that both scored.

    Args:
        task: Name of the benchmark.
        num_items: Items that both scored.
        accuracies: Of the first and the second run, on these items.
        difference: Second less first.
        interval: Its paired 95 % bootstrap interval.
        p_value: Of McNemar's exact test, two-sided.
        gained: Items that only the second run has right, each as the first and the second answered.
        lost: Items that only the first run has right, likewise.
        num_both: Items that both have right.
        warnings: What makes the runs hard to compare.
    """

    task: str
    num_items: int
    accuracies: tuple[float, float]
    difference: float
    interval: tuple[float, float]
    p_value: float
    gained: Sequence[tuple[Prediction, Prediction]]
    lost: Sequence[tuple[Prediction, Prediction]]
    num_both: int
    warnings: Sequence[str]


def compare_runs(
    first: Path, second: Path, *, condition: str = MODEL_CONDITION
) -> list[Comparison]:
    """Return the comparison of each task that both runs have.

    Args:
        first: Output folder of one finished run.
        second: Of the other.
        condition: Whose answers are compared.

    Raises:
        RequestError: The runs share no task, or no item of one; or a folder is no run's.
        DataError: Files cannot be read.
    """
    folders = [RunFolder(path) for path in (first, second)]
    recorded = [folder.read_settings() for folder in folders]
    shared = [name for name in recorded[0]["tasks"] if name in recorded[1]["tasks"]]
    if not shared:
        names = [", ".join(one["tasks"]) for one in recorded]
        raise RequestError(f"{first} has {names[0]} and {second} has {names[1]}: no task in common")
    scored = [scored_predictions(folder) for folder in folders]
    comparisons = []
    for task in shared:
        one, other = (
            {p.id: p for p in run if (p.task, p.condition) == (task, condition)} for run in scored
        )
        pairs = [
            (one[name], other[name])
            for name in one
            if name in other and one[name].correct is not None and other[name].correct is not None
        ]
        if not pairs:
            raise RequestError(f"{first} and {second} share no scored item of {task}")
        warnings = _warnings(task, recorded, len(pairs), (len(one), len(other)))
        comparisons.append(_compare(task, pairs, warnings))
    return comparisons


def mcnemar(gained: int, lost: int) -> float:
    """Return how likely so uneven a split of the flipped items is by chance, two-sided and exact.

    Args:
        gained: Items that only the second run has right, at least 0.
        lost: Items that only the first run has right, at least 0.
    """
    flipped, fewer = gained + lost, min(gained, lost)
    tail = sum(math.comb(flipped, count) for count in range(fewer + 1)) / 2**flipped
    return min(1.0, 2 * tail)


def _compare(
    task: str, pairs: Sequence[tuple[Prediction, Prediction]], warnings: Sequence[str]
) -> Comparison:
    firsts, seconds = [one for one, _ in pairs], [other for _, other in pairs]
    gained = [pair for pair in pairs if pair[1].correct and not pair[0].correct]
    lost = [pair for pair in pairs if pair[0].correct and not pair[1].correct]
    difference = compare_conditions(seconds, firsts, seed=0)
    low, high = difference["interval"]
    return Comparison(
        task=task,
        num_items=len(pairs),
        accuracies=(_accuracy(firsts), _accuracy(seconds)),
        difference=difference["difference"],
        interval=(low, high),
        p_value=mcnemar(len(gained), len(lost)),
        gained=gained,
        lost=lost,
        num_both=sum(bool(one.correct and other.correct) for one, other in pairs),
        warnings=warnings,
    )


def _accuracy(predictions: Sequence[Prediction]) -> float:
    return sum(bool(prediction.correct) for prediction in predictions) / len(predictions)


def _warnings(
    task: str, recorded: Sequence[dict[str, Any]], num_pairs: int, counts: tuple[int, int]
) -> list[str]:
    warnings = []
    if set(counts) != {num_pairs}:
        warnings.append(f"{num_pairs} items are compared of {counts[0]} and {counts[1]}")
    for name in ("prompts_sha256", "metric", "split"):
        if len({str(one["tasks"][task].get(name)) for one in recorded}) > 1:
            warnings.append(f"the runs differ in {name}")
    if recorded[0]["frames"] != recorded[1]["frames"]:
        warnings.append("the runs show other frames")
    return warnings
