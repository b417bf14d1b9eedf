"""How fast a run is, how much memory it takes, how long it still needs; and one line that says so.

`Throughput` adds numbers to what the Trainer logs; `ProgressBar` and `ProgressLines` show them.
"""

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    ProgressCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_pt_utils import distributed_concat

from videollm.packing import is_packed, sequences_of_spans
from videollm.runtime import peak_rss_bytes
from videollm.train.stage_arguments import StageArguments

__all__ = ["ProgressBar", "ProgressLines", "Throughput", "describe_record"]

_UNITS = {
    "samples_per_second": "samples/s",
    "dialogues_per_second": "dialogues/s",
    "tokens_per_second": "tokens/s",
    "peak_memory_gib": "GiB at most",
    "minutes_left": "min left",
}
_UNSAID = frozenset({"epoch", "total_flos", "step", *_UNITS})


class Throughput(TrainerCallback):
    """Add speed, memory and the time left to every record of a loss.

    `samples_per_second` (of what a batch size counts), `tokens_per_second` (places of `input_ids`,
    padding included) and `dialogues_per_second` (both left out where a model reads no text) are of
    all processes, since the last record; `peak_memory_gib` is this process's, on its device;
    `minutes_left` follows from the speed since the run began or went on.
    """

    def __init__(self) -> None:
        self._counts = [0, 0]
        self._handle: Any = None

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: object,
    ) -> None:
        """Start the clocks."""
        assert model is not None
        self._step = self._first_step = state.global_step
        self._seconds = self._first_seconds = time.monotonic()
        self._handle = model.register_forward_pre_hook(self._count, with_kwargs=True)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Add the numbers to the record."""
        if logs is None or "loss" not in logs:
            return
        assert isinstance(args, StageArguments)
        now, step = time.monotonic(), state.global_step
        seconds = max(now - self._seconds, 1e-9)
        steps = step - self._step
        logs["samples_per_second"] = round(steps * args.samples_per_step / seconds, 3)
        counts = self._counts
        if args.world_size > 1:
            everywhere = distributed_concat(torch.tensor([counts], device=args.device))
            counts = everywhere.sum(dim=0).tolist()
        for name, number in zip(("tokens", "dialogues"), counts, strict=True):
            if number:
                logs[f"{name}_per_second"] = round(number / seconds, 2)
        logs["peak_memory_gib"] = round(_peak_memory(args.device) / 2**30, 3)
        done = max(step - self._first_step, 1)
        left = (state.max_steps - step) * (now - self._first_seconds) / done
        logs["minutes_left"] = round(left / 60, 2)
        self._step, self._seconds, self._counts = step, now, [0, 0]

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        """Leave the model as it was."""
        self._handle.remove()

    def _count(self, module: nn.Module, inputs: object, named: Mapping[str, object]) -> None:
        tokens, mask = named.get("input_ids"), named.get("attention_mask")
        if module.training and isinstance(tokens, Tensor):
            self._counts[0] += tokens.numel()
            if isinstance(mask, Tensor) and is_packed(mask):
                self._counts[1] += len(sequences_of_spans(mask))
            else:
                self._counts[1] += len(tokens)


class ProgressBar(ProgressCallback):
    """The Trainer's bar; each record is one line above it."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Write the line."""
        if self.training_bar is not None and logs is not None:
            self.training_bar.write(_line(logs, state))


class ProgressLines(TrainerCallback):
    """Each record as one line, for files and terminals without a bar."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Print the line."""
        if state.is_world_process_zero and logs is not None:
            print(_line(logs, state), flush=True)


def _line(logs: Mapping[str, float], state: TrainerState) -> str:
    return describe_record(logs, step=state.global_step, max_steps=state.max_steps)


def describe_record(logs: Mapping[str, float], *, step: int, max_steps: int) -> str:
    """Return what a record says, in one line: the step, its values, then speed and time left."""
    values = [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in logs.items()
        if name not in _UNSAID
    ]
    speeds = [f"{logs[name]:.4g} {unit}" for name, unit in _UNITS.items() if name in logs]
    return f"step {step}/{max_steps}: {', '.join([*values, *speeds])}"


def _peak_memory(device: torch.device) -> int:
    """Return the most bytes held at once so far, on the device where it is a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_rss_bytes()
