"""The tables and the plot of `docs/results.md`, from the study's runs on record.

The page's prose is written by hand; each table stands between two marks and is replaced.
"""

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.pages import markdown_table, replace_tables

__all__ = ["write_report"]

NAMES = {
    "none": "from scratch",
    "alignment": "visible alignment",
    "token": "autoregression by token",
    "frame": "autoregression by frame",
    "sparse": "by frame + alignment, a quarter of each frame only",
    "frame+alignment": "by frame + alignment",
}
Scores = dict[str, list[float]]


def write_report(runs: Mapping[str, Mapping[str, Any]], page: Path) -> str:
    """Replace the tables of a page, made where it is missing, and draw its plot.

    Args:
        runs: Finished runs by name, as `claims_record.Record` keeps them.
        page: Markdown file; the plot goes beside it.

    Returns:
        The tables.
    """
    percents = sorted({int(name.split("/")[2]) for name in runs if name.startswith("labels/")})
    labels = {percent: _scores(runs, rf"labels/(.+)/{percent}/\d+") for percent in percents}
    asked = [(percents[0], r"short/(.+)/\d+")] if percents else []
    asked += [(percent, rf"labels/(.+)/{percent}/\d+") for percent in percents]
    columns = {
        f"{percent} % of labels, {steps} steps": _scores(runs, pattern)
        for percent, pattern in asked
        if (steps := _steps(runs, pattern))
    }
    tables = {
        "patterns": _table("layers", {"top-1": _scores(runs, r"pattern/(.+)/\d+")}),
        "objectives": _table("pretraining", columns),
        "surv": _table("fights", {"top-1": _scores(runs, r"surv/(.+)/\d+")}),
        "made": _made_with(runs.values()),
    }
    replace_tables(page, tables)
    _draw(labels, page.with_suffix(".png"))
    return "\n\n".join(tables.values())


def _scores(runs: Mapping[str, Mapping[str, Any]], pattern: str) -> Scores:
    """Return top-1 accuracies in percent by what the pattern's group finds in a run's name."""
    found: Scores = {}
    for name, run in runs.items():
        match = re.fullmatch(pattern, name)
        if match:
            found.setdefault(match[1], []).append(100 * run["top1"])
    return found


def _steps(runs: Mapping[str, Mapping[str, Any]], pattern: str) -> str:
    """Return how many steps the runs of a pattern took, from their command line."""
    given = (run["arguments"] for name, run in runs.items() if re.fullmatch(pattern, name))
    return "/".join(sorted({words[words.index("--max_steps") + 1] for words in given}))


def _table(head: str, columns: dict[str, Scores]) -> str:
    rows = list(dict.fromkeys(name for scores in columns.values() for name in scores))
    rows.sort(key=lambda name: list(NAMES).index(name) if name in NAMES else -1)
    return markdown_table(
        [head, *columns],
        (
            [NAMES.get(name, name), *(_mean_and_spread(s.get(name, [])) for s in columns.values())]
            for name in rows
        ),
    )


def _mean_and_spread(values: Sequence[float]) -> str:
    """Return "mean ± standard deviation (n)"."""
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.1f}{spread} ({len(values)})"


def _made_with(runs: Iterable[Mapping[str, Any]]) -> str:
    made = sorted(
        {
            f"commit {run['commit']}, torch {run['packages']['torch']}, transformers "
            f"{run['packages']['transformers']}, {run['cpu']}"
            for run in runs
        }
    )
    return f"Made with {'; '.join(made)}; each run on one thread."


def _draw(labels: dict[int, Scores], path: Path) -> None:
    """Plot accuracy over the share of labels, a line for each way of pretraining."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for name, label in NAMES.items():
        points = [(percent, scores[name]) for percent, scores in labels.items() if name in scores]
        if points:
            means = [statistics.fmean(values) for _, values in points]
            spreads = [statistics.stdev(v) if len(v) > 1 else 0.0 for _, v in points]
            percents = [percent for percent, _ in points]
            axes.errorbar(percents, means, spreads, marker="o", capsize=3, label=label)
    axes.set(xscale="log", xlabel="labels used, %", ylabel="top-1, %")
    axes.set_xticks(list(labels), [str(percent) for percent in labels])
    if axes.lines:
        axes.legend(fontsize=8)
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(path, dpi=120)
