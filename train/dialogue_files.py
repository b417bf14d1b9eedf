"""Dialogues about media files, as a data set: what is bad is skipped, counted and named."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from videollm.clip import Clip
from videollm.errors import RequestError, VideoError
from videollm.processor import VideoLLMProcessor
from videollm.sampling import load_clip
from videollm.train.choice import choose
from videollm.train.decoding import open_video
from videollm.train.dialogue_lists import read_values
from videollm.train.dialogue_records import Medium, MissingMedium, Record, parse_record
from videollm.train.dialogue_turns import MalformedRecord
from videollm.train.examples import BadSamples, DialogueSet, Example, first_readable, readable
from videollm.train.frame_budget import FrameBudget
from videollm.train.lengths import dialogue_tokens
from videollm.train.shared_media import Group, group_records

__all__ = ["DialogueFiles"]

_USUAL_SECONDS = 60.0
_LONGEST_SECONDS = 9999.0
"""The times of a video have no more digits, up to 2.7 hours."""


class DialogueFiles(DialogueSet):
    """The usable records of files.

    Args:
        paths: JSON, JSON lines or Parquet.
        media_folder: Where relative media paths start; None: beside the file that names them.
        processor: Counts the tokens of a sample.
        frames: Frames of its media.
        max_length: The most tokens of a sample; a longer one is bad.
        bad: Counts bad samples, those of other data sets of the run included.
        sampling: Which records are taken, see `choose`.
        seed: Of the choice.
        decode_seconds: As `videollm.train.decoding.open_video` takes it.
        parse: Makes a record of a name, a value and the folder of its media.
        shared_questions: Most records about the same media that are one sample.

    Attributes:
        records: All usable ones.
        groups: The samples.

    Raises:
        DataError: A file cannot be read.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        media_folder: Path | None,
        processor: VideoLLMProcessor,
        frames: FrameBudget,
        max_length: int,
        bad: BadSamples,
        sampling: str = "all",
        seed: int = 0,
        decode_seconds: float | None = None,
        shared_questions: int = 1,
        parse: Callable[[str, object, Path], Record] = parse_record,
    ) -> None:
        self.decode_seconds = decode_seconds
        self.processor, self.frames, self.max_length, self.bad = processor, frames, max_length, bad
        raw = [(path, name, value) for path in paths for name, value in read_values(path)]
        self.num_listed = len(raw)
        chosen = choose(sampling, len(raw), seed)
        self.num_chosen = len(chosen)
        bad.num_samples += len(chosen)
        self.records: list[Record] = []
        self.missing: dict[str, Path] = {}
        for path, name, value in (raw[place] for place in chosen):
            try:
                record = parse(name, value, media_folder or path.parent)
                self.frames.plan(record.media)
                self.records.append(record)
            except (MalformedRecord, RequestError) as reason:
                if isinstance(reason, MissingMedium):
                    self.missing[name] = reason.path
                bad.add(name, str(reason))

        self.groups: list[Group] = group_records(
            self.records,
            most=shared_questions,
            max_tokens=max_length,
            tokens=lambda record: self._tokens(record, self._black(record, _LONGEST_SECONDS)),
        )

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> Example:
        """Return sample `index`, or the next one that is readable and short enough.

        Raises:
            DataError: Too many are not.
            IndexError: There is no such sample.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        _, example = first_readable(self.groups, index, load=self._load, name=_name, bad=self.bad)
        return example

    def read(self, index: int) -> Example | None:
        """Return sample `index`, or None where it is bad and was recorded."""
        return readable(self.groups[index], load=self._load, name=_name, bad=self.bad)

    def outline(self, index: int) -> Example:
        """Return sample `index` with black clips of the most frames that it may have."""
        group = self.groups[index]
        clips = self._black(group[0], _LONGEST_SECONDS)
        return Example(clips, tuple(item for record in group for item in record.dialogues))

    def _load(self, group: Group) -> Example:
        """Return a sample without the questions that make it too long; those are bad.

        Raises:
            VideoError: As `load`.
            RequestError: As `load`; then all its records are bad.
        """
        try:
            clips = self._read_media(group[0])
            lengths = [self.count_tokens(record, clips) for record in group]
            if min(lengths) > self.max_length:
                raise RequestError(self.describe_length(lengths[0]))
        except (VideoError, RequestError) as error:
            for record in group[1:]:
                self.bad.add(record.name, str(error))
            raise
        for record, length in zip(group, lengths, strict=True):
            if length > self.max_length:
                self.bad.add(record.name, self.describe_length(length))
                self.bad.check()
        return Example(
            clips,
            tuple(
                dialogue
                for record, length in zip(group, lengths, strict=True)
                if length <= self.max_length
                for dialogue in record.dialogues
            ),
        )

    def load(self, record: Record) -> tuple[Clip, ...]:
        """Return the clips of a record.

        Raises:
            VideoError: A medium cannot be read.
            RequestError: A part is not in its video, or the sample is too long.
        """
        clips = self._read_media(record)
        length = self.count_tokens(record, clips)
        if length > self.max_length:
            raise RequestError(self.describe_length(length))
        return clips

    def estimate_tokens(self, record: Record) -> int:
        """Return how many tokens a record has at most, without opening its media.

        With a number of frames only the digits of their times are uncertain: a video that is not
        cut out is taken to last a minute.
        """
        return self.count_tokens(record, self._black(record))

    def count_tokens(self, record: Record, clips: Sequence[Clip]) -> int:
        """Return how many tokens a record has with these clips; of a pair the longer one."""
        return max(
            dialogue_tokens(self.processor, dialogue, clips)[0] for dialogue in record.dialogues
        )

    def _tokens(self, record: Record, clips: Sequence[Clip]) -> tuple[int, int]:
        return dialogue_tokens(self.processor, record.dialogue, clips)

    def _black(self, record: Record, seconds: float = _USUAL_SECONDS) -> tuple[Clip, ...]:
        """Return black clips of the most frames that the media of a record may have.

        Args:
            record: The record.
            seconds: How long a video is taken to be that is not cut out.
        """
        clips = []
        for medium, count in zip(record.media, self.frames.plan(record.media), strict=True):
            start = medium.start_seconds or 0.0
            end = medium.end_seconds or start + seconds
            if medium.end_seconds is not None and self.frames.fps is not None:
                count = min(count, math.ceil((end - start) * self.frames.fps) + 1)
            times = torch.linspace(start, end, count + 1, dtype=torch.float64)[:count]
            clips.append(Clip(torch.zeros(count, 3, 1, 1, dtype=torch.uint8), times))
        return tuple(clips)

    def describe_length(self, length: int) -> str:
        """Return why a sample of so many tokens is not used."""
        return (
            f"{length} tokens, more than max_length = {self.max_length}: raise it, or bound "
            "max_visual_tokens"
        )

    def _read_media(self, record: Record) -> tuple[Clip, ...]:
        return tuple(map(self._read, record.media, self.frames.plan(record.media)))

    def _read(self, medium: Medium, num_frames: int) -> Clip:
        rated = self.frames.fps is not None and medium.kind == "video"
        with open_video(medium.path, self.decode_seconds) as reader:
            return load_clip(
                reader,
                num_frames=num_frames,
                fps=self.frames.fps if rated else None,
                max_frames=num_frames,
                start_seconds=medium.start_seconds,
                end_seconds=medium.end_seconds,
            )


def _name(group: Group) -> str:
    return group[0].name
