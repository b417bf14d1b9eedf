"""Pretrain the encoder: predict what a teacher says of frames to come, without labels.

`python -m videollm.train.pretrain RECIPE --key value` writes `OUT/encoder/`.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from videollm.encoder import VideoMAPForPreTraining, VideoMAPPreTrainingConfig
from videollm.errors import RecipeError
from videollm.train.arguments import DataArguments, EncoderArguments, PretrainArguments
from videollm.train.building import build_encoder, checked, vision_config
from videollm.train.scene_targets import TARGET_SIZE
from videollm.train.stage import Run, run_stage, run_training
from videollm.train.toyworld_data import SceneCollator, ToyWorldScenes, check_frames
from videollm.train.video_files import FrameCollator, VideoFiles, list_videos

__all__ = ["main", "pretrain"]

ENCODER_FOLDER = "encoder"

Collator = Callable[[list[Any]], dict[str, Tensor]]


def pretrain(
    run: Run, encoder_args: EncoderArguments, objective: PretrainArguments, data: DataArguments
) -> None:
    """Train an encoder and write it to `OUT/encoder`.

    Args:
        run: Arguments and checkpoint.
        encoder_args: The encoder to start from.
        objective: What it predicts.
        data: What it sees.

    Raises:
        RecipeError: Arguments contradict each other.
        DataError: The videos cannot be used.
    """
    if objective.teacher == "scene" and data.dataset != "toyworld":
        raise RecipeError(
            f"teacher: scene knows the toy world only, not dataset {data.dataset}: use pixels"
        )
    if data.dataset == "llava":
        raise RecipeError("dataset: llava given; pretrain takes toyworld or videos (no text)")
    # Losses are asked for by the inputs that are always there.
    run.args.label_names = ["pixel_values"]
    run.args.prediction_loss_only = True
    model = build_model(encoder_args, objective)
    encoder = vision_config(model.encoder)
    check_frames(data.num_frames, encoder)
    if objective.subclip_frames:
        check_frames(objective.subclip_frames, encoder, name="subclip_frames")
    dataset, validation, collator = _build_data(run, objective, data, model)
    run_training(run, model, collator=collator, dataset=dataset, validation=validation)
    if run.args.should_save:
        model.encoder.save_pretrained(run.args.folder / ENCODER_FOLDER)


def build_model(
    encoder_args: EncoderArguments, objective: PretrainArguments
) -> VideoMAPForPreTraining:
    """Return the pretraining model around a fresh or a trained encoder.

    Raises:
        RecipeError: The objective does not fit the encoder.
    """
    encoder = build_encoder(encoder_args)
    with checked("pretrain"):
        config = VideoMAPPreTrainingConfig(
            encoder_config=encoder.config,
            target_type="features" if objective.teacher == "scene" else "pixels",
            target_dim=TARGET_SIZE if objective.teacher == "scene" else None,
            decoder_layers=objective.decoder_layers,
            decoder_hidden_size=objective.decoder_hidden_size,
            decoder_attention_heads=objective.decoder_attention_heads,
            decoder_context=objective.decoder_context,
            prediction_weight=objective.prediction_weight,
            alignment_weight=objective.alignment_weight,
            alignment_layers=objective.alignment_layers,
        )
        model = VideoMAPForPreTraining(config)
    model.encoder.load_state_dict(encoder.state_dict())
    return model


def _build_data(
    run: Run, objective: PretrainArguments, data: DataArguments, model: VideoMAPForPreTraining
) -> tuple[Dataset[Any], Dataset[Any] | None, Collator]:
    encoder, seed = vision_config(model.encoder), run.args.seed
    if data.dataset == "toyworld":
        validation = None
        if data.validation_clips:
            validation = ToyWorldScenes("val", data.validation_clips, data.world_seed)
        collator: Collator = SceneCollator(
            encoder=encoder, objective=objective, num_frames=data.num_frames, seed=seed
        )
        return ToyWorldScenes("train", data.num_clips, data.world_seed), validation, collator
    folder = Path(data.media_folder) if data.media_folder else None
    files = VideoFiles(
        list_videos([Path(item) for item in data.data_path], folder),
        num_frames=data.num_frames,
        output=run.args.folder,
        max_bad=data.max_bad,
    )
    keep = tuple(objective.keep_ratios)
    return files, None, FrameCollator(encoder=encoder, keep_ratios=keep, seed=seed)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    groups = (EncoderArguments, PretrainArguments, DataArguments)
    return run_stage(argv, stage="pretrain", groups=groups, body=pretrain)


if __name__ == "__main__":
    sys.exit(main())
