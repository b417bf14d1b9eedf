"""Ask a teacher once about every clip of a pretraining recipe, and keep what it says.

`videollm features RECIPE --teacher_model NAME --output_dir FOLDER` writes the cache; pretrain with
the same recipe and `--teacher_cache FOLDER`. What was written before an interruption is kept.
"""

import sys
from collections.abc import Sequence

import torch
from rich.progress import track
from torch.utils.data import DataLoader

from videollm.errors import RecipeError
from videollm.train.arguments import DataArguments, EncoderArguments, PretrainArguments
from videollm.train.building import build_encoder, vision_config
from videollm.train.feature_cache import FeatureWriter
from videollm.train.pretrain_data import build_data, cache_info
from videollm.train.stage import Run, run_stage
from videollm.train.teaching import load_teacher
from videollm.train.view_arguments import ViewArguments

__all__ = ["features", "main"]


def features(
    run: Run,
    encoder_args: EncoderArguments,
    objective: PretrainArguments,
    data: DataArguments,
    views: ViewArguments,
) -> None:
    """Write a cache of a teacher's features to the output folder.

    Args:
        run: Batch size, workers and device.
        encoder_args: Whose grid the features are for.
        objective: Names the teacher.
        data: The clips.
        views: How they are cut; nothing of it may be random.

    Raises:
        RecipeError: Arguments contradict each other.
        ModelError: The teacher cannot be had.
        DataError: The videos cannot be used, or the folder holds a cache already.
    """
    if objective.teacher != "clip" or objective.teacher_model is None:
        raise RecipeError("features: name a teacher: --teacher clip --teacher_model NAME")
    if run.args.world_size > 1:
        raise RecipeError("features: one process writes the cache; start it without a launcher")
    if data.dataset == "videos" and (views.is_random or views.repeats > 1):
        raise RecipeError(
            "features: a cache holds one view of each video; set sampling: uniform, crop: "
            "letterbox, and leave out flip, rand_augment, erase and repeats"
        )
    config = vision_config(build_encoder(encoder_args))
    teacher = load_teacher(objective, config, torch.float32).to(run.args.device)
    found = build_data(run, objective, data, views, config)
    info = cache_info(
        config,
        data,
        objective,
        teacher=objective.teacher_model,
        width=teacher.feature_size,
        can_guide=teacher.can_guide,
    )
    writer = FeatureWriter(run.args.folder, info)
    loader = DataLoader(
        found.train,
        batch_size=run.args.per_device_train_batch_size,
        num_workers=run.args.dataloader_num_workers,
        collate_fn=found.collator.look,
    )
    for pixel_values, names in track(
        loader, description="asking", disable=run.args.disable_tqdm is True
    ):
        if all(name in writer for name in names):
            continue
        seen = teacher(pixel_values.to(run.args.device))
        for name, clip, attention in zip(names, seen.features, seen.attention, strict=True):
            writer.add(name, clip, attention)
    print(f"{writer.close()} clips of {info.dataset} in {run.args.folder}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    groups = (EncoderArguments, PretrainArguments, DataArguments, ViewArguments)
    return run_stage(argv, stage="features", groups=groups, body=features, recipes_of="pretrain")


if __name__ == "__main__":
    sys.exit(main())
