"""Two processes do what one does with the same global batch, and test every video once.

instruct does so from samples of which most are text alone.
"""

import json
from pathlib import Path

import pytest
import torch

from tests.train.launching import launch
from tests.train.runs import PROGRAMS, QUIET, losses, weights, write_mixed, write_videos
from videollm.train.callbacks import read_metrics


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_llm: Path) -> dict[str, Path]:
    """Run each program on two processes, on one, and on one that accumulates."""
    root = tmp_path_factory.mktemp("processes")
    # Five do not fill two steps of four: the last batch of an epoch counts as well.
    for part in ("train", "test"):
        write_videos(root / part, [f"{'ab'[index % 2]}/{index}.mp4" for index in range(5)])
    write_mixed(root / "mixed")
    folders = {name: root / name for name in ("two", "one", "accumulated")}
    batches = {"two": (2, 1), "one": (4, 1), "accumulated": (2, 2)}
    lines = {
        name: [
            [*line, "--per_device_train_batch_size", str(batch)]
            + ["--gradient_accumulation_steps", str(steps)]
            for line in command_lines(root, folders[name], tiny_llm)
        ]
        for name, (batch, steps) in batches.items()
    }
    launch("tests.train.stages_worker", lines["two"])
    for name in ("one", "accumulated"):
        for program, *arguments in lines[name]:
            assert PROGRAMS[program](arguments) == 0
    return folders


def command_lines(root: Path, output: Path, llm: Path) -> list[list[str]]:
    shared = ["--dataset", "videos", "--data_path", str(root / "train"), "--crop", "resized"]
    shared += ["--max_steps", "3", "--use_cpu", "true", "--flip", "0.5", *QUIET]
    pretrain = ["--teacher", "pixels", "--keep_ratios", "0.5", "--ema_decay", "0.5"]
    pretrain += ["--picture_steps", "2", "--max_bad", "0"]
    classify = ["--validation_path", str(root / "test"), "--mixup", "0", "--cutmix", "0"]
    classify += ["--per_device_eval_batch_size", "2", "--test_crops", "3"]
    instruct = ["--dataset", "llava", "--data_path", str(root / "mixed" / "mixed.jsonl"), *QUIET]
    instruct += ["--language_model", str(llm), "--dtype", "float32", "--train_encoder", "true"]
    # Every weight that learns then needs a gradient in every process.
    instruct += ["--ddp_find_unused_parameters", "false", "--max_steps", "3", "--use_cpu", "true"]
    return [
        ["pretrain", "tiny_pretrain", "--output_dir", str(output / "pretrain"), *shared, *pretrain],
        ["classify", "tiny_classify", "--output_dir", str(output / "classify"), *shared, *classify],
        ["instruct", "tiny_instruct", "--output_dir", str(output / "instruct"), *instruct],
    ]


@pytest.mark.parametrize("other", ["two", "accumulated"])
@pytest.mark.parametrize("program", ["pretrain", "classify", "instruct"])
def test_the_same_global_batch_is_the_same_step(
    runs: dict[str, Path], program: str, other: str
) -> None:
    one, many = runs["one"] / program, runs[other] / program
    assert losses(one).keys() == {1, 2, 3}
    assert losses(many) == pytest.approx(losses(one), rel=1e-5)
    result = {"pretrain": "encoder", "classify": "classifier", "instruct": "adapter"}[program]
    for name, value in weights(one / result).items():
        torch.testing.assert_close(weights(many / result)[name], value, atol=1e-5, rtol=1e-4)


def test_parts_of_a_loss_are_means_over_processes(runs: dict[str, Path]) -> None:
    for record in read_metrics(runs["two"] / "pretrain")[:3]:
        parts = record["prediction_loss"] + record["alignment_loss"]
        assert record["loss"] == pytest.approx(parts, rel=1e-5)


def test_every_video_is_tested_once(runs: dict[str, Path]) -> None:
    told = [runs[name] / "classify" / "test" / "predictions.jsonl" for name in ("one", "two")]
    one, two = ([json.loads(line) for line in path.read_text().splitlines()] for path in told)
    assert len(one) == 5
    assert [item["video"] for item in two] == [item["video"] for item in one]
    for first, second in zip(one, two, strict=True):
        assert second["label"] == first["label"]
        assert second["log_probabilities"] == pytest.approx(first["log_probabilities"], abs=1e-3)


def test_only_the_first_process_draws(runs: dict[str, Path]) -> None:
    assert [path.name for path in (runs["two"] / "pretrain" / "pictures").iterdir()] == [
        "step-000002.png"
    ]
