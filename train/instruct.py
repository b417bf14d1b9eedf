"""Teach the whole model to answer: LoRA on the language model, the projector at its own rate.

`python -m videollm.train.instruct RECIPE --key value` writes `OUT/` (config, encoder, projector,
processor: the base as it was) and `OUT/adapter/`, a standard PEFT folder with the adapter and
the trained projector. The encoder and the language model's own weights do not move.
"""

import sys
from collections.abc import Sequence

from peft import PeftModel
from torch import Tensor

from videollm.loading import ADAPTER_FOLDER, resolve_model
from videollm.lora import attach_lora, load_adapter
from videollm.model import VideoLLMForConditionalGeneration
from videollm.train.arguments import AdapterArguments, ModelArguments
from videollm.train.building import build_videollm
from videollm.train.collate import PackingCollator
from videollm.train.dialogue_arguments import DialogueArguments
from videollm.train.dialogue_sets import build_dialogues
from videollm.train.parts import keep_evaluating
from videollm.train.stage import Run, run_stage, run_training

__all__ = ["GROUPS", "instruct", "main"]

GROUPS = (ModelArguments, AdapterArguments, DialogueArguments)
"""What can be set, besides the run itself."""


def instruct(
    run: Run, model_args: ModelArguments, adapter: AdapterArguments, data: DialogueArguments
) -> None:
    """Train an adapter and write base and adapter.

    Args:
        run: Arguments and checkpoint.
        model_args: The model to start from, best one that align wrote. Where it has an adapter
            already, that one goes on.
        adapter: Shape of a fresh LoRA.
        data: What is asked.

    Raises:
        RecipeError: Arguments contradict each other.
        DataError: The data cannot be used.
        ModelError: A model cannot be had.
    """
    model, processor = build_videollm(run, model_args, data)
    dataset, validation = build_dialogues(run, data, processor)
    base = base_weights(model)
    adapted = _adapt(model, model_args, adapter)
    # PEFT looks for the base's config whenever it saves, on the hub if need be.
    adapted.peft_config["default"].base_model_name_or_path = ""
    model.name_or_path = ""
    keep_evaluating(model.vision_model)
    run.args.prediction_loss_only = True
    collator = PackingCollator(processor=processor, max_length=data.max_length)
    run_training(run, adapted, collator=collator, dataset=dataset, validation=validation)
    if run.args.should_save:
        model.save_pretrained(run.args.folder, state_dict=base)
        processor.save_pretrained(run.args.folder)
        adapted.peft_config["default"].base_model_name_or_path = str(run.args.folder)
        adapted.save_pretrained(str(run.args.folder / ADAPTER_FOLDER))
        # An empty form, not a model card.
        (run.args.folder / ADAPTER_FOLDER / "README.md").unlink(missing_ok=True)


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
    return run_stage(argv, stage="instruct", groups=GROUPS, body=instruct)


if __name__ == "__main__":
    sys.exit(main())
