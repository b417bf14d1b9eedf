"""The two scripts of the README, with stand-ins for Python, pip and the tools they call."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("python", "pip", "videollm", "ruff", "mypy")
# Says its name and words, one a line each, so that words with blanks stay visible.
RECORDER = '#!/bin/sh\nprintf "%s" "$(basename "$0")" >> "$LOG"\n' + (
    'for word in "$@"; do printf "|%s" "$word" >> "$LOG"; done\necho >> "$LOG"\n'
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout, in a folder with a blank in its name, whose `.venv` only notes calls."""
    root = tmp_path / "a checkout"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    (root / "pyproject.toml").touch()
    tools = root / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name in TOOLS:
        (tools / name).write_text(RECORDER)
        (tools / name).chmod(0o755)
    return root


def _run(root: Path, script: str, *words: str, **environment: str) -> list[str]:
    """Run a script from another folder and return what it called."""
    log = root.parent / "log"
    log.write_text("")
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    subprocess.run(
        ["bash", str(root / "scripts" / script), *words],
        cwd=elsewhere,
        env=os.environ | {"LOG": str(log)} | environment,
        check=True,
        capture_output=True,
    )
    return log.read_text().splitlines()


def test_demo_with_words_installs_the_core_and_asks(checkout: Path) -> None:
    install, fetch, ask = _run(checkout, "demo.sh", "my clip.mp4", "What is it?")
    assert install == f"python|-m|pip|install|--quiet|--editable|{checkout}"
    assert fetch == "python|-m|videollm.packaged_llm"
    assert ask == "videollm|ask|my clip.mp4|What is it?"


def test_demo_alone_installs_the_page_and_opens_it(checkout: Path) -> None:
    install, _, serve = _run(checkout, "demo.sh")
    assert install.endswith(f"{checkout}[serve]")
    assert serve == "videollm|serve|--open"


def test_test_script_runs_every_check_and_passes_words_on(checkout: Path) -> None:
    calls = _run(checkout, "test.sh", "-k", "one or two")
    assert calls[0] == "python|-m|pip|install|--quiet|--editable|.[dev]"
    assert calls[1:] == [
        "ruff|check|.",
        "ruff|format|--check|.",
        "mypy",
        "python|-m|videollm.packaged_llm",
        "python|-m|pytest|-n|2|--dist|loadfile|-k|one or two",
    ]


@pytest.mark.parametrize(("script", "words"), [("demo.sh", ["v", "q"]), ("test.sh", [])])
def test_installed_once_until_the_project_file_changes(
    checkout: Path, script: str, words: list[str]
) -> None:
    first = _run(checkout, script, *words)
    assert _run(checkout, script, *words) == first[1:]
    later = (checkout / ".venv").stat().st_mtime + 60
    os.utime(checkout / "pyproject.toml", (later, later))
    assert _run(checkout, script, *words) == first


@pytest.mark.parametrize("script", ["demo.sh", "test.sh"])
def test_failed_installation_stops_and_is_tried_again(checkout: Path, script: str) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.write_text(RECORDER + "exit 3\n")
    for _ in range(2):
        with pytest.raises(subprocess.CalledProcessError) as caught:
            _run(checkout, script, "v", "q")
        assert caught.value.returncode == 3
    assert (checkout.parent / "log").read_text().count("\n") == 1
    assert "|install|" in (checkout.parent / "log").read_text()


@pytest.mark.parametrize("script", ["demo.sh", "test.sh"])
def test_missing_environment_is_made_by_the_chosen_python(checkout: Path, script: str) -> None:
    shutil.move(checkout / ".venv", checkout.parent / "saved")
    maker = checkout.parent / "maker"
    maker.write_text(RECORDER + 'cp -r "$(dirname "$0")/saved" "$3"\n')
    maker.chmod(0o755)
    made, install, *_ = _run(checkout, script, PYTHON=str(maker))
    assert made.startswith("maker|-m|venv|")
    assert install.startswith("python|-m|pip|install")


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "scripts").glob("*.sh")))
def test_scripts_stay_short(script: str) -> None:
    assert len((ROOT / "scripts" / script).read_text().splitlines()) <= 15


def test_every_machine_of_several_runs_the_same_command(checkout: Path) -> None:
    nodes = {"NODES": "2", "RANK": "1", "MASTER": "10.0.0.1", "GPUS": "4"}
    (call,) = _run(checkout, "train_nodes.sh", "instruct", "my recipe.yaml", "--seed", "1", **nodes)
    words = call.split("|")
    assert words[:3] == ["python", "-m", "accelerate.commands.launch"]
    assert words[words.index("--config_file") + 1].endswith("accelerate/ddp_8gpu.yaml")
    given = {"num_machines": "2", "machine_rank": "1", "num_processes": "8"}
    given |= {"main_process_ip": "10.0.0.1", "main_process_port": "29500"}
    for name, value in given.items():
        assert words[words.index(f"--{name}") + 1] == value
    assert words[-5:] == ["-m", "videollm.train.instruct", "my recipe.yaml", "--seed", "1"]
