"""Labelled clips for classification: views to learn from, views to be tested on.

Legend: B batch, V views, T frames, S side of the input, K classes.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from videollm.errors import RequestError, VideoError
from videollm.train.augment import Augment
from videollm.train.draws import FreshDraws, draw_generator
from videollm.train.mixing import Mixing
from videollm.train.video_clips import ClipPolicy, EntryReader
from videollm.train.video_lists import VideoEntry
from videollm.train.views import test_crops
from videollm.transforms import preprocess_frames

__all__ = [
    "UNREADABLE",
    "VIEW_STREAM",
    "ClipViews",
    "LabelledVideos",
    "VideoViews",
    "ViewCollator",
    "balanced_share",
]

logger = logging.getLogger(__name__)

UNREADABLE = -100
"""Label of a video that could not be read; losses and scores leave it out."""

VIEW_STREAM, _MIX_STREAM = 2, 3
"""Which randomness of a draw makes its views, and which mixes its batch."""


@dataclass(frozen=True, slots=True)
class ClipViews:
    """Hold the views of one video.

    Args:
        name: Of the video.
        draw: Number of the draw; -1 at a test.
        views: (V, T, 3, S, S), float32, normalised.
        label: Number of the class.
    """

    name: str
    draw: int
    views: Tensor
    label: int


def balanced_share(labels: Sequence[int], share: float, seed: int) -> list[int]:
    """Return which samples make up a share of each class, at least one of each, in rising order.

    A smaller share with the same seed is a part of a larger one.
    """
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for label in sorted(set(labels)):
        members = [index for index, item in enumerate(labels) if item == label]
        order = rng.permutation(len(members))
        chosen += [members[k] for k in order[: max(1, round(share * len(members)))]]
    return sorted(chosen)


@dataclass(frozen=True, kw_only=True)
class ViewCollator:
    """Make a batch of clips.

    Args:
        mixing: What mixes clips and smooths labels while learning; None at a test.
        seed: Seed of the mixing.
        as_views: Whether the views of a video stay together, (B, V, T, 3, S, S).
    """

    mixing: Mixing | None = None
    seed: int = 0
    as_views: bool = False

    def __call__(self, samples: list[ClipViews]) -> dict[str, Tensor]:
        """Return `pixel_values` (B * V, T, 3, S, S) and `labels` (B * V,) or (B * V, K)."""
        views = [sample.views for sample in samples]
        labels = torch.tensor([sample.label for sample in samples])
        if self.as_views:
            return {"pixel_values": torch.stack(views), "labels": labels}
        batch = {
            "pixel_values": torch.cat(views),
            "labels": labels.repeat_interleave(torch.tensor([len(item) for item in views])),
        }
        draws = [sample.draw for sample in samples]
        if self.mixing is None or min(draws) < 0:  # validation shares this collator
            return batch
        rng = np.random.default_rng([self.seed, _MIX_STREAM, *draws])
        pixels, labels = self.mixing(batch["pixel_values"], batch["labels"], rng)
        return {"pixel_values": pixels, "labels": labels}


class LabelledVideos(FreshDraws[ClipViews]):
    """Views of labelled videos to learn from.

    Args:
        reader: Gives clips of the videos.
        augment: What makes a view of a clip.
        seed: Of the frames and views.
        repeats: Views V of a clip.
    """

    def __init__(self, reader: EntryReader, *, augment: Augment, seed: int, repeats: int) -> None:
        self.reader, self.augment, self.seed, self.repeats = reader, augment, seed, repeats

    def __len__(self) -> int:
        return len(self.reader.entries)

    def __getitem__(self, draw: int) -> ClipViews:
        """Return views of video `draw % len`, or of the next one that can be read.

        Raises:
            DataError: Too many videos cannot be read.
        """
        rng = draw_generator(self.seed, draw, VIEW_STREAM)
        entry, clip = self.reader.read(draw % len(self), rng)
        views = torch.stack([self.augment(clip.frames, rng) for _ in range(self.repeats)])
        assert entry.label is not None
        return ClipViews(entry.name, draw, views, entry.label)


class VideoViews(Dataset[ClipViews]):
    """Several clips and crops of labelled videos to be tested on.

    A video that cannot be read has grey views and the label `UNREADABLE`: it is in no score.

    Args:
        entries: The videos.
        policy: Which frames make a clip.
        size: Side S.
        letterbox: Whether a view is the whole picture, else crops.
        num_clips: Clips of a video.
        num_crops: Crops of a clip, 1 or 3.
    """

    def __init__(
        self,
        entries: Sequence[VideoEntry],
        *,
        policy: ClipPolicy,
        size: int,
        letterbox: bool,
        num_clips: int = 1,
        num_crops: int = 1,
    ) -> None:
        self.entries, self.policy, self.size = entries, policy, size
        self.letterbox, self.num_clips, self.num_crops = letterbox, num_clips, num_crops

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> ClipViews:
        if not 0 <= index < len(self):
            raise IndexError(index)
        entry = self.entries[index]
        try:
            views = torch.cat([self._crops(entry, clip) for clip in range(self.num_clips)])
        except (VideoError, RequestError) as error:
            logger.warning("not tested: %s", error)
            shape = (self.policy.num_frames, 3, self.size, self.size)
            grey = torch.zeros(self.num_clips * self.num_crops, *shape)
            return ClipViews(entry.name, -1, grey, UNREADABLE)
        assert entry.label is not None
        return ClipViews(entry.name, -1, views, entry.label)

    def of_one_view(self) -> "VideoViews":
        """Return the same videos with one clip and one crop of each."""
        return VideoViews(
            self.entries, policy=self.policy, size=self.size, letterbox=self.letterbox
        )

    def _crops(self, entry: VideoEntry, clip: int) -> Tensor:
        frames = self.policy.read(entry, clip=clip, num_clips=self.num_clips).frames
        if self.letterbox:
            return preprocess_frames(frames, self.size)[None]
        return test_crops(frames, self.size, self.num_crops)
