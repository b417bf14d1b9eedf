"""Classification as a program: what it writes, what it learns from, and what it starts from."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.train.runs import (
    QUIET,
    assert_same,
    encoder_with,
    killed_at,
    losses,
    refusal,
    run,
    weights,
    write_videos,
)
from videollm.encoder import VideoMAPConfig
from videollm.train import classify
from videollm.train.callbacks import read_metrics
from videollm.train.classify_arguments import ClassifyDataArguments
from videollm.train.classify_data import LabelledVideos
from videollm.train.classify_sets import build_training_set
from videollm.train.stage import Run
from videollm.train.stage_arguments import StageArguments
from videollm.train.view_arguments import ViewArguments

TRAINED = ["--encoder_overrides", "{}"]
IDLE = ["--learning_rate", "0", "--max_steps", "1"]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the tiny recipe, seven classes of motion."""
    return run("classify", "tiny_classify", tmp_path_factory.mktemp("classify") / "toy")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run("pretrain", "tiny_pretrain", tmp_path_factory.mktemp("classify") / "pretrain")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return what names two classes of three videos each, and a test set of two each."""
    root = tmp_path_factory.mktemp("classes")
    write_videos(root / "train", [f"{kind}/{index}.mp4" for kind in "ab" for index in range(3)])
    write_videos(root / "test", [f"{kind}/{index}.mp4" for kind in "ba" for index in range(2)])
    given = ["--dataset", "videos", "--data_path", str(root / "train")]
    return [*given, "--validation_path", str(root / "test")]


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory: pytest.TempPathFactory, videos: list[str]) -> Path:
    """Return the folder of a classifier of real files, cut at random."""
    folder = tmp_path_factory.mktemp("classify") / "videos"
    return run("classify", "tiny_classify", folder, *videos, "--crop", "resized")


def results(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "test" / "results.json").read_text())
    return found


def evaluate(*arguments: str) -> None:
    assert classify.main([*arguments, *QUIET]) == 0


def encoder_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the encoder's weights of a classifier or a checkpoint of one."""
    found = load_file(folder / "model.safetensors")
    return {
        name.removeprefix("encoder."): value
        for name, value in found.items()
        if name.startswith("encoder.")
    }


def test_tiny_recipe_writes_what_it_promises(toy: Path) -> None:
    assert losses(toy).keys() == {1, 2}
    told = results(toy)
    assert told["num_videos"] == 8
    assert told["unreadable"] == []
    assert isinstance(told["scores"], dict)
    assert told["scores"].keys() == {"top1", "top5", "mean_class"}
    lines = (toy / "test" / "predictions.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["video"] for record in records] == [f"val-{index}" for index in range(8)]
    right = sum(record["label"] == record["predicted"] for record in records)
    assert told["scores"]["top1"] == right / 8
    for name in ("recipe.yaml", "loss.png", "classifier/config.json", "test/confusion.png"):
        assert (toy / name).is_file()


def test_killed_and_resumed_equals_uninterrupted_over_epochs(
    videos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Six videos fill a batch and a half, so step 3 lies inside the second epoch.
    arguments = [*videos, *encoder_with(drop_path_rate=0.3), "--max_steps", "6"]
    arguments += ["--save_steps", "3", "--repeats", "2", "--crop", "resized", "--erase", "0.5"]
    arguments += ["--flip", "0.5", "--rand_augment", "m7-n2-mstd0.5-inc1"]
    whole = run("classify", "tiny_classify", tmp_path / "whole", *arguments)
    killed = tmp_path / "killed"
    killed_at(5, monkeypatch, "classify", "tiny_classify", killed, *arguments)
    assert (killed / "checkpoint-3").is_dir()
    run("classify", "tiny_classify", killed, *arguments)
    assert losses(killed) == losses(whole)
    assert_same(weights(whole / "classifier"), weights(killed / "classifier"))
    assert results(whole)["scores"] == results(killed)["scores"]


@pytest.mark.parametrize("mode", ["linear_probe", "attentive_probe"])
def test_probes_move_the_head_alone(mode: str, pretrained: Path, tmp_path: Path) -> None:
    start = ["--encoder", str(pretrained / "encoder"), "--mode", mode]
    start += ["--encoder_overrides", '{"drop_path_rate": 0.5}']
    folder = run("classify", "tiny_classify", tmp_path, *start)
    assert_same(weights(pretrained / "encoder"), encoder_weights(folder / "classifier"))
    first, last = weights(folder / "checkpoint-1"), weights(folder / "classifier")
    moved = [name for name in last if not torch.equal(first[name], last[name])]
    assert {name.split(".")[0] for name in moved} == (
        {"head"} if mode == "linear_probe" else {"head", "pooling"}
    )


def test_evaluating_gives_the_recorded_scores_again(toy: Path, tmp_path: Path) -> None:
    before = {name: (toy / "test" / name).read_text() for name in ("predictions.jsonl",)}
    scores = results(toy)["scores"]
    moved = tmp_path / "moved"
    shutil.copytree(toy, moved)
    shutil.rmtree(moved / "test")
    evaluate("--evaluate", str(moved))
    assert results(moved)["scores"] == scores
    assert before == {name: (moved / "test" / name).read_text() for name in before}


def test_evaluating_needs_the_test_set_alone_and_takes_other_views(
    two_classes: Path, videos: list[str], tmp_path: Path
) -> None:
    (two_classes / "bad_samples.jsonl").write_text("kept\n")
    other = ["--output_dir", str(tmp_path), "--test_clips", "2", "--test_crops", "3"]
    evaluate(f"--evaluate={two_classes}", "--data_path", str(tmp_path / "gone"), *other)
    evaluate(f"--evaluate={two_classes}", "--output_dir", str(tmp_path / "same"))
    assert results(tmp_path)["settings"]["test_clips"] == 2  # type: ignore[index]
    assert results(tmp_path / "same")["scores"] == results(two_classes)["scores"]
    read = "test/predictions.jsonl"
    assert (tmp_path / "same" / read).read_text() == (two_classes / read).read_text()
    assert (tmp_path / read).read_text() != (two_classes / read).read_text()
    assert (two_classes / "bad_samples.jsonl").read_text() == "kept\n"


def test_an_encoder_and_a_classifier_of_another_head_are_gone_on_with(
    toy: Path, pretrained: Path, videos: list[str], tmp_path: Path
) -> None:
    start = ["--encoder", str(pretrained / "encoder"), *TRAINED]
    folder = run("classify", "tiny_classify", tmp_path / "a", *start, *IDLE)
    assert_same(weights(pretrained / "encoder"), encoder_weights(folder / "classifier"))
    start = ["--encoder", str(toy / "classifier"), *TRAINED]
    folder = run("classify", "tiny_classify", tmp_path / "b", *start, *IDLE, *videos)
    assert_same(encoder_weights(toy / "classifier"), encoder_weights(folder / "classifier"))
    assert weights(folder / "classifier")["head.weight"].shape == (2, 32)
    assert weights(toy / "classifier")["head.weight"].shape == (7, 32)


def test_a_share_of_the_labels_is_balanced(videos: list[str], tmp_path: Path) -> None:
    run_of = Run(
        stage="classify",
        args=StageArguments(output_dir=str(tmp_path)),
        values={},
        checkpoint=None,
    )

    def learned(share: float) -> list[tuple[str, int]]:
        data = ClassifyDataArguments(
            data_path=[videos[3]], validation_path=[videos[5]], label_fraction=share, num_frames=2
        )
        found = build_training_set(run_of, data, ViewArguments(), VideoMAPConfig(image_size=32))
        assert isinstance(found.views, LabelledVideos)
        samples = (found.views[index] for index in range(len(found.views)))
        return [(sample.name, sample.label) for sample in samples]

    fewest, fewer, all_of_them = (learned(share) for share in (0.01, 0.6, 1.0))
    assert [label for _, label in fewest] == [0, 1]
    assert [label for _, label in fewer] == [0, 0, 1, 1]
    assert set(fewest) < set(fewer) < set(all_of_them)


def test_an_unreadable_test_video_is_named_and_in_no_score(
    videos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = tmp_path / "test"
    shutil.copytree(videos[-1], test)
    (test / "a" / "torn.mp4").write_bytes(b"no video")
    while_learning = ["--eval_strategy", "steps", "--eval_steps", "2", "--crop", "letterbox"]
    folder = run(
        *("classify", "tiny_classify", tmp_path / "out", *videos, *while_learning),
        *("--sampling", "uniform", "--validation_path", str(test)),
    )
    assert "4 videos (1 more could not be read), 1 x 1 views" in capsys.readouterr().out
    told = results(folder)
    assert told["unreadable"] == [str(test / "a" / "torn.mp4")]
    assert told["num_videos"] == 4
    assert len((folder / "test" / "predictions.jsonl").read_text().splitlines()) == 4
    seen = [record for record in read_metrics(folder) if "eval_top1" in record]
    scores = told["scores"]
    assert isinstance(scores, dict)
    assert {name: seen[-1][f"eval_{name}"] for name in scores} == scores


def test_mirroring_sided_classes_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_videos(tmp_path, ["push left/0.mp4", "push right/0.mp4"], num_frames=2)
    given = ["--dataset", "videos", "--data_path", str(tmp_path), "--flip", "0.5"]
    given += ["--validation_path", str(tmp_path)]
    line = refusal(capsys, "classify", "tiny_classify", tmp_path / "out", *given)
    assert "2 classes have sides ('push left')" in line
    line = refusal(capsys, "classify", "tiny_classify", tmp_path / "out", "--flip", "0.5")
    assert "2 classes have sides ('left')" in line
    given = ["--encoder", "nowhere", *TRAINED]
    line = refusal(capsys, "classify", "tiny_classify", tmp_path / "out", *given)
    assert "nowhere is neither a preset" in line


def test_a_classifier_of_other_classes_is_not_evaluated(
    toy: Path, two_classes: Path, videos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = toy.parent / "no"
    given = ["--evaluate", str(two_classes)]
    line = refusal(capsys, "classify", "tiny_classify", out, *given)
    assert "tells 2 classes apart (a, b, ...), the data has 7" in line
    line = refusal(capsys, "classify", "tiny_classify", out, "--evaluate", str(toy), *videos)
    assert "no class is called 'a'" in line
    line = refusal(capsys, "classify", "tiny_classify", out, "--evaluate", str(out / "none"))
    assert "holds no classifier" in line


def test_plain_transformers_loads_what_was_trained(toy: Path, pretrained: Path) -> None:
    program = (
        "import sys, videollm, torch\n"
        "from transformers import AutoModel, AutoModelForVideoClassification\n"
        "model = AutoModelForVideoClassification.from_pretrained(sys.argv[1])\n"
        "encoder = AutoModel.from_pretrained(sys.argv[2])\n"
        "clip = torch.zeros(1, 4, 3, 32, 32)\n"
        "print(type(model).__name__, tuple(model(clip).logits.shape), len(model.config.id2label))\n"
        "print(type(encoder).__name__, tuple(encoder(clip).last_hidden_state.shape))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(toy / "classifier"), str(pretrained / "encoder")],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "VideoMAPForVideoClassification (1, 7) 7",
        "VideoMAPModel (1, 32, 32)",
    ]
