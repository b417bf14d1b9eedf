"""Real video files as pretraining data: frames alone, no text and no labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from videollm.train.augment import Augment
from videollm.train.draws import FreshDraws, draw_generator
from videollm.train.pretrain_batches import PretrainBatches
from videollm.train.video_clips import ClipPolicy, EntryReader
from videollm.train.video_lists import VideoEntry

__all__ = ["FrameCollator", "FrameSample", "VideoFiles"]

_STREAM = 4


@dataclass(frozen=True, slots=True)
class FrameSample:
    """Hold views of one file.

    Args:
        draw: Its number.
        name: What a cache of features calls the clip that was read.
        views: (V, T, 3, S, S), float32, normalised.
    """

    draw: int
    name: str
    views: Tensor


class VideoFiles(FreshDraws[FrameSample]):
    """Views of listed videos.

    Args:
        entries: Videos.
        policy: Which frames make a clip.
        augment: What makes a view of a clip.
        repeats: Views V of a clip.
        seed: Of the frames and views.
        output: Folder for the report on bad samples.
        max_bad: Largest share of bad files, 0 to 1.

    Raises:
        DataError: Too many files are missing.
    """

    def __init__(
        self,
        entries: Sequence[VideoEntry],
        *,
        policy: ClipPolicy,
        augment: Augment,
        repeats: int,
        seed: int,
        output: Path,
        max_bad: float,
    ) -> None:
        self.reader = EntryReader(entries, policy, output=output, max_bad=max_bad)
        self.augment, self.repeats, self.seed = augment, repeats, seed

    def __len__(self) -> int:
        return len(self.reader.entries)

    def __getitem__(self, draw: int) -> FrameSample:
        """Return views of file `draw % len`, or of the next one that can be read.

        Raises:
            DataError: Too many files cannot be read.
        """
        rng = draw_generator(self.seed, draw, _STREAM)
        entry, clip = self.reader.read(draw % len(self), rng)
        views = [self.augment(clip.frames, rng) for _ in range(self.repeats)]
        return FrameSample(draw, entry.clip_name, torch.stack(views))


@dataclass(frozen=True, kw_only=True)
class FrameCollator:
    """Make a batch of clips to pretrain on.

    Args:
        batches: Masks, and a teacher's features.
    """

    batches: PretrainBatches

    def __call__(self, samples: list[FrameSample]) -> dict[str, Tensor]:
        """Return `pixel_values` (B * V, ...) and what the objective needs beside them."""
        frames, names = self.look(samples)
        repeats = len(samples[0].views)
        draws = [repeats * sample.draw + view for sample in samples for view in range(repeats)]
        return self.batches.make(frames, draws, names)

    def look(self, samples: list[FrameSample]) -> tuple[Tensor, list[str]]:
        """Return clips (B * V, T, 3, S, S) as a teacher sees them, and their names."""
        names = [sample.name for sample in samples for _ in sample.views]
        return torch.cat([sample.views for sample in samples]), names
