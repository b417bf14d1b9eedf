"""Commands that live outside the core: their words, their help, and their missing extras."""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from videollm.cli import main
from videollm.cli_forward import PROGRAMS, Program
from videollm.errors import RecipeError

BY_NAME = {program.name: program for program in PROGRAMS}


@pytest.fixture(params=PROGRAMS, ids=lambda program: program.name)
def program(request: pytest.FixtureRequest) -> Program:
    chosen = request.param
    assert isinstance(chosen, Program)
    return chosen


@pytest.fixture
def stand_in(
    monkeypatch: pytest.MonkeyPatch, program: Program
) -> Callable[[Callable[[list[str]], int]], None]:
    """Return a function that puts another `main` behind the command."""

    def replace(run: Callable[[list[str]], int]) -> None:
        module = ModuleType(program.module)
        module.main = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, program.module, module)

    return replace


Replace = Callable[[Callable[[list[str]], int]], None]


def test_words_arrive_as_they_were_typed(program: Program, stand_in: Replace) -> None:
    seen: list[list[str]] = []
    stand_in(lambda argv: seen.append(argv) or 7)
    words = ["recipe.yaml", "--lr", "1.0e-4", "-x", "--flag", "--no_y", "--k=v", "a b", "--verbose"]
    assert main([program.name, *words]) == 7
    assert seen == [words]


def test_user_errors_inside_are_one_line(
    program: Program, stand_in: Replace, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(argv: list[str]) -> int:
        raise RecipeError("unknown key 'lr'")

    stand_in(run)
    assert main([program.name, "recipe"]) == 2
    assert capsys.readouterr().err == "error: unknown key 'lr'\n"


def test_program_s_own_help_gets_an_example(
    program: Program, stand_in: Replace, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(argv: list[str]) -> int:
        print("usage: theirs")
        raise SystemExit(0)

    stand_in(run)
    assert main([program.name, "--help"]) == 0
    captured = capsys.readouterr().out
    assert captured.startswith("usage: theirs\n")
    assert captured.count(f"Example: videollm {program.name} ") == 1


def _miss(monkeypatch: pytest.MonkeyPatch, error: ImportError) -> None:
    def import_module(name: str) -> ModuleType:
        raise error

    monkeypatch.setattr(importlib, "import_module", import_module)


def test_missing_extra_is_named_with_the_command(
    program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _miss(monkeypatch, ModuleNotFoundError("No module named 'foo'", name="foo.bar"))
    assert main([program.name, "recipe"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert f"needs the extra '{program.extra}' (foo.bar is missing)" in message
    assert f"pip install 'videollm[{program.extra}]'" in message


def test_help_without_the_extra_still_has_an_example(
    program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _miss(monkeypatch, ImportError("Trainer requires the\n accelerate library"))
    assert main([program.name, "--help"]) == 0
    text = capsys.readouterr().out
    assert program.example in text
    assert "(Trainer requires the accelerate library is missing)" in text


def test_missing_module_of_ours_is_a_defect(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    _miss(monkeypatch, ModuleNotFoundError("gone", name="videollm.gone"))
    with pytest.raises(ModuleNotFoundError, match="gone"):
        main([program.name, "recipe"])


def test_real_program_explains_itself(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip({"serve": "gradio"}.get(program.extra, "datasets"))
    assert main([program.name, "--help"]) == 0
    text = capsys.readouterr().out
    assert "usage: " in text
    assert f"videollm {program.name} " in text
    assert "xample" in text
