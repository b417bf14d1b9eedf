"""One question about many videos: in order, resumed, divided, and honest about what failed."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.eval.paint import FakeModel
from videollm import api
from videollm.clip import Clip
from videollm.errors import NoVideoError
from videollm.eval.batch_answers import main


class Model(FakeModel):
    """Answer with what is shown, whoever else is in the batch."""

    def batch(self, videos: Any, questions: Any, **_: Any) -> list[str]:  # noqa: ANN401
        if len(self.calls) == self.fail_at:
            raise KeyboardInterrupt
        self.calls.append((list(videos), list(questions)))
        return [f"{int(video.frames[0, 0, 0, 0])}" for video in videos]

    def load(self, video: str, **_: Any) -> Clip:  # noqa: ANN401 (frame options)
        name = Path(video).stem
        if name == "bad":
            raise NoVideoError(video, "is no video", "give another")
        frames = torch.full((2, 3, 4, 4), int(name), dtype=torch.uint8)
        return Clip(frames, torch.arange(2, dtype=torch.float64))


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> list[Model]:
    """Return the models that the command will load, one after the other."""
    waiting: list[Model] = []
    loader = SimpleNamespace(from_pretrained=lambda *_, **__: waiting.pop(0))
    monkeypatch.setattr(api, "VideoLLM", loader)
    return waiting


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    path = tmp_path / "videos.txt"
    path.write_text("# mine\n" + "".join(f"{number}.mp4\n\n" for number in range(7)) + "bad.mp4\n")
    return path


def words(videos: Path, output: Path, *more: str) -> list[str]:
    return [str(videos), "--question", "What?", "--output", str(output), "--batch-size", "3", *more]


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_video_has_a_line_in_order(
    tmp_path: Path, models: list[Model], videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models.append(Model())
    output = tmp_path / "answers.jsonl"
    assert main(words(videos, output)) == 1
    assert "8 videos asked, 1 failed" in capsys.readouterr().out
    rows = rows_of(output)
    assert [Path(row["video"]).name for row in rows] == [f"{n}.mp4" for n in range(7)] + ["bad.mp4"]
    assert [row["answer"] for row in rows[:7]] == [str(number) for number in range(7)]
    assert rows[0]["frame_seconds"] == [0.0, 1.0]
    assert rows[7]["answer"] == ""
    assert "is no video" in rows[7]["error"]


def test_an_interrupted_run_goes_on_to_the_same_file(
    tmp_path: Path, models: list[Model], videos: Path
) -> None:
    models += [Model(), Model(fail_at=1), Model()]
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    main(words(videos, whole))
    assert main(words(videos, killed)) == 130
    assert len(rows_of(killed)) == 3
    with killed.open("a") as file:
        file.write('{"half a line')
    main(words(videos, killed))
    assert killed.read_bytes() == whole.read_bytes()


def test_two_shards_make_the_same_file(tmp_path: Path, models: list[Model], videos: Path) -> None:
    models += [Model(), Model(), Model()]
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    main(words(videos, whole))
    main(words(videos, parts, "--shard", "2/2"))
    assert not parts.exists()
    main(words(videos, parts, "--shard", "1/2"))
    assert parts.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--question", " "], "the question is empty"),
        (["--shard", "3/2"], "is no part of a whole"),
        (["--engine", "spark"], "invalid choice: 'spark'"),
    ],
)
def test_bad_words_are_one_line(
    tmp_path: Path, videos: Path, capsys: pytest.CaptureFixture[str], change: list, message: str
) -> None:
    assert main(words(videos, tmp_path / "a.jsonl", *change)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line


def test_bad_files_are_one_line(
    tmp_path: Path, videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "a.jsonl"
    output.write_text('{"video": "1.mp4", "question": "Why?", "answer": "", "error": ""}\n')
    assert main(words(videos, output)) == 2
    assert "answers another question ('Why?')" in capsys.readouterr().err
    output.write_text("thesis\n")
    assert main(words(videos, output)) == 2
    assert "line 1 is no answer" in capsys.readouterr().err
    videos.write_text("# none\n")
    assert main(words(videos, tmp_path / "b.jsonl")) == 2
    assert "names no video" in capsys.readouterr().err
    assert main(words(tmp_path / "no.txt", tmp_path / "b.jsonl")) == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_engine_says_how_to_get_it(
    tmp_path: Path, videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(videos, tmp_path / "a.jsonl", "--engine", "ray")) == 2
    assert "pip install 'videollm[ray]'" in capsys.readouterr().err
