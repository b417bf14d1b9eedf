"""The page that a run leaves: its curves as a picture, its last numbers, what it answered when."""

import html
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from videollm.train.callbacks import METRICS_FILE
from videollm.train.held_out import ANSWERS_FILE
from videollm.train.records import StepRecords

__all__ = ["PLOT_FILE", "SUMMARY_FILE", "RunSummary", "draw_curves", "summary_page"]

logger = logging.getLogger(__name__)

PLOT_FILE = "loss.png"
SUMMARY_FILE = "summary.html"
MAX_ROUNDS = 6

Records = Sequence[Mapping[str, Any]]

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #8884;padding:.3rem .6rem;"
    "text-align:left;vertical-align:top}td.right{background:#2a24}td.wrong{background:#a222}"
    "img{max-width:100%}:root{color-scheme:light dark}"
)


class RunSummary(TrainerCallback):
    """Write `loss.png` and `summary.html` when the run ends.

    Args:
        settings: What the recipe set, to be shown; None values are left out.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        """Write both; the picture only where matplotlib is installed."""
        if not state.is_world_process_zero:
            return
        assert args.output_dir is not None
        folder = Path(args.output_dir)
        records = StepRecords(folder / METRICS_FILE).read()
        answers = StepRecords(folder / ANSWERS_FILE).read()
        try:
            draw_curves(records, answers, folder / PLOT_FILE)
        except ImportError:
            logger.warning("no %s: matplotlib is missing (pip install videollm[train])", PLOT_FILE)
        page = summary_page(folder.name, self.settings, records, answers)
        (folder / SUMMARY_FILE).write_text(page, encoding="utf-8")


def draw_curves(records: Records, answers: Records, path: Path) -> None:
    """Draw the losses, the learning rate, the speed, and how many held-out answers were right.

    Args:
        records: Of the metrics file.
        answers: Of the answers file; may be empty.
        path: The picture to write.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    losses = {"loss": "training", "eval_loss": "validation"}
    parts = dict.fromkeys(
        name for record in records if "loss" in record for name in record if name.endswith("_loss")
    )
    losses |= {name: name.removesuffix("_loss") for name in parts}
    panels: list[tuple[str, dict[str, str]]] = [
        ("loss", losses),
        ("learning rate", {"learning_rate": ""}),
        ("samples a second", {"samples_per_second": ""}),
    ]
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    axes = figure.subplots(2, 2).flat
    for (title, lines), axis in zip(panels, axes, strict=False):
        for name, label in lines.items():
            points = [(item["step"], item[name]) for item in records if name in item]
            if points:
                axis.plot(*zip(*points, strict=True), label=label)
        axis.set(xlabel="step", title=title)
        axis.grid(visible=True, alpha=0.3)
        if len(axis.lines) > 1:
            axis.legend()
    rounds = _rounds(answers)
    shares = [100 * sum(item["right"] for item in asked) / len(asked) for asked in rounds.values()]
    last = figure.axes[-1]
    last.plot(list(rounds), shares, marker="o")
    last.set(xlabel="step", title="held-out answers, % right", ylim=(-5, 105))
    last.grid(visible=True, alpha=0.3)
    if not rounds:
        last.set_axis_off()
    for axis in figure.axes:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.savefig(path, dpi=110)


def summary_page(name: str, settings: Mapping[str, Any], records: Records, answers: Records) -> str:
    """Return the page as HTML; what comes from data or models is shown as text.

    Args:
        name: Of the run.
        settings: By key.
        records: Of the metrics file.
        answers: Of the answers file; may be empty.
    """
    last: dict[str, Any] = {}
    for record in records:
        last |= record
    shown = {key: value for key, value in settings.items() if value is not None}
    return "\n".join(
        [
            "<!doctype html><html lang=en><meta charset=utf-8>",
            f"<title>{html.escape(name)}</title><style>{_STYLE}</style>",
            f"<h1>{html.escape(name)}</h1>",
            f'<img src="{PLOT_FILE}" alt="Curves of the run">',
            "<h2>Last values</h2>",
            _pairs(last),
            *(["<h2>Held-out questions</h2>", _answers(answers)] if answers else []),
            f"<details><summary>Settings</summary>{_pairs(shown)}</details></html>",
        ]
    )


def _pairs(values: Mapping[str, Any]) -> str:
    rows = [
        f"<tr><th>{html.escape(str(key))}<td>{html.escape(_short(value))}"
        for key, value in values.items()
    ]
    return f"<table>{''.join(rows)}</table>"


def _short(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _rounds(answers: Records) -> dict[int, list[Mapping[str, Any]]]:
    rounds: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for record in answers:
        rounds[record["step"]].append(record)
    return dict(rounds)


def _answers(answers: Records) -> str:
    """Return a table: a row for each question, a column for each of a few rounds."""
    rounds = _rounds(answers)
    steps = list(rounds)
    if len(steps) > MAX_ROUNDS:
        picked = [round(k * (len(steps) - 1) / (MAX_ROUNDS - 1)) for k in range(MAX_ROUNDS)]
        steps = [steps[k] for k in picked]
    head = "".join(f"<th>step {step}" for step in steps)
    rows = [f"<tr><th>question<th>reference{head}"]
    for place, asked in enumerate(rounds[steps[0]]):
        cells = [f"<td>{html.escape(asked['question'])}<td>{html.escape(asked['reference'])}"]
        for step in steps:
            record = rounds[step][place]
            kind = "right" if record["right"] else "wrong"
            cells.append(f'<td class="{kind}">{html.escape(record["answer"])}')
        rows.append(f"<tr>{''.join(cells)}")
    return f"<table>{''.join(rows)}</table>"
