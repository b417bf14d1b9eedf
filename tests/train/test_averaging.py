"""The moving average of weights: its recurrence, and its way through a checkpoint."""

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import TrainerControl, TrainerState, TrainingArguments

from videollm.errors import RecipeError
from videollm.train.averaging import WeightAverage, load_average

DECAY = 0.75


def steps(
    model: nn.Linear, average: WeightAverage, folder: Path, numbers: range
) -> tuple[TrainingArguments, TrainerState, TrainerControl]:
    args = TrainingArguments(output_dir=str(folder))
    state, control = TrainerState(), TrainerControl()
    average.on_train_begin(args, state, control, model=model)
    for number in numbers:
        with torch.no_grad():
            model.weight.fill_(float(number))
        state.global_step = number
        average.on_step_end(args, state, control, model=model)
    return args, state, control


def test_the_model_ends_as_the_average(tmp_path: Path) -> None:
    model = nn.Linear(1, 1)
    nn.init.constant_(model.weight, 8.0)
    average = WeightAverage(DECAY, None)
    moments = steps(model, average, tmp_path, range(1, 6))
    expected = 8.0
    for number in range(1, 6):
        expected = DECAY * expected + (1 - DECAY) * number
    average.on_train_end(*moments, model=model)
    assert model.weight.item() == pytest.approx(expected)


def test_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    whole, halves = nn.Linear(1, 1), nn.Linear(1, 1)
    halves.load_state_dict(whole.state_dict())
    average = WeightAverage(DECAY, None)
    average.on_train_end(*steps(whole, average, tmp_path, range(1, 8)), model=whole)

    first = WeightAverage(DECAY, None)
    moments = steps(halves, first, tmp_path, range(1, 4))
    checkpoint = tmp_path / "checkpoint-3"
    checkpoint.mkdir()
    first.on_save(*moments)
    second = WeightAverage(DECAY, checkpoint)
    second.on_train_end(*steps(halves, second, tmp_path, range(4, 8)), model=halves)
    assert torch.equal(whole.weight, halves.weight)


def test_a_checkpoint_without_average_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="holds no average"):
        load_average(nn.Linear(1, 1), tmp_path)
