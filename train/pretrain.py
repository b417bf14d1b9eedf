"""Pretrain the encoder: predict what a teacher says of frames to come, without labels.

`python -m videollm.train.pretrain RECIPE --key value` writes `OUT/encoder/`.
"""

import sys
from collections.abc import Sequence

from torch import Tensor

from videollm.encoder import VideoMAPForPreTraining, VideoMAPModel, VideoMAPPreTrainingConfig
from videollm.errors import RecipeError
from videollm.train.arguments import DataArguments, EncoderArguments, PretrainArguments
from videollm.train.building import build_encoder, checked, vision_config
from videollm.train.pictures import PredictionPictures
from videollm.train.pretrain_data import PretrainData, PretrainTargets, build_data, build_targets
from videollm.train.sharding import part_of_state, whole_state
from videollm.train.stage import Run, run_stage, run_training
from videollm.train.view_arguments import ViewArguments

__all__ = ["ENCODER_FOLDER", "main", "pretrain"]

ENCODER_FOLDER = "encoder"


def pretrain(
    run: Run,
    encoder_args: EncoderArguments,
    objective: PretrainArguments,
    data: DataArguments,
    views: ViewArguments,
) -> None:
    """Train an encoder and write it to `OUT/encoder`.

    Args:
        run: Arguments and checkpoint.
        encoder_args: The encoder to start from.
        objective: What it predicts.
        data: What it sees.
        views: How clips are cut from videos and changed.

    Raises:
        RecipeError: Arguments contradict each other.
        ModelError: The encoder or the teacher cannot be had.
        DataError: The videos, or the teacher's cached features, cannot be used.
    """
    # Losses are asked for by the inputs that are always there.
    run.args.label_names = ["pixel_values"]
    run.args.prediction_loss_only = True
    encoder = build_encoder(encoder_args)
    config = vision_config(encoder)
    targets = build_targets(run, objective, data, config)
    found = build_data(run, objective, data, views, config, targets.cache)
    model = build_model(encoder, objective, targets.size)
    pictures = []
    if objective.picture_steps:
        draw = PredictionPictures(
            lambda: picture_batch(run, found, targets), objective.picture_steps
        )
        pictures.append(draw)
    run_training(
        run,
        model,
        collator=found.collator,
        dataset=found.train,
        validation=found.validation,
        complete=targets.teaching,
        clips_per_sample=views.repeats,
        callbacks=pictures,
    )
    state = part_of_state(whole_state(model), "encoder")
    if run.args.should_save:
        model.encoder.save_pretrained(run.args.folder / ENCODER_FOLDER, state_dict=state)


def picture_batch(run: Run, data: PretrainData, targets: PretrainTargets) -> dict[str, Tensor]:
    """Return the batch that pictures are drawn of: the data's first sample, on the device."""
    batch = data.collator([data.train[0]])
    batch = {name: item.to(run.args.device) for name, item in batch.items()}
    return batch if targets.teaching is None else targets.teaching(batch, keep_attention=True)


def build_model(
    encoder: VideoMAPModel, objective: PretrainArguments, target_size: int | None
) -> VideoMAPForPreTraining:
    """Return the pretraining model around a fresh or a trained encoder.

    Args:
        encoder: Its weights are taken over.
        objective: What it predicts.
        target_size: Width of a teacher's feature; None for pixels.

    Raises:
        RecipeError: The objective does not fit the encoder.
    """
    tokens = vision_config(encoder).grid_size ** 2
    whole = [keep for keep in objective.keep_ratios if round(tokens * keep) == tokens]
    if objective.decoding == "token" and whole:
        raise RecipeError(
            f"keep_ratios: {whole[0]} leaves all {tokens} tokens of a frame visible, and decoding: "
            "token scores those that are not: keep less, or use decoding: frame"
        )
    with checked("pretrain"):
        config = VideoMAPPreTrainingConfig(
            encoder_config=encoder.config,
            target_type="pixels" if target_size is None else "features",
            target_dim=target_size,
            target_norm=objective.target_norm,
            decoder_layers=objective.decoder_layers,
            decoder_hidden_size=objective.decoder_hidden_size,
            decoder_attention_heads=objective.decoder_attention_heads,
            decoder_context=objective.decoder_context,
            decoding=objective.decoding,
            prediction_weight=objective.prediction_weight,
            alignment_weight=objective.alignment_weight,
            alignment_layers=objective.alignment_layers,
        )
        model = VideoMAPForPreTraining(config)
    model.encoder.load_state_dict(encoder.state_dict())
    return model


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    groups = (EncoderArguments, PretrainArguments, DataArguments, ViewArguments)
    return run_stage(argv, stage="pretrain", groups=groups, body=pretrain)


if __name__ == "__main__":
    sys.exit(main())
