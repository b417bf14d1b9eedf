"""Teach a model which of two answers is wanted: direct preference optimization, through TRL.

`python -m videollm.train.dpo RECIPE --key value` writes what instruct writes. It needs the extra
`dpo`. The reference is the model that the run begins with: the base with the adapter off, or with
a frozen copy of the adapter that goes on.
"""

import functools
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from peft import PeftModel

from videollm.errors import RecipeError
from videollm.loading import resolve_model
from videollm.train.adapter_arguments import AdapterArguments
from videollm.train.arguments import ModelArguments
from videollm.train.building import build_videollm, checked
from videollm.train.decoding import DecodeArguments
from videollm.train.dialogue_arguments import DialogueArguments
from videollm.train.dialogue_sets import build_dialogues
from videollm.train.fields import described, require
from videollm.train.pair_collator import PairCollator
from videollm.train.parts import keep_evaluating
from videollm.train.run_card import write_tuned
from videollm.train.stage import Run, run_stage, run_training
from videollm.train.tuning import prepare_tuning

__all__ = ["GROUPS", "PreferenceArguments", "dpo", "main"]


@dataclass(kw_only=True)
class PreferenceArguments:
    """How a preference is learnt."""

    beta: float = field(
        default=0.1,
        metadata=described("how strongly the model is held to where it began, above 0"),
    )

    def __post_init__(self) -> None:
        require(self.beta > 0, f"beta: {self.beta} given, above 0 allowed")


GROUPS = (
    ModelArguments,
    AdapterArguments,
    PreferenceArguments,
    DialogueArguments,
    DecodeArguments,
)
"""What can be set, besides the run itself."""


def dpo(
    run: Run,
    model_args: ModelArguments,
    adapter: AdapterArguments,
    preference: PreferenceArguments,
    data: DialogueArguments,
    decoding: DecodeArguments,
) -> None:
    """Train an adapter on pairs of answers, and write a folder that loads again.

    Args:
        run: Arguments and checkpoint.
        model_args: The model to start from, best one that instruct wrote.
        adapter: Which weights learn.
        preference: How.
        data: Pairs.
        decoding: How long a video may take.

    Raises:
        RecipeError: Arguments contradict each other, or TRL is not installed.
        DataError: The data cannot be used.
        ModelError: A model cannot be had.
    """
    _check(adapter, data)
    quantization = "nf4" if adapter.tuning == "qlora" else None
    model, processor = build_videollm(run, model_args, data, quantization=quantization)
    dataset, _ = build_dialogues(run, data, decoding, processor)
    text_model = model.config.text_model
    tuning = prepare_tuning(run, model, model_args, adapter)
    assert isinstance(tuning.trained, PeftModel)
    # A reference that drops paths at random would be none.
    keep_evaluating(model.vision_model)
    run.args.prediction_loss_only = True
    from videollm.train.preference import REFERENCE, PreferenceTrainer

    source = None if model_args.model is None else resolve_model(model_args.model)
    with checked("dpo"):
        run_training(
            run,
            tuning.trained,
            collator=PairCollator(processor=processor),
            dataset=dataset,
            build_trainer=functools.partial(
                PreferenceTrainer,
                processor=processor,
                beta=preference.beta,
                is_fresh=source is None or source.adapter is None,
            ),
        )
    if REFERENCE in tuning.trained.peft_config:
        tuning.trained.delete_adapter(REFERENCE)
    write_tuned(run, tuning, model, processor, text_model=text_model, license_name=adapter.license)


def _check(adapter: AdapterArguments, data: DialogueArguments) -> None:
    if importlib.util.find_spec("trl") is None:
        raise RecipeError(
            "dpo needs TRL: run pip install 'videollm[dpo]', or pip install -e '.[dpo]' in a "
            "checkout"
        )
    require(
        adapter.tuning != "full",
        "tuning: full has no adapter, and the reference is the model with its adapter off: use "
        "lora, dora or qlora",
    )
    require(
        not adapter.lora_dropout,
        f"lora_dropout: {adapter.lora_dropout} given; dpo compares the model with its reference "
        "without any: leave it out",
    )
    require(
        data.shared_questions == 1 and not data.row_tokens,
        "shared_questions and row_tokens: a pair is a sample of its own: leave them out",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return run_stage(argv, stage="dpo", groups=GROUPS, body=dpo)


if __name__ == "__main__":
    sys.exit(main())
