"""The command: what it prints, where it prints it, and how it refuses."""

import json
from pathlib import Path

import pytest

from tests.eval.paint import FakeModel
from videollm.errors import ModelError
from videollm.eval import run as command
from videollm.eval.settings import EvalSettings
from videollm.eval.task import TaskSpec


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch, paint: TaskSpec) -> list[EvalSettings]:
    """Let the command load a model that answers at once; return the settings it was asked for."""
    asked: list[EvalSettings] = []

    def load(settings: EvalSettings) -> FakeModel:
        asked.append(settings)
        return FakeModel()

    monkeypatch.setattr("videollm.eval.evaluation.load_model", load)
    return asked


def test_one_command_writes_prints_and_rescores(
    tmp_path: Path, answering: list[EvalSettings], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    words = f"--tasks paint --split val --limit 6 --output {folder} --num-frames 4 --seed 2"
    assert command.main(words.split()) == 0
    printed = capsys.readouterr()
    assert "answers" in printed.err
    assert "error" not in printed.err
    for name in ("colour", "motion", "overall", "single_frame", "majority"):
        assert name in printed.out
    assert "paint val: " in printed.out
    assert printed.out.endswith(f"written to {folder / 'results.json'}\n")
    assert command.main(["--rescore", str(folder)]) == 0
    assert capsys.readouterr().out == printed.out
    assert len(answering) == 1
    settings = json.loads((folder / "results.json").read_text())["settings"]
    assert settings == answering[0].to_dict()
    assert (settings["num_frames"], settings["seed"], settings["split"]) == (4, 2, "val")


def test_rescoring_tells_of_changed_verdicts(
    tmp_path: Path, answering: list[EvalSettings], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert command.main(f"--tasks paint --limit 6 --output {folder}".split()) == 0
    log = folder / "predictions.jsonl"
    log.write_text(log.read_text().replace('"correct": false', '"correct": true'))
    capsys.readouterr()
    assert command.main(["--rescore", str(folder)]) == 0
    assert "answers are judged otherwise than when recorded" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("all", ["blind", "single_frame", "shuffled", "majority"]),
        ("none", []),
        ("blind,majority", ["blind", "majority"]),
    ],
)
def test_baselines_are_named_by_commas(
    tmp_path: Path, answering: list[EvalSettings], given: str, expected: list[str]
) -> None:
    words = ["--tasks", "paint", "--limit", "2", "--output", str(tmp_path / "run")]
    assert command.main([*words, "--baselines", given]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["conditions"] == ["model", *expected]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tasks", "toywrld"], "unknown task 'toywrld'; did you mean toyworld?"),
        (["--split", "tets_iid"], "did you mean test_iid"),
        (["--limit", "0"], "--limit 0 is too small; give at least 1"),
        (["--limit", "many"], "invalid int value: 'many'"),
        (["--baselines", "deaf"], "unknown baseline 'deaf'; choose from blind"),
        (["--families", "motin"], "did you mean motion"),
        (["--taskz", "toyworld"], "unrecognized arguments: --taskz"),
        (["--rescore", "nowhere"], "holds no settings.json"),
        (["--rescore", "nowhere", "--limit", "3"], "--rescore takes no other option"),
        (["--rescore", "nowhere", "--output", "x"], "--rescore takes no other option"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(
    tmp_path: Path,
    answering: list[EvalSettings],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command.main(words) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1
    assert errors[0].startswith("error: ")
    assert message in errors[0]
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_there_leaves_nothing_behind(
    tmp_path: Path,
    paint: TaskSpec,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(settings: EvalSettings) -> FakeModel:
        raise ModelError(f"no model called {settings.model}; use demo or a folder")

    monkeypatch.setattr("videollm.eval.evaluation.load_model", load)
    output = tmp_path / "run"
    assert command.main(f"--tasks paint --model nosuch --output {output}".split()) == 2
    assert capsys.readouterr().err == "error: no model called nosuch; use demo or a folder\n"
    assert not output.exists()


def test_an_interrupted_command_says_how_to_go_on(
    tmp_path: Path,
    paint: TaskSpec,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = f"--tasks paint --limit 6 --batch-size 2 --output {tmp_path / 'run'}".split()
    models = [FakeModel(fail_at=3), FakeModel()]
    monkeypatch.setattr("videollm.eval.evaluation.load_model", lambda _: models.pop(0))
    assert command.main(words) == 130
    assert "the same command goes on from here" in capsys.readouterr().err
    assert command.main(words) == 0
    assert json.loads((tmp_path / "run" / "results.json").read_text())["tasks"]["paint"]


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(["--help"])
    assert stopped.value.code == 0
    assert "videollm eval --model demo --tasks toyworld" in capsys.readouterr().out
