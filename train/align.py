"""Align the projector with the language model; nothing else learns.

`python -m videollm.train.align RECIPE --key value` writes a model folder to `OUT/`.
"""

import sys
from collections.abc import Sequence

from videollm.errors import RecipeError
from videollm.loading import resolve_model
from videollm.model import VideoLLMForConditionalGeneration
from videollm.model_folder import own_weights
from videollm.processor import VideoLLMProcessor
from videollm.train.arguments import AlignArguments, ModelArguments
from videollm.train.building import build_collator, build_videollm
from videollm.train.decoding import DecodeArguments
from videollm.train.dialogue_arguments import DialogueArguments
from videollm.train.dialogue_sets import build_dialogues
from videollm.train.parts import freeze_all_but, keep_evaluating
from videollm.train.sharding import whole_state
from videollm.train.stage import Run, run_stage, run_training
from videollm.train.toyworld_data import ToyWorldScenes, WordCollator, check_frames
from videollm.train.words import WordAlignment

__all__ = ["GROUPS", "align", "main"]

GROUPS = (ModelArguments, AlignArguments, DialogueArguments, DecodeArguments)
"""What can be set, besides the run itself."""


def align(
    run: Run,
    model_args: ModelArguments,
    objective: AlignArguments,
    data: DialogueArguments,
    decoding: DecodeArguments,
) -> None:
    """Train the projector and write the model.

    Args:
        run: Arguments and checkpoint.
        model_args: The model to start from.
        objective: What the projector learns.
        data: What it sees.
        decoding: How long a video may take.

    Raises:
        RecipeError: Arguments contradict each other.
        DataError: The data cannot be used.
        ModelError: A model cannot be had.
    """
    if objective.objective == "words" and (data.mixture or data.dataset != "toyworld"):
        given = "a mixture" if data.mixture else f"dataset {data.dataset}"
        raise RecipeError(
            f"objective: words knows the toy world only, not {given}: use objective: caption"
        )
    if model_args.model is not None and resolve_model(model_args.model)[1] is not None:
        raise RecipeError(
            f"model: {model_args.model} has an adapter, made for the projector it has: align a "
            "model before instruct, not after"
        )
    model, processor = build_videollm(run, model_args, data)
    freeze_all_but(model, ["projector"])
    run.args.prediction_loss_only = True
    if objective.objective == "words":
        _align_words(run, model, processor, objective, data)
    else:
        _align_captions(run, model, processor, data, decoding)
    state = whole_state(model)
    if run.args.should_save:
        model.save_pretrained(run.args.folder, state_dict=own_weights(model, state))
        processor.save_pretrained(run.args.folder)


def _align_words(
    run: Run,
    model: VideoLLMForConditionalGeneration,
    processor: VideoLLMProcessor,
    objective: AlignArguments,
    data: DialogueArguments,
) -> None:
    check_frames(data.num_frames, model.config.vision)
    # Losses are asked for by the inputs that are always there.
    run.args.label_names = ["words"]
    validation = None
    if data.validation_clips:
        validation = ToyWorldScenes("val", data.validation_clips, data.world_seed)
    run_training(
        run,
        WordAlignment(
            model,
            processor.tokenizer,
            norm_weight=objective.norm_weight,
            place_weight=objective.place_weight,
        ),
        collator=WordCollator(
            encoder=model.config.vision,
            tokens_per_frame=model.config.tokens_per_frame,
            num_frames=data.num_frames,
        ),
        dataset=ToyWorldScenes("train", data.num_clips, data.world_seed),
        validation=validation,
    )


def _align_captions(
    run: Run,
    model: VideoLLMForConditionalGeneration,
    processor: VideoLLMProcessor,
    data: DialogueArguments,
    decoding: DecodeArguments,
) -> None:
    dataset, validation = build_dialogues(run, data, decoding, processor)
    keep_evaluating(model.vision_model)
    if model.config.text_model is not None:
        # Checkpoints leave the language model out; resuming must not miss it.
        model._keys_to_ignore_on_save = {
            name for name in model.state_dict() if name.startswith("language_model.")
        }
    collator = build_collator(model, processor, data)
    run_training(run, model, collator=collator, dataset=dataset, validation=validation)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return run_stage(argv, stage="align", groups=GROUPS, body=align)


if __name__ == "__main__":
    sys.exit(main())
