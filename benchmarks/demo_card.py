"""Write what a model of the shape world scores into its card: tables, and what was aimed for.

python -m benchmarks.demo_card RUNS PAGE

RUNS holds the output folders of `videollm eval`, by name: iid, compositional, paraphrase, choices
(iid with `--choice-fraction 1`), captions (`--families caption`), long_10, long_60, foreign. What
is not there is shown as missing.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.pages import markdown_table, replace_tables
from videollm.eval.settings import BASELINES, MODEL_CONDITION

RUNS = (
    "iid",
    "compositional",
    "paraphrase",
    "choices",
    "captions",
    "long_10",
    "long_60",
    "foreign",
)
OVERALL = "all"
LEAST = {
    OVERALL: 85,
    "colour": 92,
    "shape": 92,
    "existence": 88,
    "motion": 85,
    "direction": 85,
    "count": 80,
    "order": 80,
    "time": 70,
    "follow_up": 80,
    "premise": 90,
}
"""Percent right that `test_iid` is aimed at, by family."""

LEAST_OF_SPLITS = {"compositional": 75, "long_10": 75, "long_60": 70}
SEEN_OVER_TIME = ("motion", "direction", "speed", "order")
LEAST_GAIN, MOST_LOST_BY_WORDING = 40, 8


@dataclass(frozen=True, slots=True)
class Law:
    """Hold one aim: what is measured, the least it should be, and what it is (None: missing)."""

    what: str
    least: float
    found: float | None

    def row(self) -> list[str]:
        """Return its cells: what, at least, measured, whether it holds."""
        if self.found is None:
            return [self.what, f"{self.least:g}", "-", "not measured"]
        verdict = "yes" if self.found >= self.least else f"no, {self.least - self.found:.1f} short"
        return [self.what, f"{self.least:g}", f"{self.found:.1f}", verdict]


class Scores:
    """The scores of the runs that are there, in percent.

    Args:
        folder: Holds the runs' output folders.
    """

    def __init__(self, folder: Path) -> None:
        self.tasks: dict[str, dict[str, Any]] = {}
        for name in RUNS:
            path = folder / name / "results.json"
            if path.is_file():
                (task,) = json.loads(path.read_text(encoding="utf-8"))["tasks"].values()
                self.tasks[name] = task

    def of(self, run: str, condition: str, family: str = OVERALL) -> Mapping[str, Any] | None:
        """Return a score with its interval and counts, or None where it was not measured."""
        scores = self.tasks.get(run, {"conditions": {}})["conditions"].get(condition)
        if scores is None:
            return None
        found: Mapping[str, Any] | None
        found = scores["overall"] if family == OVERALL else scores["families"].get(family)
        return found

    def percent(self, run: str, condition: str, family: str = OVERALL) -> float | None:
        """Return the percentage of right answers, or None where it was not measured."""
        found = self.of(run, condition, family)
        return None if found is None else 100 * found["accuracy"]

    def gain(self, baseline: str, family: str = OVERALL) -> float | None:
        """Return by how many points the model is above a baseline on `test_iid`."""
        own = self.percent("iid", MODEL_CONDITION, family)
        other = self.percent("iid", baseline, family)
        return None if own is None or other is None else own - other


def main(argv: Sequence[str] | None = None) -> int:
    """Write the tables; return 1 where an aim is missed or was not measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runs", type=Path)
    parser.add_argument("page", type=Path)
    options = parser.parse_args(argv)
    scores = Scores(options.runs)
    if "iid" not in scores.tasks:
        print(f"error: {options.runs / 'iid'} holds no finished evaluation", file=sys.stderr)
        return 2
    laws = list(laws_of(scores))
    tables = {
        "families": family_table(scores),
        "splits": split_table(scores),
        "aims": markdown_table(
            ["aim", "at least", "measured", "holds"], (law.row() for law in laws)
        ),
    }
    replace_tables(options.page, tables)
    print("\n\n".join(tables.values()))
    return int(any(law.found is None or law.found < law.least for law in laws))


def laws_of(scores: Scores) -> Iterator[Law]:
    """Yield every aim that evaluations tell of."""
    for family, least in LEAST.items():
        yield Law(f"`test_iid`, {family}", least, scores.percent("iid", MODEL_CONDITION, family))
    for run, least in LEAST_OF_SPLITS.items():
        yield Law(f"`test_{run}`", least, scores.percent(run, MODEL_CONDITION))
    own = scores.percent("iid", MODEL_CONDITION)
    reworded = scores.percent("paraphrase", MODEL_CONDITION)
    change = None if own is None or reworded is None else reworded - own
    yield Law("`test_paraphrase` minus `test_iid`", -MOST_LOST_BY_WORDING, change)
    yield Law("above blind", LEAST_GAIN, scores.gain("blind"))
    for family in SEEN_OVER_TIME:
        for baseline in ("single_frame", "shuffled"):
            gain = scores.gain(baseline, family)
            yield Law(f"{family}, above {baseline}", LEAST_GAIN, gain)
    choices = scores.percent("choices", MODEL_CONDITION)
    more = None if own is None or choices is None else choices - own
    yield Law("with choices minus open", 0, more)


def family_table(scores: Scores) -> str:
    """Return the table of `test_iid`: families down, the model and its baselines across."""
    asked = scores.tasks["iid"]["conditions"]
    conditions = [name for name in BASELINES if name in asked]
    families = [*asked[MODEL_CONDITION]["families"], OVERALL]
    rows = []
    for family in families:
        own = scores.of("iid", MODEL_CONDITION, family)
        assert own is not None
        others = (scores.of("iid", name, family) for name in conditions)
        cells = [_percent(own), _interval(own), *map(_percent, others)]
        rows.append([family, str(own["num_items"]), *cells])
    rows[-1] = [rows[-1][0], *(f"**{cell}**" for cell in rows[-1][1:])]
    return markdown_table(["family", "items", "model", "95 %", *conditions], rows)


def split_table(scores: Scores) -> str:
    """Return the table of all runs: the model with its interval, blind and majority.

    Captions count by how much of the events they tell.
    """
    rows = []
    for run, task in scores.tasks.items():
        own = scores.of(run, MODEL_CONDITION)
        assert own is not None
        others = (scores.of(run, name) for name in ("blind", "majority"))
        cells = [_percent(own), _interval(own), *map(_percent, others)]
        recall = own["measures"].get("recall")
        if recall is not None:
            named = {"accuracy": recall["mean"], "interval": recall["interval"]}
            cells = [_percent(named), _interval(named), "-", "-"]
        rows.append([run, str(task["num_items"]), str(task["num_videos"]), *cells])
    head = ["run", "items", "videos", "model", "95 %", "blind", "majority"]
    return markdown_table(head, rows)


def _percent(score: Mapping[str, Any] | None) -> str:
    return "-" if score is None else f"{100 * score['accuracy']:.1f}"


def _interval(score: Mapping[str, Any]) -> str:
    low, high = score["interval"]
    return f"{100 * low:.1f} to {100 * high:.1f}"


if __name__ == "__main__":
    sys.exit(main())
