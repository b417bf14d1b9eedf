"""A moving average of the weights, kept beside a run and resumed with it."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from videollm.errors import RecipeError
from videollm.train.sharding import is_sharded

__all__ = ["WeightAverage", "load_average"]

AVERAGE_FILE = "average.safetensors"


def load_average(model: nn.Module, checkpoint: Path) -> None:
    """Put the average that a checkpoint holds into a model.

    Raises:
        RecipeError: The checkpoint holds none.
    """
    path = checkpoint / AVERAGE_FILE
    if not path.is_file():
        raise RecipeError(
            f"{checkpoint} was written without ema_decay and holds no average: resume it without, "
            "or start anew with --resume never"
        )
    model.load_state_dict(load_file(path))


class WeightAverage(TrainerCallback):
    """Average the weights exponentially after every step; the model ends as the average.

    Each checkpoint holds the average in `average.safetensors` beside the weights themselves.

    Args:
        decay: Share of the average that a step leaves, in (0, 1).
        checkpoint: Where a resumed run goes on from, or None.
    """

    def __init__(self, decay: float, checkpoint: Path | None) -> None:
        self.decay = decay
        self.checkpoint = checkpoint
        self._average: AveragedModel | None = None

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: object,
    ) -> None:
        """Start from the weights, or from the checkpoint's average.

        Raises:
            RecipeError: The weights are spread over processes, or the checkpoint has no average.
        """
        assert model is not None
        if is_sharded(model):
            raise RecipeError("ema_decay: weights spread over processes (FSDP) have no average")
        self._average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(self.decay))
        # The first update would copy; the average starts from the initial weights instead.
        self._average.n_averaged.fill_(1)
        if self.checkpoint is not None:
            load_average(self._average.module, self.checkpoint)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: object,
    ) -> None:
        """Take the new weights in."""
        assert model is not None
        assert self._average is not None
        self._average.update_parameters(model)

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        """Write the average into the checkpoint."""
        if state.is_world_process_zero:
            assert args.output_dir is not None
            assert self._average is not None
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            tensors = {
                name: item.contiguous() for name, item in self._average.module.state_dict().items()
            }
            save_file(tensors, folder / AVERAGE_FILE)

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: object,
    ) -> None:
        """Leave the average in the model."""
        assert model is not None
        assert self._average is not None
        with torch.no_grad():
            model.load_state_dict(self._average.module.state_dict())
