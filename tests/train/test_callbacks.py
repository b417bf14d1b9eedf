"""Callbacks and the traps of the Trainer: what is logged, what ends a run, what changes nothing."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import TrainerControl, TrainerState

from videollm.errors import RecipeError
from videollm.train import instruct, pretrain
from videollm.train.callbacks import (
    METRICS_FILE,
    FiniteGuard,
    MetricsFile,
    read_metrics,
)
from videollm.train.stage_arguments import StageArguments

QUIET = ["--disable_tqdm", "true", "--save_strategy", "no"]


@pytest.fixture
def args(tmp_path: Path) -> StageArguments:
    return StageArguments(output_dir=str(tmp_path))


class Scaled(nn.Module):
    """A model whose loss is a weighted sum of its argument."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, factor: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (self.weight * factor).sum()}


def state(step: int) -> TrainerState:
    return TrainerState(global_step=step)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_gradient_that_is_not_finite_ends_the_run(args: StageArguments, value: float) -> None:
    model = Scaled()
    guard, control = FiniteGuard(), TrainerControl()
    guard.on_train_begin(args, state(4), control, model=model)
    batch = {"factor": torch.tensor([2.0, 3.0])}
    model(**batch)
    model.weight.grad = torch.ones_like(model.weight)
    guard.on_pre_optimizer_step(args, state(4), control, model=model)
    model.weight.grad[0] = value
    with pytest.raises(RecipeError, match="gradient is not finite after step 4; the batch is kept"):
        guard.on_pre_optimizer_step(args, state(4), control, model=model)
    kept = torch.load(args.folder / "bad_batch-0.pt")
    assert torch.equal(kept["factor"], batch["factor"])


def test_a_loss_that_is_not_finite_is_found_at_once_and_its_batch_kept(
    args: StageArguments,
) -> None:
    model = Scaled()
    guard = FiniteGuard()
    guard.on_train_begin(args, state(0), TrainerControl(), model=model)
    model(factor=torch.ones(2))
    with pytest.raises(RecipeError, match="the loss is not finite after step 0"):
        model(factor=torch.tensor([1.0, float("inf")]))
    assert torch.load(args.folder / "bad_batch-0.pt")["factor"].tolist() == [1.0, float("inf")]
    model.train(mode=False)
    model(factor=torch.tensor([1.0, float("inf")]))  # a prediction may be anything
    model.train()
    guard.on_train_end(args, state(1), TrainerControl())
    model(factor=torch.tensor([1.0, float("inf")]))


def test_diverging_run_ends_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["tiny_pretrain", "--output_dir", str(tmp_path), "--learning_rate", "1e30"]
    assert pretrain.main([*command, "--max_steps", "5", *QUIET]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert "not finite" in lines[0]
    assert not (tmp_path / "encoder").exists()


def test_records_beyond_the_checkpoint_are_dropped(args: StageArguments) -> None:
    path = args.folder / METRICS_FILE
    lines = [json.dumps({"step": step, "loss": 1.0}) for step in (1, 2, 3)]
    path.write_text("\n".join(lines) + '\n{"step": 4, "lo')
    metrics = MetricsFile()
    metrics.on_train_begin(args, state(2), TrainerControl())
    metrics.on_log(args, state(3), TrainerControl(), logs={"loss": 2.0})
    records = read_metrics(args.folder)
    assert [record["step"] for record in records] == [1, 2, 3]
    assert records[-1]["loss"] == 2.0


def answered(folder: Path, tiny_llm: Path, *arguments: str) -> SimpleNamespace:
    """Run two steps of instruct and return its losses and its adapter."""
    command = ["tiny_instruct", "--output_dir", str(folder), "--language_model", str(tiny_llm)]
    assert instruct.main([*command, "--dtype", "float32", *QUIET, *arguments]) == 0
    adapter = load_file(folder / "adapter" / "adapter_model.safetensors")
    losses = [record["loss"] for record in read_metrics(folder) if "loss" in record]
    return SimpleNamespace(losses=losses, adapter=adapter)


def test_accumulation_and_checkpointed_activations_change_no_number(
    tmp_path: Path, tiny_llm: Path
) -> None:
    whole = answered(tmp_path / "whole", tiny_llm)
    halves = ["--per_device_train_batch_size", "1", "--gradient_accumulation_steps", "2"]
    variants = {"halves": halves, "recomputed": ["--activation_checkpointing", "true"]}
    for name, arguments in variants.items():
        other = answered(tmp_path / name, tiny_llm, *arguments)
        assert other.losses == pytest.approx(whole.losses, rel=1e-5)
        for key, value in whole.adapter.items():
            torch.testing.assert_close(other.adapter[key], value, atol=2e-5, rtol=1e-3)
