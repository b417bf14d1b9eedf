"""What flipped between two runs, counted by hand."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.eval.paint import FakeModel, Silence
from videollm.errors import RequestError
from videollm.eval import run as command
from videollm.eval.compare import compare_runs, mcnemar
from videollm.eval.evaluation import evaluate
from videollm.eval.settings import EvalSettings


@pytest.mark.parametrize(
    ("gained", "lost", "p_value"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 2 / 32), (6, 1, 2 * 8 / 128), (3, 3, 1.0), (10, 2, 0.03857)],
)
def test_mcnemar_is_the_exact_binomial_test(gained: int, lost: int, p_value: float) -> None:
    assert mcnemar(gained, lost) == pytest.approx(p_value, rel=1e-3)
    assert mcnemar(gained, lost) == mcnemar(lost, gained)
    total = sum(math.comb(gained + lost, k) for k in range(gained + lost + 1))
    assert total == 2 ** (gained + lost)


@pytest.fixture
def runs(tmp_path: Path, paint_settings: Callable[..., EvalSettings]) -> tuple[Path, Path]:
    """Return two finished runs; in the second, every answer of the model is right."""
    for name in ("one", "other"):
        model: Any = FakeModel()
        settings = paint_settings(limit=20, baselines=())
        evaluate(settings, tmp_path / name, progress=Silence(), load=lambda _, m=model: m)
    log = tmp_path / "other" / "predictions.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    log.write_text("".join(json.dumps({**line, "output": line["answer"]}) + "\n" for line in lines))
    return tmp_path / "one", tmp_path / "other"


def test_flips_are_those_that_differ(runs: tuple[Path, Path]) -> None:
    (comparison,) = compare_runs(*runs)
    wrong = round(20 * (1 - comparison.accuracies[0]))
    assert comparison.accuracies[1] == 1.0
    assert (len(comparison.gained), len(comparison.lost)) == (wrong, 0)
    assert comparison.num_both == 20 - wrong
    assert comparison.difference == pytest.approx(wrong / 20)
    assert comparison.interval[0] <= comparison.difference <= comparison.interval[1]
    assert comparison.p_value == mcnemar(wrong, 0)
    assert not comparison.warnings
    (backwards,) = compare_runs(*runs[::-1])
    assert backwards.difference == -comparison.difference
    assert len(backwards.lost) == wrong


def test_a_run_against_itself_has_no_flip(runs: tuple[Path, Path]) -> None:
    (same,) = compare_runs(runs[0], runs[0])
    assert (same.difference, same.p_value, len(same.gained), len(same.lost)) == (0.0, 1.0, 0, 0)


def test_the_command_prints_and_writes_json(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["compare", *map(str, runs), "--show", "1"]) == 0
    printed = capsys.readouterr().out
    assert "points (95 % interval" in printed
    assert "McNemar p = " in printed
    assert printed.count("gained ") >= 2
    assert command.main(["compare", *map(str, runs), "--json"]) == 0
    (values,) = json.loads(capsys.readouterr().out)
    assert values["task"] == "paint"
    assert values["num_items"] == 20


def test_runs_that_share_nothing_are_refused(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = runs[1] / "settings.json"
    settings.write_text(settings.read_text().replace('"paint": {', '"pint": {'))
    with pytest.raises(RequestError, match="no task in common"):
        compare_runs(*runs)
    assert command.main(["compare", str(runs[0]), str(tmp_path / "no")]) == 2
    assert "holds no settings.json" in capsys.readouterr().err


def test_what_makes_runs_hard_to_compare_is_told(runs: tuple[Path, Path]) -> None:
    log = runs[1] / "predictions.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-4]))
    settings = runs[1] / "settings.json"
    settings.write_text(settings.read_text().replace('"num_frames": 6', '"num_frames": 8'))
    (comparison,) = compare_runs(*runs)
    assert comparison.num_items == 16
    assert "16 items are compared of 20 and 16" in comparison.warnings
    assert "the runs show other frames" in comparison.warnings
