"""Data and teacher of a pretraining run, from its arguments."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from videollm.encoder import VideoMAPConfig
from videollm.errors import RecipeError
from videollm.train.arguments import DataArguments, PretrainArguments
from videollm.train.feature_cache import CachedFeatures, CacheInfo
from videollm.train.masks import MaskDrawer
from videollm.train.pretrain_batches import PretrainBatches
from videollm.train.scene_targets import target_size
from videollm.train.stage import Run
from videollm.train.teaching import Teaching, load_teacher
from videollm.train.toyworld_data import SceneCollator, ToyWorldScenes, check_frames
from videollm.train.video_clips import build_augment, build_policy
from videollm.train.video_files import FrameCollator, VideoFiles
from videollm.train.video_lists import read_entries
from videollm.train.view_arguments import ViewArguments
from videollm.worlds import find_world

__all__ = ["PretrainData", "PretrainTargets", "build_data", "build_targets", "cache_info"]

Collator = SceneCollator | FrameCollator


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainTargets:
    """Where a run's targets come from.

    Args:
        size: Width of a feature; None for pixels, which the model makes itself.
        teaching: A teacher to ask for each batch, or None.
        cache: Features that are on disk already, or None.
    """

    size: int | None
    teaching: Teaching | None = None
    cache: CachedFeatures | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainData:
    """What a run learns from.

    Args:
        train: Samples.
        validation: Samples to evaluate on, or None.
        collator: Makes a batch of samples.
    """

    train: Dataset[Any]
    validation: Dataset[Any] | None
    collator: Collator


def cache_info(
    encoder: VideoMAPConfig,
    data: DataArguments,
    objective: PretrainArguments,
    *,
    teacher: str,
    width: int,
    can_guide: bool,
) -> CacheInfo:
    """Return what a cache of a recipe's features says of itself."""
    drawn = "toyworld" if data.world == "toy" else f"toyworld {data.world}"
    world = f"{drawn}, seed {data.world_seed}"
    if objective.max_objects:
        world += f", {objective.max_objects} objects at most"
    return CacheInfo(
        teacher=teacher,
        dataset=world if data.dataset == "toyworld" else data.dataset,
        num_frames=data.num_frames,
        tubelet_size=encoder.tubelet_size,
        grid_size=encoder.grid_size,
        feature_size=width,
        can_guide=can_guide,
    )


def build_targets(
    run: Run, objective: PretrainArguments, data: DataArguments, encoder: VideoMAPConfig
) -> PretrainTargets:
    """Return the source of targets that the recipe names.

    Raises:
        RecipeError: Arguments contradict each other.
        ModelError: The teacher cannot be had.
        DataError: The cache is of other clips or another grid.
    """
    if objective.teacher == "pixels":
        return PretrainTargets(size=None)
    if objective.teacher == "scene":
        if data.dataset != "toyworld":
            raise RecipeError(
                f"teacher: scene knows the toy world only, not dataset {data.dataset}: use pixels"
            )
        return PretrainTargets(size=target_size(find_world(data.world)))
    if objective.teacher_cache is None:
        dtype = torch.bfloat16 if run.args.bf16 and not run.args.use_cpu else torch.float32
        teacher = load_teacher(objective, encoder, dtype)
        return PretrainTargets(size=teacher.feature_size, teaching=Teaching(teacher))
    cache = CachedFeatures(Path(objective.teacher_cache).expanduser())
    cache.check(cache_info(encoder, data, objective, teacher="", width=0, can_guide=True))
    if objective.subclip_frames:
        raise RecipeError("subclip_frames: a cache holds features of whole clips: set it to 0")
    if objective.masking == "attention" and not cache.info.can_guide:
        raise RecipeError(
            f"masking: attention; {cache.info.teacher}, whose features {cache.folder} holds, does "
            "not tell where it looks: use masking: random"
        )
    return PretrainTargets(size=cache.info.feature_size, cache=cache)


def build_data(
    run: Run,
    objective: PretrainArguments,
    data: DataArguments,
    views: ViewArguments,
    encoder: VideoMAPConfig,
    cache: CachedFeatures | None = None,
) -> PretrainData:
    """Return the samples that the recipe names, and what makes batches of them.

    Raises:
        RecipeError: Arguments contradict each other.
        DataError: The videos cannot be used.
    """
    if data.dataset == "llava":
        raise RecipeError("dataset: llava given; pretrain takes toyworld or videos (no text)")
    check_frames(data.num_frames, encoder)
    if objective.subclip_frames:
        check_frames(objective.subclip_frames, encoder, name="subclip_frames")
    batches = PretrainBatches(
        encoder=encoder,
        masks=MaskDrawer(keep_ratios=tuple(objective.keep_ratios), seed=run.args.seed),
        guided=objective.masking == "attention",
        cache=cache,
    )
    if cache is not None and (views.is_random and data.dataset == "videos"):
        raise RecipeError(
            "teacher_cache: it holds features of one view of each video; set sampling: uniform, "
            "crop: letterbox, and leave out flip, rand_augment and erase"
        )
    if data.dataset == "toyworld":
        return _toyworld(run, objective, data, views, batches)
    if objective.max_objects:
        raise RecipeError("max_objects: only scenes of the toy world are told their objects")
    listed = read_entries(
        [Path(item) for item in data.data_path],
        media_folder=Path(data.media_folder) if data.media_folder else None,
        labelled=False,
    )
    files = VideoFiles(
        listed.entries,
        policy=build_policy(views, data.num_frames),
        augment=build_augment(views, encoder.image_size),
        repeats=views.repeats,
        seed=run.args.seed,
        output=run.args.folder,
        max_bad=data.max_bad,
    )
    return PretrainData(train=files, validation=None, collator=FrameCollator(batches=batches))


def _toyworld(
    run: Run,
    objective: PretrainArguments,
    data: DataArguments,
    views: ViewArguments,
    batches: PretrainBatches,
) -> PretrainData:
    if views.changes_pictures or views.repeats > 1:
        raise RecipeError(
            "dataset: toyworld draws whole pictures; leave out crop, flip, rand_augment, erase "
            "and repeats"
        )
    train, validation = (
        ToyWorldScenes(
            split,
            num_clips,
            data.world_seed,
            max_objects=objective.max_objects,
            world=find_world(data.world),
        )
        for split, num_clips in (("train", data.num_clips), ("val", data.validation_clips))
    )
    collator = SceneCollator(
        encoder=batches.encoder,
        objective=objective,
        num_frames=data.num_frames,
        frame_rates=tuple(data.frame_rates),
        artefacts=data.artefacts,
        seed=run.args.seed,
        batches=batches,
        world=find_world(data.world),
    )
    return PretrainData(
        train=train, validation=validation if len(validation) else None, collator=collator
    )
