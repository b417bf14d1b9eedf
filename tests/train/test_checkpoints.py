"""A run goes on from the newest checkpoint that was written to its end, and from no other."""

import json
from pathlib import Path

import pytest

from videollm.errors import RecipeError
from videollm.train.checkpoints import (
    MARKER,
    find_resume_point,
    newest_complete,
    set_aside_incomplete,
    step_of,
)


def make(folder: Path, step: int, *, complete: bool) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"weights")
    if complete:
        (path / MARKER).write_text(json.dumps({"step": step}))
    return path


def test_newest_is_by_step_not_by_name_or_time(tmp_path: Path) -> None:
    newest = make(tmp_path, 100, complete=True)
    make(tmp_path, 20, complete=True)
    make(tmp_path, 9, complete=True)
    assert newest_complete(tmp_path) == newest
    assert step_of(newest) == 100


def test_half_written_checkpoint_is_ignored_and_set_aside(tmp_path: Path) -> None:
    whole = make(tmp_path, 10, complete=True)
    make(tmp_path, 20, complete=False)
    assert find_resume_point(tmp_path, "auto") == whole
    assert set_aside_incomplete(tmp_path) == [tmp_path / "incomplete-checkpoint-20"]
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-10"]
    make(tmp_path, 20, complete=False)
    assert set_aside_incomplete(tmp_path) == [tmp_path / "incomplete-checkpoint-20-2"]


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-best").mkdir()
    (tmp_path / "checkpoint-5").write_text("a file")
    assert newest_complete(tmp_path) is None
    assert set_aside_incomplete(tmp_path) == []


def test_never_and_nothing_start_afresh(tmp_path: Path) -> None:
    make(tmp_path, 10, complete=True)
    assert find_resume_point(tmp_path, "never") is None
    assert find_resume_point(tmp_path / "absent", "auto") is None


def test_named_checkpoint_must_be_complete(tmp_path: Path) -> None:
    whole = make(tmp_path, 10, complete=True)
    half = make(tmp_path, 20, complete=False)
    assert find_resume_point(tmp_path / "other", str(whole)) == whole
    with pytest.raises(RecipeError, match=r"checkpoint-20 is not a complete.*checkpoint-10"):
        find_resume_point(tmp_path, str(half))
    with pytest.raises(RecipeError, match="use auto or never"):
        find_resume_point(tmp_path, str(tmp_path / "absent" / "checkpoint-1"))


def test_a_checkpoint_of_another_format_is_not_gone_on_from(tmp_path: Path) -> None:
    path = make(tmp_path, 10, complete=True)
    (path / MARKER).write_text(json.dumps({"step": 10, "format_version": 2}))
    with pytest.raises(RecipeError, match=r"checkpoint-10 is of format_version 2, .* from 1: use"):
        find_resume_point(tmp_path, "auto")
