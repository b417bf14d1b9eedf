"""What a run prints: a table of families by conditions, and one line that sums it up."""

from collections.abc import Iterator
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from videollm.eval.compare import Comparison
from videollm.eval.settings import MODEL_CONDITION

__all__ = ["build_table", "describe_comparison", "summarise"]

_COUNTS = {
    "num_unparsable": "unparsable",
    "num_failed": "failed",
    "num_unjudged": "not judged",
}


def build_table(name: str, scores: dict[str, Any]) -> Table:
    """Return a table of accuracies in percent, families down and conditions across.

    Args:
        name: Title: task and split.
        scores: Scores of one task, as `videollm.eval.results.score_task` returns them.
    """
    conditions: dict[str, Any] = scores["conditions"]
    table = Table(title=f"{name}: right answers in %", box=SIMPLE)
    table.add_column("family", no_wrap=True)
    table.add_column("items", justify="right", no_wrap=True)
    for condition in conditions:
        table.add_column(condition, justify="right", no_wrap=True)
    for family, model in conditions[MODEL_CONDITION]["families"].items():
        cells = [values["families"][family] for values in conditions.values()]
        table.add_row(family, str(model["num_items"]), *map(_percent, cells))
    table.add_section()
    overall = [values["overall"] for values in conditions.values()]
    table.add_row("overall", str(scores["num_items"]), *map(_percent, overall))
    table.add_row("95 % interval", "", *map(_interval, overall))
    if conditions[MODEL_CONDITION]["score"]["average"] == "families":
        means = [values["score"] for values in conditions.values()]
        table.add_row("mean of families", "", *(_percent(one, "value") for one in means))
    for measure in conditions[MODEL_CONDITION]["overall"]["measures"]:
        marks = [values["measures"].get(measure, {}).get("mean") for values in overall]
        table.add_row(measure, "", *("-" if mark is None else f"{mark:.3f}" for mark in marks))
    for count, label in _COUNTS.items():
        numbers = [values[count] for values in overall]
        if any(numbers):
            table.add_row(label, "", *map(str, numbers))
    return table


def summarise(name: str, scores: dict[str, Any]) -> str:
    """Return one line: the model's accuracy, and what it gains over the baselines.

    Args:
        name: Task and split.
        scores: Scores of one task, as `videollm.eval.results.score_task` returns them.
    """
    model = scores["conditions"][MODEL_CONDITION]
    overall = model["overall"]
    num_scored = overall["num_items"] - overall["num_failed"] - overall["num_unjudged"]
    if overall["accuracy"] is None:
        return f"{name}: none of {overall['num_items']} items could be scored"
    low, high = overall["interval"]
    parts = [
        f"{name}: {100 * overall['accuracy']:.1f} % of {num_scored} right "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f})"
    ]
    if model["score"]["average"] == "families":
        parts.append(f"{_percent(model['score'], 'value')} % as the mean of families")
    for baseline, gains in scores["differences"].items():
        if gains["overall"]["difference"] is None:
            continue
        part = f"{100 * gains['overall']['difference']:+.1f} points over {baseline}"
        if "motion" in gains["families"]:
            part += f" ({100 * gains['families']['motion']['difference']:+.1f} on motion)"
        parts.append(part)
    left_out = overall["num_items"] - num_scored
    if left_out:
        parts.append(f"{left_out} items without a score")
    return ", ".join(parts)


def describe_comparison(comparison: Comparison, *, show: int = 10) -> Iterator[str]:
    """Yield the lines that tell what two runs did differently.

    Args:
        comparison: As `compare_runs` returns it.
        show: Flipped items to name, of each kind.
    """
    first, second = comparison.accuracies
    low, high = comparison.interval
    yield (
        f"{comparison.task}: {100 * first:.1f} % -> {100 * second:.1f} % of "
        f"{comparison.num_items} items, {100 * comparison.difference:+.1f} points "
        f"(95 % interval {100 * low:+.1f} to {100 * high:+.1f})"
    )
    gained, lost = len(comparison.gained), len(comparison.lost)
    neither = comparison.num_items - comparison.num_both - gained - lost
    yield (
        f"both right {comparison.num_both}, neither {neither}, gained {gained}, lost {lost}; "
        f"McNemar p = {comparison.p_value:.3g}"
    )
    for warning in comparison.warnings:
        yield f"beware: {warning}"
    for word, flips in (("gained", comparison.gained), ("lost", comparison.lost)):
        for one, other in flips[:show]:
            yield f"{word} {one.id} ({one.answer}): {one.output!r} -> {other.output!r}"
        if len(flips) > show:
            yield f"{word} ... and {len(flips) - show} more"


def _percent(values: dict[str, Any], name: str = "accuracy") -> str:
    return "-" if values[name] is None else f"{100 * values[name]:.1f}"


def _interval(values: dict[str, Any]) -> str:
    if values["interval"] is None:
        return "-"
    low, high = values["interval"]
    return f"{100 * low:.0f}-{100 * high:.0f}"
