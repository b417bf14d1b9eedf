"""What all stages share: parse, resume, train, and end with one clear line when it is the user's.

A stage is a function of its filled arguments that builds model and data, calls `run_training`
and writes its result. The loop is the Trainer's.
"""

import logging
import math
import sys
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import EvalPrediction, PrinterCallback, ProgressCallback, TrainerCallback
from transformers.utils import logging as hf_logging

from videollm.errors import RecipeError, VideoLLMError
from videollm.heap import return_large_blocks
from videollm.runtime import configure_logging, set_seed
from videollm.train.averaging import WeightAverage, load_average
from videollm.train.callbacks import FiniteGuard, LossParts, MetricsFile
from videollm.train.checkpoints import (
    MarkComplete,
    find_resume_point,
    set_aside_incomplete,
    step_of,
)
from videollm.train.parts import PartsTrainer
from videollm.train.progress import ProgressBar, ProgressLines, Throughput
from videollm.train.recipe import parse_recipe, recorded_stage, write_recipe
from videollm.train.stage_arguments import StageArguments
from videollm.train.summary import RunSummary

__all__ = ["Run", "apply_batch_settings", "run_stage", "run_training"]

Batch = dict[str, Tensor]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run of a stage.

    Args:
        stage: "pretrain", "align" or "instruct".
        args: The Trainer's arguments.
        values: Every resolved value, for `recipe.yaml`.
        checkpoint: Complete checkpoint to go on from, or None.
    """

    stage: str
    args: StageArguments
    values: dict[str, Any]
    checkpoint: Path | None

    @property
    def is_finished(self) -> bool:
        """Whether the checkpoint is already the last step of the run."""
        steps = self.args.max_steps
        return self.checkpoint is not None and 0 < steps <= step_of(self.checkpoint)


def run_stage(
    arguments: Sequence[str] | None,
    *,
    stage: str,
    groups: Sequence[type[Any]],
    body: Callable[..., None],
    recipes_of: str | None = None,
) -> int:
    """Run a stage's program and return its exit code.

    Args:
        arguments: Command line after the program's name; None: that of the process.
        stage: Name of the program.
        groups: Dataclasses of arguments, before `StageArguments`.
        body: Called with the `Run` and one instance of each group.
        recipes_of: Stage whose recipes it reads; its own where None.

    Returns:
        0; 2 after an error that the user can mend, told in one line on stderr; 130 when the
        user stops the run.
    """
    configure_logging()
    # Its bars for single files would break the Trainer's own.
    hf_logging.disable_progress_bar()
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        filled, values = parse_recipe(
            given, stage=stage, groups=(*groups, StageArguments), recipes_of=recipes_of
        )
        args: StageArguments = filled[-1]
        checkpoint = find_resume_point(args.folder, args.resume)
        recorded = recorded_stage(args.folder)
        if checkpoint is not None and recorded not in (None, stage):
            raise RecipeError(
                f"output_dir: {args.folder} holds a run of {recorded}, not of {stage}: name "
                "another folder, or start anew with --resume never"
            )
        set_seed(args.seed)
        run = Run(stage=stage, args=args, values=values, checkpoint=checkpoint)
        body(run, *filled[:-1])
    except VideoLLMError as error:
        # A data worker wraps its traceback around the message; the last line is ours.
        print(f"error: {str(error).splitlines()[-1]}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "interrupted: the same command goes on from the newest complete checkpoint",
            file=sys.stderr,
        )
        return 130
    return 0


def apply_batch_settings(
    args: StageArguments, *, num_samples: int, clips_per_sample: int = 1
) -> None:
    """Settle what depends on the global batch: learning rates that scale, warm-up in epochs.

    Args:
        args: Changed in place.
        num_samples: Samples of one epoch.
        clips_per_sample: Clips that the model sees of each sample.
    """
    samples = args.samples_per_step
    if args.batch_size_of_rates:
        factor = samples * clips_per_sample / args.batch_size_of_rates
        args.learning_rate *= factor
        for name in ("encoder", "projector", "adapter"):
            key = f"{name}_learning_rate"
            if getattr(args, key) is not None:
                setattr(args, key, getattr(args, key) * factor)
        logger.info("%d clips a step: rates times %g", samples * clips_per_sample, factor)
    if args.warmup_epochs:
        args.warmup_steps = max(1, round(args.warmup_epochs * math.ceil(num_samples / samples)))


def run_training(
    run: Run,
    model: nn.Module,
    *,
    collator: Callable[[list[Any]], dict[str, Any]],
    dataset: Dataset[Any],
    validation: Dataset[Any] | None = None,
    complete: Callable[[Batch], Batch] | None = None,
    clips_per_sample: int = 1,
    callbacks: Sequence[TrainerCallback] = (),
    metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
    build_trainer: Callable[..., PartsTrainer] = PartsTrainer,
) -> None:
    """Train a model in place, from the run's checkpoint where there is one.

    Writes `recipe.yaml`, `metrics.jsonl`, `loss.png`, `summary.html` and `checkpoint-N/` into the
    output folder.

    Args:
        run: Arguments and checkpoint.
        model: Returns a mapping with `loss`; only parameters that require a gradient learn.
        collator: Makes a batch of samples.
        dataset: Samples to learn from.
        validation: Samples whose loss is logged when `eval_strategy` asks for it.
        complete: What batches lack is added by it, on the device.
        clips_per_sample: What a sample counts as where rates scale with the global batch.
        callbacks: What watches this run beside the usual ones.
        metrics: From validation predictions to numbers to log.
        build_trainer: Called with the arguments of a `PartsTrainer`.
    """
    apply_batch_settings(
        run.args, num_samples=len(cast(Sized, dataset)), clips_per_sample=clips_per_sample
    )
    if run.args.should_save:
        write_recipe(run.args.folder, stage=run.stage, values=run.values)
        set_aside_incomplete(run.args.folder)
    if run.args.activation_checkpointing:
        return_large_blocks()
    trainer = build_trainer(
        model=model,
        args=run.args,
        data_collator=collator,
        train_dataset=dataset,
        eval_dataset=validation,
        complete=complete,
        compute_metrics=metrics,
        callbacks=[
            *callbacks,
            *([WeightAverage(average, run.checkpoint)] if (average := run.args.ema_decay) else []),
            MetricsFile(),
            FiniteGuard(),
            MarkComplete(),  # last of all that write into a checkpoint
            RunSummary(run.values),
        ],
    )
    _watch(trainer)
    if hasattr(model, "config"):
        # The Trainer sets this switch of language models on any config; ours has no such field.
        vars(model.config).pop("use_cache", None)
    _train(trainer, run)


def _train(trainer: PartsTrainer, run: Run) -> None:
    """Train from the run's checkpoint, or from the beginning where there is none."""
    if run.checkpoint is None:
        trainer.train()
    elif not run.is_finished:
        logger.info("Resuming from %s", run.checkpoint)
        trainer.train(resume_from_checkpoint=str(run.checkpoint))
    else:
        logger.info("%s is the last step already; nothing is left to train", run.checkpoint)
        if run.args.ema_decay:
            assert trainer.model is not None
            load_average(trainer.model, run.checkpoint)
        else:
            trainer._load_from_checkpoint(str(run.checkpoint))


def _watch(trainer: PartsTrainer) -> None:
    """Add what completes a record before any other callback reads it, and what shows it after."""
    for usual in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(usual)
    handler = trainer.callback_handler
    shown = ProgressLines() if trainer.args.disable_tqdm else ProgressBar()
    handler.callbacks = [LossParts(), Throughput(), *handler.callbacks, shown]
