"""Callbacks and the traps of the Trainer: what is logged, what ends a run, what changes nothing."""

import json
import sys
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
    PLOT_FILE,
    FiniteGuard,
    LossPlot,
    MetricsFile,
    read_metrics,
)
from videollm.train.stage_arguments import StageArguments

QUIET = ["--disable_tqdm", "true", "--save_strategy", "no"]


@pytest.fixture
def args(tmp_path: Path) -> StageArguments:
    return StageArguments(output_dir=str(tmp_path))


def state(step: int) -> TrainerState:
    return TrainerState(global_step=step)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_gradient_that_is_not_finite_ends_the_run(args: StageArguments, value: float) -> None:
    model = nn.Linear(2, 2)
    guard, control = FiniteGuard(), TrainerControl()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    guard.on_pre_optimizer_step(args, state(4), control, model=model)
    assert model.bias.grad is not None
    model.bias.grad[1] = value
    with pytest.raises(RecipeError, match="gradient is not finite after step 4; lower the learn"):
        guard.on_pre_optimizer_step(args, state(4), control, model=model)
    with pytest.raises(RecipeError, match="loss is not finite"):
        guard.on_log(args, state(4), control, logs={"loss": value})


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
    assert records[-1]["samples_per_second"] > 0


def test_plot_needs_matplotlib_and_says_so(
    args: StageArguments, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (args.folder / METRICS_FILE).write_text('{"step": 1, "loss": 1.0}\n')
    LossPlot().on_train_end(args, state(1), TrainerControl())
    assert (args.folder / PLOT_FILE).read_bytes().startswith(b"\x89PNG")
    (args.folder / PLOT_FILE).unlink()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    LossPlot().on_train_end(args, state(1), TrainerControl())
    assert "matplotlib is missing" in caplog.text
    assert not (args.folder / PLOT_FILE).exists()


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
