"""What watches a run: metrics as JSON lines, the parts of a loss, a guard, and a plot at the end.

Each is a `TrainerCallback`, so the loop stays the Trainer's own. Only the first process writes.
"""

import json
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_pt_utils import distributed_concat

from videollm.errors import RecipeError
from videollm.train.stage_arguments import StageArguments

__all__ = ["METRICS_FILE", "FiniteGuard", "LossParts", "LossPlot", "MetricsFile", "read_metrics"]

logger = logging.getLogger(__name__)

METRICS_FILE = "metrics.jsonl"
PLOT_FILE = "loss.png"


def _folder(args: TrainingArguments) -> Path:
    assert args.output_dir is not None
    return Path(args.output_dir)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a run, in order of steps; none when there is no file."""
    path = folder / METRICS_FILE
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    # A kill can cut the last line short.
    return [json.loads(line) for line in lines if line.endswith("}")]


class MetricsFile(TrainerCallback):
    """Append what the Trainer logs to `metrics.jsonl`, with throughput beside each loss.

    A resumed run drops the records after the checkpoint that it goes on from, so that the file
    reads as if the run had never stopped.
    """

    def __init__(self) -> None:
        self._step = 0
        self._seconds = 0.0

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        """Keep the records up to the step that the run goes on from."""
        self._step, self._seconds = state.global_step, time.monotonic()
        if state.is_world_process_zero:
            kept = [item for item in read_metrics(_folder(args)) if item["step"] <= self._step]
            self._write(_folder(args), kept if self._step else [], mode="w")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Add samples per second since the last loss, and append the record."""
        if logs is None:
            return
        if "loss" in logs:
            now, steps = time.monotonic(), state.global_step - self._step
            assert isinstance(args, StageArguments)
            rate = steps * args.samples_per_step / max(now - self._seconds, 1e-9)
            logs["samples_per_second"] = round(rate, 3)
            self._step, self._seconds = state.global_step, now
        if state.is_world_process_zero:
            self._write(_folder(args), [{"step": state.global_step, **logs}], mode="a")

    def _write(self, folder: Path, records: list[dict[str, Any]], *, mode: str) -> None:
        with (folder / METRICS_FILE).open(mode, encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)


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
    """End the run before a gradient that is not finite reaches the weights."""

    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: object,
    ) -> None:
        """Check the gradients, which a loss that is not finite always spoils.

        Raises:
            RecipeError: One is infinite or not a number.
        """
        assert model is not None
        gradients = [item.grad for item in model.parameters() if item.grad is not None]
        if gradients and not torch.isfinite(torch.nn.utils.get_total_norm(gradients)):
            raise self._error(state, "the gradient")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Check the logged loss.

        Raises:
            RecipeError: It is infinite or not a number.
        """
        if logs is not None and not math.isfinite(logs.get("loss", 0.0)):
            raise self._error(state, "the loss")

    def _error(self, state: TrainerState, what: str) -> RecipeError:
        return RecipeError(
            f"{what} is not finite after step {state.global_step}; lower the learning rate or "
            "max_grad_norm, or use float32; the newest checkpoint is from before this step"
        )


class LossPlot(TrainerCallback):
    """Draw `loss.png` from the metrics when the run ends, where matplotlib is installed."""

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        """Draw the training loss, and the evaluation loss where there is one."""
        if not state.is_world_process_zero:
            return
        try:
            from matplotlib.figure import Figure
        except ImportError:
            logger.warning("no %s: matplotlib is missing (pip install videollm[train])", PLOT_FILE)
            return
        records = read_metrics(_folder(args))
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for name, label in (("loss", "training"), ("eval_loss", "validation")):
            points = [(item["step"], item[name]) for item in records if name in item]
            if points:
                axes.plot(*zip(*points, strict=True), label=label)
        axes.set(xlabel="step", ylabel="loss", title=_folder(args).name)
        if axes.lines:
            axes.legend()
        axes.grid(visible=True, alpha=0.3)
        figure.savefig(_folder(args) / PLOT_FILE, dpi=120)
