"""The report for people: one HTML file with scores, bars, and the worst items with their frames.

It holds all it needs, so that it can be sent and opened anywhere.
"""

import base64
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from PIL import Image

from videollm.clip import Clip
from videollm.errors import VideoLLMError
from videollm.eval.predictions import Prediction
from videollm.eval.settings import MODEL_CONDITION

__all__ = ["ClipSource", "worst_items", "write_report"]

ClipSource = Callable[[str], Clip]
"""Returns the clip that a prediction's `video` names."""

MAX_WORST = 12
_MAX_FRAMES = 8
_FRAME_SIDE = 160


def write_report(
    path: Path,
    results: Mapping[str, Any],
    predictions: Sequence[Prediction],
    sources: Mapping[str, ClipSource],
) -> None:
    """Write the report of a run.

    Args:
        path: The file.
        results: As `results.json` holds them.
        predictions: All, scored.
        sources: How each task's clips are loaded; a task that is missing shows no frames.
    """
    parts = [_head(results)]
    for name, scores in results["tasks"].items():
        asked = [
            one for one in predictions if one.task == name and one.condition == MODEL_CONDITION
        ]
        parts += [_task(name, scores), _worst(worst_items(asked), sources.get(name))]
    parts.append(_record(results))
    style = resources.files("videollm.eval").joinpath("report.css").read_text(encoding="utf-8")
    title = escape(f"{results['model']['name']}: {', '.join(results['tasks'])}")
    text = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{style}</style></head>\n<body><main>\n"
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )
    partial = path.with_suffix(".html.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def worst_items(predictions: Iterable[Prediction], count: int = MAX_WORST) -> list[Prediction]:
    """Return what went most wrong, every family in turn.

    Within a family: what failed, then what could not be parsed, then the surest or farthest of
    the wrong answers, then the order of the file.

    Args:
        predictions: Those of one task and condition, scored.
        count: How many at most.
    """
    families: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        if prediction.error or not prediction.correct:
            families[prediction.family].append(prediction)
    for members in families.values():
        members.sort(key=_badness)
    longest = max(map(len, families.values()), default=0)
    in_turn = [
        members[rank]
        for rank in range(longest)
        for members in families.values()
        if rank < len(members)
    ]
    return in_turn[:count]


def _badness(prediction: Prediction) -> tuple[bool, bool, float]:
    """Return a key that sorts the worst first."""
    if prediction.option_scores:
        right = prediction.option_scores[prediction.choices.index(prediction.answer)]
        return not prediction.error, False, right - max(prediction.option_scores)
    nearness = min(prediction.measures.values(), default=0.0)
    return not prediction.error, prediction.parsed is not None, nearness


def _head(results: Mapping[str, Any]) -> str:
    model, frames = results["model"], results["frames"]
    adapter = f" with the adapter {escape(model['adapter'])}" if model["adapter"] else ""
    judge = f", judged by {escape(results['judge']['name'])}" if results.get("judge") else ""
    rate = (
        f"{frames['fps']:g} frames a second"
        if frames.get("fps")
        else f"{frames['num_frames']} frames"
    )
    return (
        f"<h1>{escape(model['name'])}{adapter}</h1>\n<p class=quiet>{rate}, "
        f"{escape(str(frames['policy']))} sampling, greedy answers on {escape(model['device'])}"
        f"{judge}. Whiskers are 95 % bootstrap intervals over videos. Items that failed or were "
        "not judged are outside the scores.</p>"
    )


def _task(name: str, scores: Mapping[str, Any]) -> str:
    model = scores["conditions"][MODEL_CONDITION]
    over = "mean of families" if model["score"]["average"] == "families" else "of all items"
    counts = model["overall"]
    facts = [f"{counts['num_items']} items about {scores['num_videos']} videos"]
    for key, word in (
        ("num_unparsable", "unparsable"),
        ("num_failed", "failed"),
        ("num_unjudged", "not judged"),
    ):
        if counts[key]:
            facts.append(f"{counts[key]} {word}")
    if num_flawed := scores["clips"].get("num_flawed"):
        facts.append(f"{num_flawed} of the files' items are flawed and were not asked")
    parts = [
        f"<h2>{escape(name)} <small>{escape(str(scores['split']))}</small></h2>",
        f"<p class=score>{_percent(model['score']['value'])} <small>{over}, "
        f"{_interval(model['score']['interval'])}</small></p><p>{escape('; '.join(facts))}</p>",
        _conditions(scores["conditions"]),
        "<h3>By family</h3>",
        _bars(
            {
                family: _across(scores["conditions"], "families", family)
                for family in model["families"]
            }
        ),
    ]
    for axis, values in model["groups"].items():
        parts.append(f"<h3>By {escape(axis.replace('_', ' '))}</h3>")
        parts.append(_bars({value: {MODEL_CONDITION: one} for value, one in values.items()}))
    for line in scores["failed"]:
        parts.append(f"<p class=failed>{escape(line)}</p>")
    return "\n".join(parts)


def _across(conditions: Mapping[str, Any], part: str, name: str) -> dict[str, Any]:
    return {condition: values[part][name] for condition, values in conditions.items()}


def _conditions(conditions: Mapping[str, Any]) -> str:
    measures = dict.fromkeys(
        name for values in conditions.values() for name in values["overall"]["measures"]
    )
    head = "".join(f"<th>{escape(name)}</th>" for name in ("accuracy", "95 %", *measures))
    rows = []
    for condition, values in conditions.items():
        overall = values["overall"]
        cells = [_percent(overall["accuracy"]), _interval(overall["interval"])]
        cells += [
            f"{overall['measures'][name]['mean']:.3f}" if name in overall["measures"] else ""
            for name in measures
        ]
        rows.append(
            f"<tr><th>{escape(condition)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        )
    return f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"


def _bars(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a bar for each row's model, a tick for each baseline."""
    lines = []
    for name, conditions in rows.items():
        model = conditions[MODEL_CONDITION]
        value = model["accuracy"]
        inside = ""
        if value is not None:
            low, high = model["interval"]
            inside = f'<b style="width:{100 * value:.1f}%"></b>' + (
                f'<u style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></u>'
            )
        for condition, other in conditions.items():
            if condition != MODEL_CONDITION and other["accuracy"] is not None:
                place = f"left:{100 * other['accuracy']:.1f}%"
                label = escape(f"{condition}: {_percent(other['accuracy'])}")
                inside += f'<i class="{escape(condition)}" style="{place}" title="{label}"></i>'
        lines.append(
            f"<div class=row><span>{escape(name)}</span><div class=bar>{inside}</div>"
            f"<em>{_percent(value)}</em><small>{model['num_items']}</small></div>"
        )
    names = dict.fromkeys(one for row in rows.values() for one in row if one != MODEL_CONDITION)
    legend = "".join(f'<i class="{escape(name)}"></i>{escape(name)} ' for name in names)
    return f"<div class=bars>{''.join(lines)}<p class=legend>{legend}</p></div>"


def _worst(items: Sequence[Prediction], source: ClipSource | None) -> str:
    if not items:
        return "<p>Nothing is wrong.</p>"
    cards = [_card(item, source) for item in items]
    return f"<h3>The worst of it</h3><div class=cards>{''.join(cards)}</div>"


def _card(item: Prediction, source: ClipSource | None) -> str:
    rows = [("asked", item.question), ("right", " or ".join((item.answer, *item.aliases)))]
    rows.append(("failed", item.error) if item.error else ("said", item.output or "(nothing)"))
    if not item.error:
        rows.append(("read as", item.parsed if item.parsed is not None else "unparsable"))
    if item.measures:
        rows.append(
            ("marks", ", ".join(f"{name} {mark:.2f}" for name, mark in item.measures.items()))
        )
    listed = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in rows)
    about = f"{escape(item.id)} <small>{escape(item.family)}, {escape(item.video)}</small>"
    return (
        f"<article><h4>{about}</h4>"
        f"<div class=frames>{_frames(item, source)}</div><dl>{listed}</dl></article>"
    )


def _frames(item: Prediction, source: ClipSource | None) -> str:
    if source is None or item.error:
        return ""
    try:
        clip = source(item.video)
    except (VideoLLMError, OSError) as error:
        return f"<p class=failed>no frames: {escape(str(error))}</p>"
    step = max(1, -(-len(clip) // _MAX_FRAMES))
    figures = []
    for number in range(0, len(clip), step):
        picture = Image.fromarray(clip.frames[number].permute(1, 2, 0).numpy())
        picture.thumbnail((_FRAME_SIDE, _FRAME_SIDE))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=80)
        data = base64.b64encode(buffer.getvalue()).decode()
        seconds = float(clip.pts_seconds[number])
        figures.append(
            f'<figure><img alt="" src="data:image/jpeg;base64,{data}">'
            f"<figcaption>{seconds:.2f} s</figcaption></figure>"
        )
    return "".join(figures)


def _record(results: Mapping[str, Any]) -> str:
    names = ("model", "frames", "generation", "settings", "judge", "timing", "environment")
    record = {name: results.get(name) for name in names}
    record["tasks"] = {
        name: {key: scores.get(key) for key in ("split", "metric", "prompts_sha256", "clips")}
        for name, scores in results["tasks"].items()
    }
    text = escape(json.dumps(record, indent=2, ensure_ascii=False))
    return f"<details><summary>How these numbers came about</summary><pre>{text}</pre></details>"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _interval(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"
