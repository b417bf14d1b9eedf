"""Dialogues about media files, as a data set: what is bad is skipped, counted and named."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch.utils.data import Dataset

from videollm.clip import Clip
from videollm.errors import RequestError
from videollm.processor import VideoLLMProcessor
from videollm.sampling import load_clip
from videollm.train.choice import choose
from videollm.train.decoding import open_video
from videollm.train.dialogue_lists import read_values
from videollm.train.dialogue_records import Medium, MissingMedium, Record, parse_record
from videollm.train.dialogue_turns import MalformedRecord
from videollm.train.examples import BadSamples, Example, first_readable
from videollm.train.frame_budget import FrameBudget

__all__ = ["DialogueFiles"]


class DialogueFiles(Dataset[Example]):
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

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Example:
        """Return record `index`, or the next one that is readable and short enough.

        Raises:
            DataError: Too many are not.
            IndexError: There is no such record.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        record, clips = first_readable(
            self.records, index, load=self.load, name=lambda item: item.name, bad=self.bad
        )
        return Example(clips, record.dialogues)

    def load(self, record: Record) -> tuple[Clip, ...]:
        """Return the clips of a record.

        Raises:
            VideoError: A medium cannot be read.
            RequestError: A part is not in its video, or the sample is too long.
        """
        limits = self.frames.plan(record.media)
        clips = tuple(map(self._read, record.media, limits))
        length = self.count_tokens(record, clips)
        if length > self.max_length:
            raise RequestError(self.describe_length(length))
        return clips

    def estimate_tokens(self, record: Record) -> int:
        """Return how many tokens a record has at most, without opening its media.

        With a number of frames only the digits of their times are uncertain: a video that is not
        cut out is taken to last a minute.
        """
        clips = []
        for medium, count in zip(record.media, self.frames.plan(record.media), strict=True):
            start = medium.start_seconds or 0.0
            end = medium.end_seconds or start + 60.0
            times = torch.linspace(start, end, count + 1, dtype=torch.float64)[:count]
            clips.append(Clip(torch.zeros(count, 3, 1, 1, dtype=torch.uint8), times))
        return self.count_tokens(record, clips)

    def count_tokens(self, record: Record, clips: Sequence[Clip]) -> int:
        """Return how many tokens a record has with these clips; of a pair the longer one."""
        texts = [self.processor.render(dialogue, clips) for dialogue in record.dialogues]
        return max(map(len, self.processor.tokenizer(texts, add_special_tokens=False)["input_ids"]))

    def describe_length(self, length: int) -> str:
        """Return why a sample of so many tokens is not used."""
        return (
            f"{length} tokens, more than max_length = {self.max_length}: raise it, or bound "
            "max_visual_tokens"
        )

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
