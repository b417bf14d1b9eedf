"""Scores of a classifier, and the files that keep them.

Legend: N videos, K classes.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import EvalPrediction

from videollm.errors import DataError

__all__ = ["classification_scores", "trainer_metrics", "write_results"]

logger = logging.getLogger(__name__)

_MOST_NAMED = 40
"""Classes beyond which the confusion matrix has no names on its axes."""


def classification_scores(
    logits: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]
) -> dict[str, float]:
    """Return top-1, top-5 and mean-class accuracy, in [0, 1].

    Args:
        logits: (N, K), N at least 1; any scores that order the classes.
        labels: (N,), in [0, K).

    Returns:
        `top1`; `top5` where there are more than five classes; `mean_class`, the mean over the
        classes that have videos of the share of these that is right.
    """
    right = logits.argmax(axis=1) == labels
    scores = {"top1": float(right.mean())}
    if logits.shape[1] > 5:
        best = np.argsort(-logits, axis=1, kind="stable")[:, :5]
        scores["top5"] = float((best == labels[:, None]).any(axis=1).mean())
    scores["mean_class"] = float(np.mean([right[labels == item].mean() for item in set(labels)]))
    return scores


def trainer_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """Return the scores of a validation pass over the videos that could be read."""
    logits, labels = np.asarray(prediction.predictions), np.asarray(prediction.label_ids)
    readable = labels >= 0
    return classification_scores(logits[readable], labels[readable]) if readable.any() else {}


def write_results(
    folder: Path,
    *,
    logits: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
    names: Sequence[str],
    classes: Sequence[str],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Write `results.json`, `predictions.jsonl` and `confusion.png`; return the results.

    Args:
        folder: Where; created.
        logits: (N, K), log-probabilities.
        labels: (N,), below 0 for videos that could not be read.
        names: Of the N videos.
        classes: Of the K classes.
        settings: What the test was made with.

    Raises:
        DataError: No video could be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    readable = labels >= 0
    unreadable = [name for name, fine in zip(names, readable, strict=True) if not fine]
    names = [name for name, fine in zip(names, readable, strict=True) if fine]
    logits, labels = logits[readable], labels[readable]
    if not len(labels):
        raise DataError(f"none of {len(unreadable)} videos could be read: nothing was tested")
    predicted = logits.argmax(axis=1)
    matrix = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    results = {
        "scores": classification_scores(logits, labels),
        "num_videos": len(labels),
        "unreadable": unreadable,
        "per_class": {
            name: {"videos": int(row.sum()), "right": int(row[index])}
            for index, (name, row) in enumerate(zip(classes, matrix, strict=True))
        },
        "settings": dict(settings),
    }
    text = json.dumps(results, indent=2, default=str) + "\n"
    (folder / "results.json").write_text(text, encoding="utf-8")
    with (folder / "predictions.jsonl").open("w", encoding="utf-8") as file:
        for name, label, row in zip(names, labels, logits, strict=True):
            best = np.argsort(-row, kind="stable")[:5]
            record = {
                "video": name,
                "label": classes[label],
                "predicted": classes[best[0]],
                "log_probabilities": {classes[k]: round(float(row[k]), 4) for k in best},
            }
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    _draw_confusion(matrix, classes, folder / "confusion.png")
    return results


def _draw_confusion(matrix: NDArray[np.int64], classes: Sequence[str], path: Path) -> None:
    """Draw the matrix, each row as shares of its class, where matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        logger.warning("no %s: matplotlib is missing (pip install videollm[train])", path.name)
        return
    few = len(classes) <= _MOST_NAMED
    side = min(3.0 + 0.35 * len(classes), 12.0)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1), vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the class")
    axes.set(xlabel="predicted", ylabel="true")
    if few:
        ticks = range(len(classes))
        axes.set_xticks(ticks, classes, rotation=90)
        axes.set_yticks(ticks, classes)
        if len(classes) <= 12:
            for row, column in np.ndindex(*matrix.shape):
                dark = matrix[row, column] < 0.5 * matrix[row].sum()
                colour = "white" if dark else "black"
                axes.text(
                    column, row, str(matrix[row, column]), ha="center", va="center", color=colour
                )
    figure.savefig(path, dpi=120)
