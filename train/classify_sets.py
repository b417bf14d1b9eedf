"""What a classification run learns from and is tested on, from its arguments."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from videollm.encoder import VideoMAPConfig
from videollm.errors import DataError, RecipeError
from videollm.train.augment import direction_sensitive
from videollm.train.classify_arguments import ClassifyArguments, ClassifyDataArguments
from videollm.train.classify_data import (
    LabelledVideos,
    VideoViews,
    balanced_share,
)
from videollm.train.motion_clips import MotionClips, MotionTest, MotionTraining
from videollm.train.stage import Run
from videollm.train.toyworld_data import check_frames
from videollm.train.video_clips import EntryReader, build_augment, build_policy
from videollm.train.video_entries import read_class_names
from videollm.train.video_lists import VideoEntry, VideoList, missing, read_entries
from videollm.train.view_arguments import ViewArguments
from videollm.worlds import WORLDS

__all__ = ["HeldOutSet", "TrainingSet", "build_held_out_set", "build_training_set"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSet:
    """What a run learns from.

    Args:
        classes: Names of the K classes.
        views: Of the videos.
    """

    classes: Sequence[str]
    views: Dataset[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOutSet:
    """What a run is tested on.

    Args:
        views: All views of each video.
        single: One view of each, for scores while learning.
        names: Of the videos.
    """

    views: Dataset[Any]
    single: Dataset[Any]
    names: Sequence[str]


def build_training_set(
    run: Run, data: ClassifyDataArguments, views: ViewArguments, encoder: VideoMAPConfig
) -> TrainingSet:
    """Return what the recipe learns from.

    Raises:
        RecipeError: Arguments contradict each other or the encoder.
        DataError: The lists or videos cannot be used.
    """
    check_frames(data.num_frames, encoder)
    augment = build_augment(views, encoder.image_size)
    if data.dataset == "toyworld":
        classes = WORLDS[data.world].motions
        _refuse_false_flips(views, classes)
        motions = MotionTraining(
            _motion_clips(data, "train", augment.size),
            augment=augment,
            share=data.label_fraction,
            view_seed=run.args.seed,
            repeats=views.repeats,
        )
        return TrainingSet(classes=classes, views=motions)
    given = Path(data.classes) if data.classes else None
    listed = _read(data.data_path, data, given, data.subset)
    _refuse_false_flips(views, listed.classes)
    labels = [entry.label for entry in listed.entries if entry.label is not None]
    chosen = balanced_share(labels, data.label_fraction, run.args.seed)
    reader = EntryReader(
        [listed.entries[index] for index in chosen],
        build_policy(views, data.num_frames),
        output=run.args.folder,
        max_bad=data.max_bad,
    )
    videos = LabelledVideos(reader, augment=augment, seed=run.args.seed, repeats=views.repeats)
    return TrainingSet(classes=listed.classes, views=videos)


def build_held_out_set(
    how: ClassifyArguments,
    data: ClassifyDataArguments,
    views: ViewArguments,
    encoder: VideoMAPConfig,
    classes: Sequence[str],
) -> HeldOutSet:
    """Return what the recipe tests a classifier of these classes on.

    Raises:
        RecipeError: Arguments contradict each other, the encoder or the classes.
        DataError: The lists cannot be used, or hold other classes.
    """
    check_frames(data.num_frames, encoder)
    if views.crop == "letterbox" and how.test_crops > 1:
        raise RecipeError(
            f"test_crops: {how.test_crops} with crop: letterbox, which shows the whole picture: "
            "leave it at 1"
        )
    if data.dataset == "toyworld":
        if how.test_clips > 1:
            raise RecipeError(
                f"test_clips: {how.test_clips}; toy clips are shown whole: leave it at 1"
            )
        _require_classes(classes, WORLDS[data.world].motions)
        motions = MotionTest(_motion_clips(data, "val", encoder.image_size))
        return HeldOutSet(views=motions, single=motions, names=motions.names)
    if data.classes:
        _require_classes(classes, read_class_names(Path(data.classes)))
    listed = _read(data.validation_path, data, classes, data.validation_subset)
    _refuse_missing(listed.entries, data.max_bad)
    test = VideoViews(
        listed.entries,
        policy=build_policy(views, data.num_frames),
        size=encoder.image_size,
        letterbox=views.crop == "letterbox",
        num_clips=how.test_clips,
        num_crops=how.test_crops,
    )
    names = [entry.name for entry in listed.entries]
    return HeldOutSet(views=test, single=test.of_one_view(), names=names)


def _refuse_missing(entries: Sequence[VideoEntry], max_bad: float) -> None:
    """Refuse a test set of which too much is not there, before anything is trained."""
    gone = missing(entries)
    if len(gone) > max_bad * len(entries):
        raise DataError(
            f"validation_path: {len(gone)} of {len(entries)} videos to be tested on are missing, "
            f"more than the share max_bad = {max_bad:g}; the first: {gone[0].name}: "
            f"{gone[0].source}; mend the list, or raise max_bad"
        )


def _require_classes(known: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse a classifier of other classes than the data's."""
    if list(known) != list(wanted):
        raise RecipeError(
            f"evaluate: the classifier tells {len(known)} classes apart "
            f"({', '.join(known[:3])}, ...), the data has {len(wanted)} "
            f"({', '.join(wanted[:3])}, ...): they must be the same, in the same order"
        )


def _refuse_false_flips(views: ViewArguments, classes: Sequence[str]) -> None:
    """Refuse to mirror clips whose class would no longer be true."""
    sided = direction_sensitive(classes)
    if views.flip and sided:
        raise RecipeError(
            f"flip: {views.flip} given, but {len(sided)} classes have sides ({sided[0]!r}): a "
            "mirrored clip would be labelled falsely; set flip to 0"
        )


def _motion_clips(data: ClassifyDataArguments, split: str, size: int) -> MotionClips:
    num = data.num_clips if split == "train" else data.validation_clips
    return MotionClips(
        WORLDS[data.world],
        split,
        num,
        seed=data.world_seed,
        num_frames=data.num_frames,
        size=size,
    )


def _read(
    paths: Sequence[str],
    data: ClassifyDataArguments,
    classes: Path | Sequence[str] | None,
    subset: str | None,
) -> VideoList:
    return read_entries(
        [Path(item) for item in paths],
        media_folder=Path(data.media_folder) if data.media_folder else None,
        layout=data.layout,
        classes=classes,
        labelled=True,
        subset=subset,
    )
