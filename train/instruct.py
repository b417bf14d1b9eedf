"""Teach the whole model to answer: LoRA on the language model, the projector at its own rate.

`python -m videollm.train.instruct RECIPE --key value` writes `OUT/` (config, encoder, projector,
processor: the base as it was) and `OUT/adapter/`, a standard PEFT folder with the adapter and
the trained projector. The encoder and the language model's own weights do not move.
"""

import sys
from collections.abc import Sequence

from peft import PeftModel
from torch import Tensor
from torch.utils.data import Dataset
from transformers import TrainerCallback

from videollm.errors import RecipeError
from videollm.loading import ADAPTER_FOLDER, resolve_model
from videollm.lora import attach_lora, load_adapter
from videollm.model import VideoLLMForConditionalGeneration
from videollm.processor import VideoLLMProcessor
from videollm.train.arguments import (
    AdapterArguments,
    DataArguments,
    HeldOutArguments,
    ModelArguments,
)
from videollm.train.building import build_dialogues, build_videollm
from videollm.train.collate import PackingCollator
from videollm.train.decoding import DecodeArguments
from videollm.train.examples import Example
from videollm.train.held_out import HeldOutAnswers, held_out_questions
from videollm.train.parts import keep_evaluating
from videollm.train.sharding import whole_state
from videollm.train.stage import Run, run_stage, run_training

__all__ = ["instruct", "main"]


def instruct(
    run: Run,
    model_args: ModelArguments,
    adapter: AdapterArguments,
    data: DataArguments,
    held_out: HeldOutArguments,
    decoding: DecodeArguments,
) -> None:
    """Train an adapter and write base and adapter.

    Args:
        run: Arguments and checkpoint.
        model_args: The model to start from, best one that align wrote. Where it has an adapter
            already, that one goes on.
        adapter: Shape of a fresh LoRA.
        data: What is asked.
        held_out: What is asked now and then without learning from it.
        decoding: How long a video may take.

    Raises:
        RecipeError: Arguments contradict each other.
        DataError: The data cannot be used.
        ModelError: A model cannot be had.
    """
    model, processor = build_videollm(run, model_args, data)
    dataset, validation = build_dialogues(run, data, decoding, processor)
    base = base_weights(model)
    adapted = _adapt(model, model_args, adapter)
    # PEFT looks for the base's config whenever it saves, on the hub if need be.
    adapted.peft_config["default"].base_model_name_or_path = ""
    model.name_or_path = ""
    keep_evaluating(model.vision_model)
    run.args.prediction_loss_only = True
    collator = PackingCollator(processor=processor, max_length=data.max_length)
    run_training(
        run,
        adapted,
        collator=collator,
        dataset=dataset,
        validation=validation,
        callbacks=_watchers(run, held_out, validation, processor),
    )
    state = whole_state(adapted)
    if run.args.should_save:
        model.save_pretrained(run.args.folder, state_dict=base)
        processor.save_pretrained(run.args.folder)
        adapted.peft_config["default"].base_model_name_or_path = str(run.args.folder)
        adapted.save_pretrained(str(run.args.folder / ADAPTER_FOLDER), state_dict=state)
        # An empty form, not a model card.
        (run.args.folder / ADAPTER_FOLDER / "README.md").unlink(missing_ok=True)


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


def base_weights(model: VideoLLMForConditionalGeneration) -> dict[str, Tensor]:
    """Return what belongs into a model folder: all but a language model that is kept by name."""
    kept_by_name = model.config.text_model is not None
    return {
        name: value
        for name, value in model.state_dict().items()
        if not (kept_by_name and name.startswith("language_model."))
    }


def _adapt(
    model: VideoLLMForConditionalGeneration, model_args: ModelArguments, adapter: AdapterArguments
) -> PeftModel:
    trained = None if model_args.model is None else resolve_model(model_args.model)[1]
    if trained is not None:
        return load_adapter(model, trained, is_trainable=True)
    return attach_lora(
        model,
        rank=adapter.lora_rank,
        alpha=adapter.lora_alpha,
        dropout=adapter.lora_dropout,
        train_projector=adapter.train_projector,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    groups = (
        ModelArguments,
        AdapterArguments,
        DataArguments,
        HeldOutArguments,
        DecodeArguments,
    )
    return run_stage(argv, stage="instruct", groups=groups, body=instruct)


if __name__ == "__main__":
    sys.exit(main())
