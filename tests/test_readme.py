"""What the README and the guides tell people to type exists."""

import contextlib
import functools
import io
import re
from pathlib import Path

import pytest

from videollm.cli import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RECIPES = {path.stem for path in (ROOT / "train/recipes").glob("*.yaml")}


def commands() -> list[tuple[str, str]]:
    """Return (page, command) for every `videollm` line in a block of shell."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL):
            joined = block.replace("\\\n", " ")
            lines = (line.split("#")[0].strip() for line in joined.splitlines())
            found += [(page.name, line) for line in lines if line.startswith("videollm ")]
    return found


@functools.cache
def help_of(*words: str) -> str:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        try:
            code = main([*words, "--help"])
        except SystemExit as ended:  # argparse ends the process
            code = ended.code
    assert code == 0
    return text.getvalue()


def test_there_are_commands_to_check() -> None:
    assert len(commands()) >= 8


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), commands())
def test_commands_and_their_options_exist(page: str, command: str) -> None:
    words = command.split()[1:]
    leading = words[:2] if words[0] in ("convert", "toyworld") else words[:1]
    text = help_of(*leading)
    for option in re.findall(r"(?<!\S)--[a-z_-]+", command):
        assert option in text, f"{page}: {command}"
    if words[0] in ("pretrain", "features", "classify", "align", "instruct"):
        known = words[1] in RECIPES or words[1] in ("--evaluate", "mine.yaml")
        assert known, f"{page}: {command}"


def test_scripts_that_pages_name_exist() -> None:
    named = {
        name
        for page in PAGES
        for name in re.findall(r"scripts/[a-z_]+\.(?:sh|py)", page.read_text())
    }
    assert {"scripts/demo.sh", "scripts/test.sh"} <= named
    assert all((ROOT / name).is_file() for name in named)


def test_links_of_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links {target}"
