"""Tiny runs of the training programs, and what they leave behind."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from tests.videollm.drawn import draw_video, numbered_frames
from videollm.train import align, classify, dpo, features, instruct, pretrain
from videollm.train.callbacks import MetricsFile, read_metrics

PROGRAMS: dict[str, Callable[[Sequence[str]], int]] = {
    "pretrain": pretrain.main,
    "align": align.main,
    "instruct": instruct.main,
    "dpo": dpo.main,
    "classify": classify.main,
    "features": features.main,
}
TINY_ENCODER = {
    "image_size": 32,
    "hidden_size": 32,
    "num_layers": 3,
    "num_attention_heads": 2,
    "state_size": 4,
    "layer_pattern": "MMT",
}
QUIET = ["--disable_tqdm", "true"]


def run(stage: str, recipe: str, output: Path, *arguments: str) -> Path:
    """Run a program that succeeds; return its folder."""
    assert PROGRAMS[stage]([recipe, "--output_dir", str(output), *QUIET, *arguments]) == 0
    return output


def refusal(
    capsys: pytest.CaptureFixture[str], stage: str, recipe: str, output: Path, *arguments: str
) -> str:
    """Run a program that refuses; return its one line."""
    capsys.readouterr()
    assert PROGRAMS[stage]([recipe, "--output_dir", str(output), *QUIET, *arguments]) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    lines = [line for line in told.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def encoder_with(**fields: object) -> list[str]:
    """Return what makes a recipe's encoder the tiny one with other fields."""
    return ["--encoder_overrides", json.dumps({**TINY_ENCODER, **fields})]


def losses(folder: Path) -> dict[int, float]:
    return {item["step"]: item["loss"] for item in read_metrics(folder) if "loss" in item}


def weights(folder: Path) -> dict[str, Tensor]:
    name = "adapter_model" if (folder / "adapter_model.safetensors").exists() else "model"
    return load_file(folder / f"{name}.safetensors")


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def killed_at(
    step: int,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    recipe: str,
    output: Path,
    *arguments: str,
) -> None:
    """Run a program that is stopped when it wants to log a step."""

    log = MetricsFile.on_log

    def log_or_die(
        self: MetricsFile,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        if state.global_step == step:
            raise KeyboardInterrupt
        log(self, args, state, control, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(MetricsFile, "on_log", log_or_die)
        command = [recipe, "--output_dir", str(output), *QUIET, *arguments]
        assert PROGRAMS[stage](command) == 130


def save_clip(folder: Path, *, seed: int = 0) -> str:
    """Write a tiny random CLIP vision model; return its name."""
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        projection_dim=12,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return str(folder)


def write_videos(folder: Path, names: Sequence[str], *, num_frames: int = 8) -> list[Path]:
    """Write short videos that differ; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        frames = numbered_frames(num_frames * (number + 1))[-num_frames:]
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(draw_video(frames))
    return [folder / name for name in names]


def write_mixed(folder: Path) -> Path:
    """Write a list of which most samples are text alone, the others a video or an image."""
    write_videos(folder, ["a.mp4", "b.mp4"])
    Image.new("RGB", (8, 8), "red").save(folder / "p.png")
    answer = {"role": "assistant", "content": "a ball"}
    media: list[dict[str, str]] = [{"video": "a.mp4"}, {"video": "b.mp4"}, {"image": "p.png"}]
    lines = [
        {**item, "messages": [{"role": "user", "content": f"What is {number}?"}, answer]}
        for number, item in enumerate([*media, *[{}] * 5])
    ]
    (folder / "mixed.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder / "mixed.jsonl"
