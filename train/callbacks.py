"""What watches a run: metrics as JSON lines, the parts of a loss, a guard against infinities.

Each is a `TrainerCallback`, so the loop stays the Trainer's own. Only the first process writes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_pt_utils import distributed_concat

from videollm.errors import RecipeError
from videollm.train.records import StepRecords

__all__ = ["METRICS_FILE", "FiniteGuard", "LossParts", "MetricsFile", "read_metrics"]

METRICS_FILE = "metrics.jsonl"


def _metrics(args: TrainingArguments) -> StepRecords:
    assert args.output_dir is not None
    return StepRecords(Path(args.output_dir) / METRICS_FILE)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a run, in order of steps; none when there is no file."""
    return StepRecords(folder / METRICS_FILE).read()


class MetricsFile(TrainerCallback):
    """Append what the Trainer logs to `metrics.jsonl`."""

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        """Keep the records up to the step that the run goes on from."""
        if state.is_world_process_zero:
            _metrics(args).go_on_from(state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Append the record."""
        if logs is not None and state.is_world_process_zero:
            _metrics(args).append([{"step": state.global_step, **logs}])


class LossParts(TrainerCallback):
    """Log the mean over all processes of every `*_loss` that the model returns beside its `loss`.

    The Trainer hands callbacks no outputs, so a forward hook collects them.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self._handle: Any = None

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: object,
    ) -> None:
        """Start to collect."""
        assert model is not None
        self._handle = model.register_forward_hook(self._collect)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Add the means since the last loss to the record."""
        if logs is not None and "loss" in logs and self._sums:
            means = torch.stack(list(self._sums.values())) / self._count
            if args.world_size > 1:
                means = distributed_concat(means[None]).mean(dim=0)
            logs.update(dict(zip(self._sums, means.tolist(), strict=True)))
            self._sums, self._count = {}, 0

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        """Leave the model as it was."""
        self._handle.remove()

    def _collect(self, module: nn.Module, inputs: object, output: object) -> None:
        if not module.training or not isinstance(output, Mapping):
            return
        for name, value in output.items():
            if name.endswith("_loss") and isinstance(value, Tensor):
                self._sums[name] = self._sums.get(name, value.new_zeros(())) + value.detach()
        self._count += 1


class FiniteGuard(TrainerCallback):
    """End the run before a value that is not finite reaches the weights, and keep the batch.

    A loss is checked as soon as the model gives it, gradients before each step. The batch goes to
    `bad_batch-RANK.pt`, the model's arguments by name, for `torch.load`.
    """

    def __init__(self) -> None:
        self._batch: Mapping[str, object] = {}
        self._path = Path()
        self._step = 0
        self._handle: Any = None

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: object,
    ) -> None:
        """Start to look."""
        assert model is not None
        assert args.output_dir is not None
        self._path = Path(args.output_dir) / f"bad_batch-{args.process_index}.pt"
        self._step = state.global_step
        self._handle = model.register_forward_hook(self._look, with_kwargs=True)

    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: object,
    ) -> None:
        """Check the gradients.

        Raises:
            RecipeError: One is infinite or not a number.
        """
        assert model is not None
        gradients = [item.grad for item in model.parameters() if item.grad is not None]
        if gradients and not torch.isfinite(torch.nn.utils.get_total_norm(gradients)):
            raise self._error("the gradient")

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        """Count, for the error."""
        self._step = state.global_step

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        """Leave the model as it was."""
        self._handle.remove()

    def _look(
        self, module: nn.Module, inputs: object, named: Mapping[str, object], output: object
    ) -> None:
        if not module.training or not isinstance(output, Mapping):
            return
        self._batch = named
        loss = output.get("loss")
        if isinstance(loss, Tensor) and not torch.isfinite(loss).all():
            raise self._error("the loss")

    def _error(self, what: str) -> RecipeError:
        torch.save(dict(self._batch), self._path)
        return RecipeError(
            f"{what} is not finite after step {self._step}; the batch is kept in {self._path}; "
            "lower the learning rate or max_grad_norm, or use float32; the newest checkpoint is "
            "from before this step"
        )
