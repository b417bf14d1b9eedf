"""What can be set about classification: how it learns, from what, and how it is tested."""

from dataclasses import dataclass, field
from typing import Literal

from videollm.train.fields import Share, described, require

__all__ = ["ClassifyArguments", "ClassifyDataArguments"]


@dataclass(kw_only=True)
class ClassifyArguments:
    """What of the model learns to tell classes apart."""

    mode: Literal["finetune", "linear_probe", "attentive_probe"] = field(
        default="finetune",
        metadata=described(
            "finetune: the whole model; the probes leave the encoder as it is and learn a linear "
            "head over its mean token, or a query that reads all tokens"
        ),
    )
    evaluate: str | None = field(
        default=None,
        metadata=described("test the classifier of this finished run instead of training one"),
    )
    mixup: float = field(default=0.0, metadata=described("alpha of mixup, 0 for none"))
    cutmix: float = field(default=0.0, metadata=described("alpha of cutmix, 0 for none"))
    label_smoothing: float = field(
        default=0.0, metadata=described("share of the label spread over all classes, [0, 1)")
    )
    test_clips: int = field(default=1, metadata=described("clips of a video at the test"))
    test_crops: Literal[1, 3] = field(
        default=1, metadata=described("crops of a clip at the test: 1 (centre) or 3 along its side")
    )

    def __post_init__(self) -> None:
        require(self.test_clips >= 1, f"test_clips: {self.test_clips} given, 1 or more allowed")


@dataclass(kw_only=True)
class ClassifyDataArguments:
    """Which labelled clips there are."""

    dataset: Literal["videos", "toyworld"] = field(
        default="videos",
        metadata=described("videos: files by lists; toyworld: how one object moves"),
    )
    world: Literal["toy", "shapes"] = field(
        default="toy",
        metadata=described("toyworld: toy (7 classes) or shapes (8; changing backgrounds)"),
    )
    data_path: list[str] = field(
        default_factory=list,
        metadata=described("videos: lists, class folders or published files to learn from"),
    )
    validation_path: list[str] = field(
        default_factory=list, metadata=described("videos: likewise, to be tested on")
    )
    media_folder: str | None = field(
        default=None,
        metadata=described("where relative media paths start (default: beside their list)"),
    )
    layout: str = field(
        default="auto",
        metadata=described(
            "of the lists: list, folders, shards, kinetics, ssv2, ucf101, breakfast, coin; or auto"
        ),
    )
    classes: str | None = field(
        default=None,
        metadata=described("file with the classes' names, one a line, in order of their numbers"),
    )
    label_fraction: float = field(
        default=1.0, metadata=described("share of each class to learn from, (0, 1]")
    )
    subset: str | None = field(
        default=None,
        metadata=described("part of a kinetics, breakfast or coin list to learn from, as train"),
    )
    validation_subset: str | None = field(
        default=None, metadata=described("likewise, to be tested on, as test")
    )
    num_frames: int = field(default=16, metadata=described("frames of a clip"))
    num_clips: int = field(default=1000, metadata=described("toyworld: clips to learn from"))
    validation_clips: int = field(default=500, metadata=described("toyworld: clips to test on"))
    world_seed: int = field(default=0, metadata=described("toyworld: seed of the scenes"))
    max_bad: Share = field(
        default=Share(0.05),
        metadata=described("share of bad samples, as 0.01 or 1%%, beyond which a run fails"),
    )

    def __post_init__(self) -> None:
        for name in ("num_frames", "num_clips", "validation_clips"):
            require(
                getattr(self, name) >= 1, f"{name}: {getattr(self, name)} given, 1 or more allowed"
            )
        require(
            0 < self.label_fraction <= 1,
            f"label_fraction: {self.label_fraction} given, above 0 and up to 1 allowed",
        )
        require(0 <= self.max_bad <= 1, f"max_bad: {self.max_bad} given, 0 to 1 allowed")
        if self.dataset == "videos":
            for name in ("data_path", "validation_path"):
                require(bool(getattr(self, name)), f"dataset: videos needs {name}: give a list")
