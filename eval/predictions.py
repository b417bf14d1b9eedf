"""The file of predictions: one JSON line per item and condition, written as they come.

The file is the evidence of a run. Scores are computed from it alone, so they can be computed
again, and a run that was killed goes on from its last whole line.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from videollm.errors import DataError
from videollm.eval.conditions import Reply
from videollm.eval.task import Example, Score

__all__ = ["Prediction", "PredictionLog", "read_predictions", "write_predictions"]

_TUPLES = ("aliases", "choices", "frame_seconds", "option_scores")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Hold one answer and its score.

    Args:
        task: Name of the benchmark.
        condition: Who answered and what was shown, as `videollm.eval.conditions` names it.
        id: Name of the item within its task.
        family: Family of the question.
        video: Name of the clip.
        question: The text that was asked.
        choices: The answers on offer; empty for an open question.
        answer: The right answer.
        aliases: Other right answers.
        output: What was generated, untouched; the likeliest choice where likelihoods decide.
        parsed: The answer found in the output, or None.
        correct: Whether it is right; None where it is not scored: it failed, or waits for a judge.
        frame_seconds: (T,), when each shown frame happens in the clip, in the order shown.
        history: The turns before the question; files of older versions have none.
        groups: Further names by which scores are broken down, by axis.
        subtitles: File of subtitles that are part of the question; empty for none.
        reference: What a judge is told beside the answer; empty for nothing.
        option_scores: Log-probability of each choice, where likelihoods decide.
        measures: Further scores by name.
        error: Why the item could not be asked; empty where it was.
    """

    task: str
    condition: str
    id: str
    family: str
    video: str
    question: str
    choices: tuple[str, ...]
    answer: str
    aliases: tuple[str, ...]
    output: str
    parsed: str | None
    correct: bool | None
    frame_seconds: tuple[float, ...]
    history: tuple[tuple[str, str], ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    subtitles: str = ""
    reference: str = ""
    option_scores: tuple[float, ...] = ()
    measures: Mapping[str, float] = field(default_factory=dict)
    error: str = ""

    @classmethod
    def of(
        cls, example: Example, reply: Reply, score: Score, *, task: str, condition: str
    ) -> "Prediction":
        """Return the prediction that an example, its reply and its score make."""
        return cls(
            task=task,
            condition=condition,
            **asdict(example),
            output=reply.output,
            parsed=score.parsed,
            correct=score.correct,
            frame_seconds=reply.frame_seconds,
            option_scores=reply.option_scores,
            measures=score.measures,
        )

    @classmethod
    def of_failure(cls, example: Example, error: str, *, task: str, condition: str) -> "Prediction":
        """Return the prediction of an item that could not be asked, with the reason."""
        return cls(
            task=task,
            condition=condition,
            **asdict(example),
            output="",
            parsed=None,
            correct=None,
            frame_seconds=(),
            error=error,
        )

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what makes a prediction unique in its file: task, condition and item."""
        return self.task, self.condition, self.id

    def example(self) -> Example:
        """Return the example that was asked."""
        return Example(**{one.name: getattr(self, one.name) for one in fields(Example)})

    def to_line(self) -> str:
        """Return the line of the file, its end included."""
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"


def _parse_line(line: str, path: Path, number: int) -> Prediction:
    try:
        values: dict[str, Any] = json.loads(line)
        for name in _TUPLES:
            values[name] = tuple(values.get(name, ()))
        values["history"] = tuple((q, a) for q, a in values.get("history", ()))
        return Prediction(**values)
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: line {number} is not a prediction ({error}); "
            "mend the line, or delete the folder and run again"
        ) from error


def read_predictions(path: Path) -> list[Prediction]:
    """Return the predictions of a file, in its order; a last line without an end is left out.

    Args:
        path: The file; it may be missing, which is as good as empty.

    Raises:
        DataError: A whole line is not a prediction, or an item is there twice.
    """
    if not path.is_file():
        return []
    lines = path.read_bytes().decode("utf-8", errors="replace").split("\n")[:-1]
    predictions = [_parse_line(line, path, number) for number, line in enumerate(lines, start=1)]
    seen: set[tuple[str, str, str]] = set()
    for number, prediction in enumerate(predictions, start=1):
        if prediction.key in seen:
            raise DataError(
                f"{path}: line {number} repeats {' '.join(prediction.key)}; "
                "delete the folder and run again"
            )
        seen.add(prediction.key)
    return predictions


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write a file of predictions, whole or not at all.

    Args:
        path: The file.
        predictions: What it is to hold, in order.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    text = "".join(prediction.to_line() for prediction in predictions)
    partial.write_text(text, encoding="utf-8", newline="\n")
    os.replace(partial, path)


class PredictionLog:
    """Append predictions to a file that may already hold some.

    Each call of `add` reaches the operating system before it returns, so that a killed process
    loses at most the line it was writing; that line is cut off when the file is opened again.
    Items that failed are forgotten then, to be tried again.

    Args:
        path: The file; it is created when missing.
        known: Predictions that are elsewhere and are not to be written again.

    Raises:
        DataError: The file holds something that is not a prediction.
    """

    def __init__(self, path: Path, *, known: Iterable[Prediction] = ()) -> None:
        there = read_predictions(path)
        self._predictions = [prediction for prediction in there if not prediction.error]
        if len(self._predictions) < len(there):
            write_predictions(path, self._predictions)
        self._predictions += (prediction for prediction in known if not prediction.error)
        self._done = {prediction.key for prediction in self._predictions}
        _cut_half_line(path)
        self._file: TextIO = path.open("a", encoding="utf-8", newline="\n")

    def __enter__(self) -> "PredictionLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def __contains__(self, key: tuple[str, str, str]) -> bool:
        return key in self._done

    @property
    def predictions(self) -> list[Prediction]:
        """Return all predictions so far, in the order of the file."""
        return list(self._predictions)

    def add(self, predictions: Iterable[Prediction]) -> int:
        """Append those predictions that are not in the file yet, and return their number."""
        new = [prediction for prediction in predictions if prediction.key not in self._done]
        self._file.write("".join(prediction.to_line() for prediction in new))
        self._file.flush()
        self._predictions.extend(new)
        self._done.update(prediction.key for prediction in new)
        return len(new)


def _cut_half_line(path: Path) -> None:
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
