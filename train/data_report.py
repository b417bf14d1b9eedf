"""What a check of data found: on the terminal, as JSON, a histogram and a page of samples."""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["DataReport", "MemberReport", "Sample", "print_report", "write_report"]

_SHOWN = 20
_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Samples</title>
<style>
body {{ font-family: sans-serif; max-width: 60em; margin: 2em auto; }}
pre {{ white-space: pre-wrap; border: 1px solid #bbb; padding: 1em; }}
mark {{ background: #b6f0b6; }}
</style>
<h1>Samples</h1>
<p>Marked is what the model learns to say; the rest is its prompt.</p>
{samples}
"""


@dataclass(frozen=True, slots=True)
class MemberReport:
    """Hold what was found in one data set.

    Args:
        name: Of the data set.
        num_listed: Records in its files.
        num_chosen: Of those, the ones that its sampling takes.
        num_usable: Of those, the ones that are not bad.
        kinds: Usable ones by kind.
        missing: Records with a missing medium: "name: path".
        num_drawn: Samples of it in one pass of the mixture.
    """

    name: str
    num_listed: int
    num_chosen: int
    num_usable: int
    kinds: Mapping[str, int]
    missing: Sequence[str]
    num_drawn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Hold one rendered sample.

    Args:
        name: Where it stands.
        num_tokens: Of its first dialogue.
        num_dialogues: That share its clips.
        frames: Of each clip.
        pieces: Its text, each piece with whether it is supervised.
    """

    name: str
    num_tokens: int
    num_dialogues: int
    frames: Sequence[int]
    pieces: Sequence[tuple[str, bool]]

    @property
    def title(self) -> str:
        """One line about it."""
        more = f", the first of {self.num_dialogues} dialogues" if self.num_dialogues > 1 else ""
        frames = ", ".join(map(str, self.frames)) or "none"
        return f"{self.name}: {self.num_tokens} tokens, frames: {frames}{more}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """Hold what a check found.

    Args:
        members: The data sets.
        bad: Reasons by the names of bad samples.
        num_samples: Samples that were checked; those of the toy world are never bad.
        max_bad: Share of bad ones that is allowed.
        lengths: Tokens of usable samples.
        max_length: The most that a sample may have.
        is_exact: Whether all media were read for the lengths.
        samples: A few, rendered.
    """

    members: Sequence[MemberReport]
    bad: Mapping[str, str]
    num_samples: int
    max_bad: float
    lengths: Sequence[int]
    max_length: int
    is_exact: bool
    samples: Sequence[Sample]

    @property
    def is_too_bad(self) -> bool:
        """Whether a run with this data would fail, as far as is known."""
        return bool(self.empty) or len(self.bad) > self.max_bad * self.num_samples

    @property
    def empty(self) -> list[str]:
        """Names of data sets without a usable sample."""
        return [member.name for member in self.members if not member.num_usable]

    @property
    def quantiles(self) -> dict[str, int]:
        """Tokens of the shortest, the median, the 95th in a hundred and the longest sample."""
        if not self.lengths:
            return {}
        shares = {"shortest": 0.0, "median": 0.5, "p95": 0.95, "longest": 1.0}
        return {name: int(np.quantile(self.lengths, share)) for name, share in shares.items()}


def write_report(report: DataReport, folder: Path) -> None:
    """Write `check.json`, `lengths.png`, `samples.html` and `missing_media.txt` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    summary = {
        "data_sets": [
            {
                "name": member.name,
                "listed": member.num_listed,
                "chosen": member.num_chosen,
                "usable": member.num_usable,
                "kinds": dict(member.kinds),
                "missing_media": len(member.missing),
                "drawn_in_a_pass": member.num_drawn,
            }
            for member in report.members
        ],
        "bad": len(report.bad),
        "checked": report.num_samples,
        "max_bad": float(report.max_bad),
        "tokens": {**report.quantiles, "counted": len(report.lengths), "exact": report.is_exact},
        "passes": not report.is_too_bad,
    }
    (folder / "check.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    missing = [line for member in report.members for line in member.missing]
    text = "".join(f"{line}\n" for line in missing)
    (folder / "missing_media.txt").write_text(text, encoding="utf-8")
    _plot(report, folder / "lengths.png")
    samples = "\n".join(map(_section, report.samples))
    (folder / "samples.html").write_text(_PAGE.format(samples=samples), encoding="utf-8")


def _section(sample: Sample) -> str:
    pieces = [
        f"<mark>{html.escape(text)}</mark>" if supervised else html.escape(text)
        for text, supervised in sample.pieces
    ]
    return f"<h2>{html.escape(sample.title)}</h2>\n<pre>{''.join(pieces)}</pre>"


def _plot(report: DataReport, path: Path) -> None:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.hist(report.lengths, bins=40)
    axes.axvline(report.max_length, color="tab:red", linestyle="--", label="max_length")
    axes.set_xlabel("tokens of a sample" if report.is_exact else "tokens of a sample, estimated")
    axes.set_ylabel("samples")
    axes.legend()
    figure.savefig(path)


def print_report(report: DataReport, folder: Path) -> None:
    """Print a report for people; bad samples beyond the first are only in the folder's files."""
    console = Console(soft_wrap=True)
    table = Table("data set", "listed", "chosen", "usable", "in a pass", "kinds")
    for member in report.members:
        kinds = ", ".join(f"{count} {kind}" for kind, count in member.kinds.items())
        numbers = (member.num_listed, member.num_chosen, member.num_usable, member.num_drawn)
        table.add_row(Text(member.name), *map(str, numbers), kinds)
    console.print(table)
    tokens = ", ".join(f"{name} {count}" for name, count in report.quantiles.items())
    kind = "exact" if report.is_exact else "estimated"
    console.print(
        f"tokens of a sample ({kind}): {tokens or 'none'}; max_length {report.max_length}"
    )
    for sample in report.samples:
        console.print(Text(f"\n{sample.title}", style="bold"))
        line = Text()
        for text, supervised in sample.pieces:
            line.append(text, style="black on green" if supervised else "")
        console.print(line)
    console.print()
    _print_some(console, "missing media", [x for item in report.members for x in item.missing])
    _print_some(console, "bad samples", [f"{name}: {why}" for name, why in report.bad.items()])
    _print_some(console, "data sets without a usable sample", report.empty)
    console.print(
        f"{len(report.bad)} of {report.num_samples} samples are bad; max_bad = {report.max_bad:g}: "
        f"{'a run would fail' if report.is_too_bad else 'within it'}",
        style="red" if report.is_too_bad else "green",
    )
    if not report.is_exact:
        console.print("only some media were read; --decode reads them all")
    console.print(Text(f"lengths.png, samples.html, check.json, bad_samples.jsonl: {folder}"))


def _print_some(console: Console, what: str, lines: Sequence[str]) -> None:
    if lines:
        console.print(f"{len(lines)} {what}:")
    for line in lines[:_SHOWN]:
        console.print(Text(f"  {line}"))
    if len(lines) > _SHOWN:
        console.print(f"  and {len(lines) - _SHOWN} more")
