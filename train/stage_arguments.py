"""What can be set about a training run itself, the same for every stage."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

from transformers import TrainingArguments

from videollm.runtime import cpu_has_fast_bf16
from videollm.train.fields import described, require

__all__ = ["StageArguments"]

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class StageArguments(TrainingArguments):
    """Hugging Face's training arguments, our defaults, and what a run of ours needs besides."""

    resume: str = field(
        default="auto",
        metadata=described("auto: newest complete checkpoint of output_dir; never; or its folder"),
    )
    encoder_learning_rate: float | None = field(
        default=None, metadata=described("rate of the encoder (default: learning_rate)")
    )
    layer_decay: float = field(
        default=1.0,
        metadata=described("factor on the rate of each encoder layer below the head, (0, 1]"),
    )
    batch_size_of_rates: int = field(
        default=0,
        metadata=described(
            "global batch that the learning rates are for; they scale with the real one, 0 to not"
        ),
    )
    warmup_epochs: float = field(
        default=0.0,
        metadata=described("epochs of warm-up, in the place of warmup_steps; 0 for none"),
    )
    ema_decay: float = field(
        default=0.0,
        metadata=described("keep a moving average of the weights, as 0.9999; 0 for none, below 1"),
    )
    projector_learning_rate: float | None = field(
        default=None, metadata=described("rate of the projector (default: learning_rate)")
    )
    adapter_learning_rate: float | None = field(
        default=None, metadata=described("rate of the LoRA adapter (default: learning_rate)")
    )
    remove_unused_columns: bool = field(
        default=False, metadata=described("kept False: the collators need every field of a sample")
    )
    logging_nan_inf_filter: bool = field(
        default=False, metadata=described("kept False: a loss that is not finite ends the run")
    )
    save_total_limit: int | None = field(
        default=2, metadata=described("checkpoints to keep, 2 or more, so that one is complete")
    )
    logging_steps: float = field(default=10, metadata=described("steps between two logged losses"))
    dataloader_pin_memory: bool = field(
        default=False, metadata=described("copy batches through pinned memory (for GPUs)")
    )

    def __post_init__(self) -> None:
        require(self.output_dir is not None, "output_dir: nothing given; add --output_dir FOLDER")
        for name in ("remove_unused_columns", "logging_nan_inf_filter"):
            require(not getattr(self, name), f"{name}: only false is allowed here; leave it out")
        require(
            self.train_sampling_strategy in ("random", "group_by_length"),
            f"train_sampling_strategy: {self.train_sampling_strategy} given, random or "
            "group_by_length allowed",
        )
        require(
            self.save_total_limit is None or self.save_total_limit >= 2,
            f"save_total_limit: {self.save_total_limit} given, 2 or more allowed: while the newest "
            "checkpoint is being written the one before is the only complete one",
        )
        require(
            self.resume_from_checkpoint is None,
            "resume_from_checkpoint: not read here; use resume: auto, never or a folder",
        )
        require(
            not self.use_liger_kernel,
            "use_liger_kernel: its kernels are put in by model type, and it knows none of ours, so "
            "nothing would change: leave it out (the loss here is already computed for supervised "
            "positions alone)",
        )
        require(
            0 < self.layer_decay <= 1,
            f"layer_decay: {self.layer_decay} given, above 0 and up to 1 allowed",
        )
        require(0 <= self.ema_decay < 1, f"ema_decay: {self.ema_decay} given, [0, 1) allowed")
        for name in ("batch_size_of_rates", "warmup_epochs"):
            require(
                getattr(self, name) >= 0, f"{name}: {getattr(self, name)} given, 0 or more allowed"
            )
        require(
            not (self.warmup_epochs and self.warmup_steps),
            "warmup_epochs and warmup_steps are both given: leave one of them out",
        )
        if self.data_seed is None:
            self.data_seed = self.seed
        super().__post_init__()  # type: ignore[no-untyped-call]
        if self.bf16 and self.device.type == "cpu" and not cpu_has_fast_bf16():
            logger.warning(
                "bf16: this processor has no fast instructions for bfloat16 and takes longer than "
                "in float32, often several times as long: add --bf16 false"
            )

    @property
    def samples_per_step(self) -> int:
        """Samples of one optimizer step, over all devices and processes."""
        return self.train_batch_size * self.gradient_accumulation_steps * self.world_size

    @property
    def folder(self) -> Path:
        """Folder that everything of this run goes to."""
        assert self.output_dir is not None
        return Path(self.output_dir)
