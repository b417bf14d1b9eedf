"""Two processes write what one writes, and clips are decoded once, ahead of the model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.eval.paint import FakeModel, Silence
from videollm.clip import Clip
from videollm.errors import NoVideoError, RequestError
from videollm.eval import run as command
from videollm.eval.clip_loader import ClipLoader
from videollm.eval.evaluation import evaluate
from videollm.eval.settings import EvalSettings, RunOptions
from videollm.eval.shards import Shard, parse_shard, shard_of_launcher

Make = Callable[..., EvalSettings]


def run(settings: EvalSettings, folder: Path, shard: str = "1/1") -> dict | None:
    model: Any = FakeModel()
    options = RunOptions(shard=parse_shard(shard))
    return evaluate(settings, folder, progress=Silence(), load=lambda _: model, options=options)[1]


@pytest.mark.parametrize("order", [("1/2", "2/2"), ("3/3", "1/3", "2/3")])
def test_shards_together_are_one_run(
    tmp_path: Path, paint_settings: Make, order: tuple[str, ...]
) -> None:
    settings = paint_settings(limit=18)
    whole = run(settings, tmp_path / "whole")
    assert whole is not None
    *early, last = order
    for shard in early:
        assert run(settings, tmp_path / "parts", shard) is None
        assert not (tmp_path / "parts" / "results.json").exists()
    merged = run(settings, tmp_path / "parts", last)
    assert merged is not None
    assert merged["tasks"] == whole["tasks"]
    for name in ("predictions.jsonl", "settings.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_shard_asks_its_own_batches_only(tmp_path: Path, paint_settings: Make) -> None:
    model: Any = FakeModel()
    evaluate(
        paint_settings(limit=12, baselines=()),
        tmp_path / "run",
        progress=Silence(),
        load=lambda _: model,
        options=RunOptions(shard=Shard(1, 2)),
    )
    assert [len(questions) for _, questions in model.calls] == [4]


def test_shards_are_read_from_words_and_launchers() -> None:
    assert parse_shard("2/4") == Shard(1, 4)
    assert shard_of_launcher({"RANK": "3", "WORLD_SIZE": "4"}) == Shard(3, 4)
    assert shard_of_launcher({}) == Shard(0, 1)
    for text in ("0/2", "3/2", "1", "a/b"):
        with pytest.raises(RequestError, match="is no part of a whole"):
            parse_shard(text)


def test_a_shard_needs_a_folder_that_all_share(
    paint_settings: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--tasks", "paint", "--shard", "1/2"]) == 2
    assert "--shard needs --output" in capsys.readouterr().err


def test_a_clip_is_loaded_once_and_forgotten_when_it_is_done() -> None:
    loaded: list[str] = []

    def load(video: str) -> Clip:
        loaded.append(video)
        if video == "bad":
            raise NoVideoError(video, "is no video", "give another")
        return Clip(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), torch.zeros(1, dtype=torch.float64))

    with ClipLoader(load, num_workers=2) as loader:
        loader.want(["a", "bad", "a"])
        loader.want(["a"])
        assert loader.get("a").clip is not None
        assert loader.get("bad").clip is None
        assert loader.get("bad").error == "bad: is no video; give another"
        loader.keep_only(["bad"])
        loader.want(["a", "bad"])
        loader.get("a")
    assert sorted(loaded) == ["a", "a", "bad"]


def test_a_defect_in_loading_is_not_the_user_s_to_mend() -> None:
    def load(video: str) -> Clip:
        raise ZeroDivisionError(video)

    with ClipLoader(load, num_workers=1) as loader:
        loader.want(["a"])
        with pytest.raises(ZeroDivisionError):
            loader.get("a")
