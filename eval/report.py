"""What a run prints: a table of families by conditions, and one line that sums it up."""

from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from videollm.eval.settings import MODEL_CONDITION

__all__ = ["build_table", "summarise"]


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
    unparsable = [values["num_unparsable"] for values in overall]
    if any(unparsable):
        table.add_row("unparsable", "", *map(str, unparsable))
    return table


def summarise(name: str, scores: dict[str, Any]) -> str:
    """Return one line: the model's accuracy, and what it gains over the baselines.

    Args:
        name: Task and split.
        scores: Scores of one task, as `videollm.eval.results.score_task` returns them.
    """
    overall = scores["conditions"][MODEL_CONDITION]["overall"]
    low, high = overall["interval"]
    parts = [
        f"{name}: {100 * overall['accuracy']:.1f} % of {overall['num_items']} right "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f})"
    ]
    for baseline, gains in scores["differences"].items():
        part = f"{100 * gains['overall']['difference']:+.1f} points over {baseline}"
        if "motion" in gains["families"]:
            part += f" ({100 * gains['families']['motion']['difference']:+.1f} on motion)"
        parts.append(part)
    return ", ".join(parts)


def _percent(values: dict[str, Any]) -> str:
    return f"{100 * values['accuracy']:.1f}"


def _interval(values: dict[str, Any]) -> str:
    low, high = values["interval"]
    return f"{100 * low:.0f}-{100 * high:.0f}"
