"""What all stages share: parse, resume, train, and end with one clear line when it is the user's.

A stage is a function of its filled arguments that builds model and data, calls `run_training`
and writes its result. The loop is the Trainer's.
"""

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from torch.utils.data import Dataset
from transformers.utils import logging as hf_logging

from videollm.errors import VideoLLMError
from videollm.runtime import configure_logging, set_seed
from videollm.train.arguments import StageArguments
from videollm.train.callbacks import FiniteGuard, LossParts, LossPlot, MetricsFile
from videollm.train.checkpoints import (
    MarkComplete,
    find_resume_point,
    set_aside_incomplete,
    step_of,
)
from videollm.train.parts import PartsTrainer
from videollm.train.recipe import parse_recipe, write_recipe

__all__ = ["Run", "run_stage", "run_training"]

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
) -> int:
    """Run a stage's program and return its exit code.

    Args:
        arguments: Command line after the program's name; None: that of the process.
        stage: Name of the program.
        groups: Dataclasses of arguments, before `StageArguments`.
        body: Called with the `Run` and one instance of each group.

    Returns:
        0; 2 after an error that the user can mend, told in one line on stderr; 130 when the
        user stops the run.
    """
    configure_logging()
    # Its bars for single files would break the Trainer's own.
    hf_logging.disable_progress_bar()
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        filled, values = parse_recipe(given, stage=stage, groups=(*groups, StageArguments))
        args: StageArguments = filled[-1]
        checkpoint = find_resume_point(args.folder, args.resume)
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


def run_training(
    run: Run,
    model: nn.Module,
    *,
    collator: Callable[[list[Any]], dict[str, Any]],
    dataset: Dataset[Any],
    validation: Dataset[Any] | None = None,
) -> None:
    """Train a model in place, from the run's checkpoint where there is one.

    Writes `recipe.yaml`, `metrics.jsonl`, `loss.png` and `checkpoint-N/` into the output folder.

    Args:
        run: Arguments and checkpoint.
        model: Returns a mapping with `loss`; only parameters that require a gradient learn.
        collator: Makes a batch of samples.
        dataset: Samples to learn from.
        validation: Samples whose loss is logged when `eval_strategy` asks for it.
    """
    if run.args.should_save:
        write_recipe(run.args.folder, stage=run.stage, values=run.values)
        set_aside_incomplete(run.args.folder)
    trainer = PartsTrainer(
        model=model,
        args=run.args,
        data_collator=collator,
        train_dataset=dataset,
        eval_dataset=validation,
        callbacks=[LossParts(), MetricsFile(), FiniteGuard(), MarkComplete(), LossPlot()],
    )
    if hasattr(model, "config"):
        # The Trainer sets this switch of language models on any config; ours has no such field.
        vars(model.config).pop("use_cache", None)
    if run.checkpoint is None:
        trainer.train()
    elif run.is_finished:
        logger.info("%s is the last step already; nothing is left to train", run.checkpoint)
        trainer._load_from_checkpoint(str(run.checkpoint))
    else:
        logger.info("Resuming from %s", run.checkpoint)
        trainer.train(resume_from_checkpoint=str(run.checkpoint))
