"""Teach the whole model to answer: LoRA, QLoRA, DoRA, or every weight of the language model.

`python -m videollm.train.instruct RECIPE --key value` writes `OUT/` (config, encoder, projector,
processor: the base as it was) and `OUT/adapter/`, a standard PEFT folder with the adapter, the
trained projector, and the encoder where it was trained; with `tuning: full`, `OUT/` alone, which
then holds all weights. `OUT/README.md` is the model card.
"""

import sys
from collections.abc import Sequence

from torch.utils.data import Dataset
from transformers import TrainerCallback

from videollm.errors import RecipeError
from videollm.processor import VideoLLMProcessor
from videollm.train.adapter_arguments import AdapterArguments
from videollm.train.arguments import HeldOutArguments, ModelArguments
from videollm.train.building import build_collator, build_videollm
from videollm.train.decoding import DecodeArguments
from videollm.train.dialogue_arguments import DialogueArguments
from videollm.train.dialogue_sets import build_dialogues
from videollm.train.examples import Example
from videollm.train.held_out import HeldOutAnswers, held_out_questions
from videollm.train.run_card import write_tuned
from videollm.train.stage import Run, run_stage, run_training
from videollm.train.tuning import model_arguments, prepare_tuning

__all__ = ["GROUPS", "instruct", "main"]

GROUPS = (
    ModelArguments,
    AdapterArguments,
    DialogueArguments,
    HeldOutArguments,
    DecodeArguments,
)
"""What can be set, besides the run itself."""


def instruct(
    run: Run,
    model_args: ModelArguments,
    adapter: AdapterArguments,
    data: DialogueArguments,
    held_out: HeldOutArguments,
    decoding: DecodeArguments,
) -> None:
    """Train an adapter, or the whole model, and write a folder that loads again.

    Args:
        run: Arguments and checkpoint.
        model_args: The model to start from, best one that align wrote. Where it has an adapter
            already, that one goes on.
        adapter: Which weights learn.
        data: What is asked.
        held_out: What is asked now and then without learning from it.
        decoding: How long a video may take.

    Raises:
        RecipeError: Arguments contradict each other.
        DataError: The data cannot be used.
        ModelError: A model cannot be had.
    """
    model_args = model_arguments(model_args, adapter)
    quantization = "nf4" if adapter.tuning == "qlora" else None
    model, processor = build_videollm(run, model_args, data, quantization=quantization)
    dataset, validation = build_dialogues(run, data, decoding, processor)
    text_model = model.config.text_model
    tuning = prepare_tuning(run, model, model_args, adapter)
    run.args.prediction_loss_only = True
    collator = build_collator(model, processor, data)
    run_training(
        run,
        tuning.trained,
        collator=collator,
        dataset=dataset,
        validation=validation,
        callbacks=_watchers(run, held_out, validation, processor),
    )
    write_tuned(run, tuning, model, processor, text_model=text_model, license_name=adapter.license)


def _watchers(
    run: Run,
    held_out: HeldOutArguments,
    validation: Dataset[Example] | None,
    processor: VideoLLMProcessor,
) -> list[TrainerCallback]:
    if not held_out.answer_steps:
        return []
    if validation is None:
        raise RecipeError("answer_steps: there are no held-out samples: set validation_clips")
    questions = held_out_questions(validation, held_out.answer_questions)
    return [
        HeldOutAnswers(processor, questions, folder=run.args.folder, every=held_out.answer_steps)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return run_stage(argv, stage="instruct", groups=GROUPS, body=instruct)


if __name__ == "__main__":
    sys.exit(main())
