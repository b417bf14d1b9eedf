"""Pretraining as a program: teachers and their caches, pictures, averages, rates."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.train.runs import (
    assert_same,
    encoder_with,
    killed_at,
    losses,
    refusal,
    run,
    save_clip,
    weights,
    write_videos,
)
from videollm.train.callbacks import read_metrics
from videollm.train.feature_cache import CachedFeatures
from videollm.train.stage import apply_batch_settings
from videollm.train.stage_arguments import StageArguments

PIXELS = ["--teacher", "pixels", "--keep_ratios", "0.5"]
CLIP = ["--teacher", "clip", "--keep_ratios", "0.5"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return what names a tiny random teacher."""
    return [*CLIP, "--teacher_model", save_clip(tmp_path_factory.mktemp("teacher"))]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return what names five short videos, seen the same way each time."""
    folder = tmp_path_factory.mktemp("videos")
    write_videos(folder, [f"{name}.mp4" for name in "abcde"])
    return ["--dataset", "videos", "--data_path", str(folder), "--sampling", "uniform"]


@pytest.fixture(scope="module")
def cache(
    tmp_path_factory: pytest.TempPathFactory, clip: list[str], videos: list[str]
) -> dict[str, Path]:
    """Return caches of the toy world's first clips and of the videos."""
    root = tmp_path_factory.mktemp("caches")
    toy = ["--num_clips", "12"]
    return {
        "toyworld": run("features", "tiny_pretrain", root / "toy", *clip, *toy),
        "videos": run("features", "tiny_pretrain", root / "videos", *clip, *videos),
    }


@pytest.mark.parametrize("dataset", ["toyworld", "videos"])
def test_a_cached_teacher_is_the_live_one(
    dataset: str, clip: list[str], videos: list[str], cache: dict[str, Path], tmp_path: Path
) -> None:
    data = ["--num_clips", "12"] if dataset == "toyworld" else videos
    data = [*data, "--max_steps", "4", "--masking", "attention"]
    live = run("pretrain", "tiny_pretrain", tmp_path / "live", *clip, *data)
    cached = [*CLIP, "--teacher_cache", str(cache[dataset])]
    again = run("pretrain", "tiny_pretrain", tmp_path / "cached", *cached, *data)
    assert losses(again) == pytest.approx(losses(live), rel=1e-3)
    blind = run("pretrain", "tiny_pretrain", tmp_path / "x", *clip, *data, "--masking", "random")
    assert losses(blind) != pytest.approx(losses(live), rel=1e-3)
    parts = read_metrics(live)[0]
    assert parts["loss"] == pytest.approx(parts["prediction_loss"] + parts["alignment_loss"])


def test_a_cache_knows_videos_by_their_path(cache: dict[str, Path], videos: list[str]) -> None:
    folder = Path(videos[3])
    held = CachedFeatures(cache["videos"])
    assert len(held) == 5
    assert all(str(path) in held for path in folder.iterdir())


def test_a_cache_leaves_out_what_its_run_leaves_out(
    clip: list[str], videos: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "videos"
    shutil.copytree(videos[3], folder)
    (folder / "c.mp4").write_bytes(b"no video")
    given = [*videos, "--data_path", str(folder), "--max_bad", "0.2"]
    cache = run("features", "tiny_pretrain", tmp_path / "cache", *clip, *given)
    assert len(CachedFeatures(cache)) == 4
    cached = [*CLIP, "--teacher_cache", str(cache), *given, "--max_steps", "3"]
    run("pretrain", "tiny_pretrain", tmp_path / "out", *cached)


def test_what_a_cache_does_not_hold_is_refused(
    cache: dict[str, Path],
    clip: list[str],
    videos: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def line(*arguments: str, folder: str = "videos", stage: str = "pretrain") -> str:
        given = [*CLIP, "--teacher_cache", str(cache[folder]), *videos]
        given = given if stage == "pretrain" else [*clip, *videos]
        return refusal(capsys, stage, "tiny_pretrain", tmp_path / "out", *given, *arguments)

    assert "holds features of one view" in line("--sampling", "segments")
    assert "set it to 0" in line("--subclip_frames", "2")
    assert "has num_frames 4, this run 8" in line("--num_frames", "8")
    assert "has grid_size 4, this run 8" in line(*encoder_with(image_size=64))
    assert "has dataset toyworld, seed 0, this run videos" in line(folder="toyworld")
    other = write_videos(tmp_path / "other", ["z.mp4"])
    assert f"has nothing of {other[0]}" in line("--data_path", str(tmp_path / "other"))
    assert "a cache holds one view" in line("--repeats", "2", stage="features")
    index = cache["toyworld"] / "index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "can_guide": False}))
    toy = ["--dataset", "toyworld", "--masking", "attention"]
    assert "does not tell where it looks" in line(*toy, folder="toyworld")


def test_decoding_by_token_needs_hidden_tokens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("pretrain", "tiny_pretrain", tmp_path / "out", *PIXELS, "--decoding", "token")
    given = ["--decoding", "token", "--keep_ratios", "0.5", "1.0"]
    line = refusal(capsys, "pretrain", "tiny_pretrain", tmp_path / "no", *given)
    assert "keep_ratios: 1.0 leaves all 16 tokens of a frame visible" in line


def test_pictures_are_drawn_and_change_nothing(
    clip: list[str], videos: list[str], tmp_path: Path
) -> None:
    pixels = [*PIXELS, *encoder_with(drop_path_rate=0.3), "--max_steps", "3"]
    plain = run("pretrain", "tiny_pretrain", tmp_path / "plain", *pixels)
    drawn = run("pretrain", "tiny_pretrain", tmp_path / "drawn", *pixels, "--picture_steps", "2")
    assert losses(drawn) == losses(plain)
    assert [path.name for path in (drawn / "pictures").iterdir()] == ["step-000002.png"]
    guided = [*clip, *videos, "--masking", "attention", "--picture_steps", "1"]
    looked = run("pretrain", "tiny_pretrain", tmp_path / "clip", *guided, "--max_steps", "1")
    with (
        Image.open(drawn / "pictures" / "step-000002.png") as without,
        Image.open(looked / "pictures" / "step-000001.png") as with_teacher,
    ):
        # The teacher's picture has a row more: where it looks.
        assert with_teacher.height / without.height == pytest.approx(6 / 5, rel=0.01)


def test_the_encoder_is_the_average_and_resumes_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = [*PIXELS, "--save_total_limit", "5", "--learning_rate", "0.01"]
    average = [*shared, "--max_steps", "3", "--ema_decay", "0.75"]
    start = run("pretrain", "tiny_pretrain", tmp_path / "start", *shared, "--learning_rate", "0")
    whole = run("pretrain", "tiny_pretrain", tmp_path / "whole", *average)
    expected = weights(start / "encoder")
    for step in (1, 2, 3):
        now = weights(whole / f"checkpoint-{step}")
        for name, value in expected.items():
            expected[name] = 0.75 * value + 0.25 * now[f"encoder.{name}"]
    for name, value in weights(whole / "encoder").items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=1e-5)

    killed = tmp_path / "killed"
    killed_at(3, monkeypatch, "pretrain", "tiny_pretrain", killed, *average)
    for _ in range(2):  # resumed, then exported again
        run("pretrain", "tiny_pretrain", killed, *average)
        assert_same(weights(whole / "encoder"), weights(killed / "encoder"))
    assert losses(killed) == losses(whole)


def test_rates_warm_up_in_epochs_and_follow_the_batch(tmp_path: Path) -> None:
    folder = run(
        *("pretrain", "tiny_pretrain", tmp_path / "out", *PIXELS, "--num_clips", "7"),
        *("--warmup_epochs", "2", "--batch_size_of_rates", "8", "--max_steps", "5"),
        *("--lr_scheduler_type", "constant_with_warmup"),
    )
    rates = [item["learning_rate"] for item in read_metrics(folder) if "loss" in item]
    # Two steps an epoch, four of warm-up; half the batch that the rate is for.
    assert rates == pytest.approx([0.0, 1.25e-4, 2.5e-4, 3.75e-4, 5e-4])
    args = StageArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=4,
        gradient_accumulation_steps=3,
        batch_size_of_rates=8,
        learning_rate=1.0,
        encoder_learning_rate=0.5,
    )
    apply_batch_settings(args, num_samples=100, clips_per_sample=2)
    assert (args.learning_rate, args.encoder_learning_rate) == (3.0, 1.5)
    assert args.projector_learning_rate is None
