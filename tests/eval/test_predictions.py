"""Laws of the predictions' file: what is written is read back, whatever was cut off."""

import dataclasses
import json
from pathlib import Path

import pytest

from videollm.errors import DataError
from videollm.eval.predictions import Prediction, PredictionLog, read_predictions


def make_prediction(number: int = 0, **changes: object) -> Prediction:
    values = {
        "task": "paint",
        "condition": "model",
        "id": str(number),
        "family": "colour",
        "video": "clip0",
        "question": "Which colour?",
        "choices": (),
        "answer": "blue",
        "aliases": ("navy", "azure"),
        "output": 'B\u00e4h "blue"\n\u2028',
        "parsed": None,
        "correct": False,
        "frame_seconds": (0.125, 1.5),
    }
    return Prediction(**{**values, **changes})


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    predictions = [make_prediction(number) for number in range(5)]
    with PredictionLog(path) as log:
        assert log.add(predictions[:2]) == 2
        assert log.add(predictions) == 3
        assert log.predictions == predictions
    assert read_predictions(path) == predictions
    lines = path.read_text(encoding="utf-8").split("\n")
    assert [json.loads(line)["id"] for line in lines[:-1]] == list("01234")


def test_every_line_is_on_disk_before_add_returns(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    with PredictionLog(path) as log:
        log.add([make_prediction()])
        assert read_predictions(path) == [make_prediction()]


@pytest.mark.parametrize("lost_bytes", [1, 2, 40, 200])
def test_a_half_written_last_line_is_dropped(tmp_path: Path, lost_bytes: int) -> None:
    path = tmp_path / "predictions.jsonl"
    with PredictionLog(path) as log:
        log.add([make_prediction(0), make_prediction(1)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-lost_bytes])
    with PredictionLog(path) as log:
        assert log.predictions == [make_prediction(0)]
        assert ("paint", "model", "0") in log
        assert ("paint", "model", "1") not in log
        log.add([make_prediction(1)])
    assert path.read_bytes() == whole


def test_a_half_written_character_is_dropped_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    line = make_prediction().to_line().encode()
    cut = line.index("\u00e4".encode()) + 1
    path.write_bytes(line + line[:cut])
    assert read_predictions(path) == [make_prediction()]


def test_a_missing_file_is_empty(tmp_path: Path) -> None:
    assert read_predictions(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize(
    "line", ["{", "[]", "7", '{"task": "paint"}', '{"aliases": 1, "choices": 2}']
)
def test_a_line_that_is_no_prediction_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text(make_prediction().to_line() + line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 2 is not a prediction"):
        read_predictions(path)


def test_an_item_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text(2 * make_prediction().to_line(), encoding="utf-8")
    with pytest.raises(DataError, match="line 2 repeats paint model 0"):
        PredictionLog(path)


def test_a_prediction_knows_its_example() -> None:
    example = make_prediction(3).example()
    assert (example.id, example.aliases) == ("3", ("navy", "azure"))
    for name, value in dataclasses.asdict(example).items():
        assert getattr(make_prediction(3), name) == value
