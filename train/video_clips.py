"""Clips of listed videos: which frames, for learning and for the test."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from videollm.clip import Clip
from videollm.errors import DataError
from videollm.sampling import choose_times
from videollm.sampling_policies import sample_segments
from videollm.train.augment import Augment
from videollm.train.decoding import open_video
from videollm.train.examples import BadSamples, first_readable
from videollm.train.video_lists import VideoEntry, missing
from videollm.train.view_arguments import ViewArguments
from videollm.train.views import dense_times

__all__ = ["ClipPolicy", "EntryReader", "build_augment", "build_policy"]


def build_augment(views: ViewArguments, size: int) -> Augment:
    """Return what makes a view of `size` pixels a side, as the recipe says."""
    return Augment(
        size=size,
        crop=views.crop,
        crop_scale=(views.crop_scale[0], views.crop_scale[1]),
        flip=views.flip,
        rand_augment=views.rand_augment,
        erase=views.erase,
    )


def build_policy(views: ViewArguments, num_frames: int) -> "ClipPolicy":
    """Return which frames make a clip of `num_frames`, as the recipe says."""
    return ClipPolicy(
        num_frames=num_frames,
        sampling=views.sampling,
        frame_stride=views.frame_stride,
        decode_seconds=views.decode_seconds,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipPolicy:
    """Which frames of a video make a clip.

    Args:
        num_frames: Frames of a clip.
        sampling: As `ViewArguments` names them.
        frame_stride: Of a dense clip, in source frames.
        decode_seconds: As `videollm.train.decoding.open_video` takes it.
    """

    num_frames: int
    sampling: str
    frame_stride: int
    decode_seconds: float | None = None

    def read(
        self,
        entry: VideoEntry,
        *,
        rng: np.random.Generator | None = None,
        clip: int = 0,
        num_clips: int = 1,
    ) -> Clip:
        """Return a clip: anywhere with `rng`, else number `clip` of the `num_clips` of a test.

        Raises:
            VideoError: The video cannot be read, or not in time.
            RequestError: It is shorter than the part that its list names.
        """
        source = entry.source if isinstance(entry.source, Path) else entry.source.read()
        part: dict[str, Any] = {
            "start_seconds": entry.start_seconds,
            "end_seconds": entry.end_seconds,
        }
        which = {"rng": rng, "clip": clip, "num_clips": num_clips, **part}
        with open_video(source, self.decode_seconds) as reader:
            if self.sampling == "dense":
                times = dense_times(reader.metadata, self.num_frames, self.frame_stride, **which)
            elif self.sampling == "segments" or num_clips > 1:
                times = sample_segments(reader.metadata, self.num_frames, **which)
            else:
                chosen = choose_times(
                    reader, sampling=self.sampling, num_frames=self.num_frames, **part
                )
                # There may be fewer keyframes; every clip of a batch is as long.
                places = range(self.num_frames)
                times = [chosen[place * len(chosen) // self.num_frames] for place in places]
            return reader.read(times)


class EntryReader:
    """Read clips of listed videos; what cannot be read is reported, and the next one stands in.

    Args:
        entries: Videos; those whose file is missing are reported and left out.
        policy: Which frames make a clip.
        output: Folder for the report on bad samples.
        max_bad: Largest share of bad videos, 0 to 1.

    Raises:
        DataError: Too many files are missing, or all.
    """

    def __init__(
        self, entries: Sequence[VideoEntry], policy: ClipPolicy, *, output: Path, max_bad: float
    ) -> None:
        self.bad = BadSamples(output, num_samples=len(entries), max_share=max_bad)
        for entry in missing(entries):
            self.bad.add(entry.name, f"{entry.source}: missing")
        self.bad.check()
        self.entries = [entry for entry in entries if entry.name not in self.bad]
        if not self.entries:
            raise DataError(f"none of {len(entries)} videos is there; see {self.bad.path}")
        self.policy = policy

    def read(self, index: int, rng: np.random.Generator | None = None) -> tuple[VideoEntry, Clip]:
        """Return video `index`, or the next that can be read, with a clip of it.

        Raises:
            DataError: Too many videos cannot be read.
        """
        return first_readable(
            self.entries,
            index,
            load=lambda entry: self.policy.read(entry, rng=rng),
            name=lambda entry: entry.name,
            bad=self.bad,
        )
