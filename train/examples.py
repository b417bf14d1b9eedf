"""What a language stage learns from: clips with dialogues about them, and samples that failed.

Every text data set yields `Example`s; the collator packs the dialogues of one behind its clips.
"""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from torch.utils.data import Dataset

from videollm.clip import Clip
from videollm.errors import DataError, RequestError, VideoError
from videollm.processor import Message

__all__ = [
    "BadSamples",
    "Dialogue",
    "DialogueSet",
    "Example",
    "first_readable",
    "question_and_answer",
    "readable",
]

logger = logging.getLogger(__name__)

BAD_SAMPLES_FILE = "bad_samples.jsonl"

Dialogue = tuple[Message, ...]
Item = TypeVar("Item")
Loaded = TypeVar("Loaded")


@dataclass(frozen=True, slots=True)
class Example:
    """Hold clips and what is said about them.

    Args:
        videos: In the order of a dialogue's video parts; none for text alone.
        dialogues: Independent conversations, each about all the clips. Where there are several,
            their messages up to the last video part are the same but for its text.
    """

    videos: tuple[Clip, ...]
    dialogues: tuple[Dialogue, ...]


class DialogueSet(Dataset[Example]):
    """Samples with text; `dataset[index]` is the sample there, or one that stands in for it."""

    def __len__(self) -> int:
        """Return the number of samples."""
        raise NotImplementedError

    def read(self, index: int) -> Example | None:
        """Return the sample at `index`, or None where it is bad and was recorded."""
        return self[index]

    def outline(self, index: int) -> Example:
        """Return the sample at `index` with black clips of the most frames that it may have.

        Nothing is decoded; it serves to count tokens.
        """
        raise NotImplementedError


def question_and_answer(question: str, answer: str) -> Dialogue:
    """Return a dialogue of one question about the clip."""
    return (
        {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": question}]},
        {"role": "assistant", "content": answer},
    )


class BadSamples:
    """Count samples that cannot be used, write each to a file, and fail beyond a share.

    The file is shared by the data workers of a run, which count what any of them found.

    Args:
        folder: Where `bad_samples.jsonl` goes; an older one is replaced.
        num_samples: Samples in all.
        max_share: Largest share of bad ones that is tolerated, 0 to 1.
    """

    def __init__(self, folder: Path, *, num_samples: int, max_share: float) -> None:
        self.path = folder / BAD_SAMPLES_FILE
        self.num_samples = num_samples
        self.max_share = max_share
        self.reasons: dict[str, str] = {}
        self._read_bytes = 0
        self.path.unlink(missing_ok=True)

    def __contains__(self, sample: str) -> bool:
        return sample in self.reasons

    def add(self, sample: str, reason: str) -> None:
        """Record a bad sample once.

        Args:
            sample: Its name: file, and line or number in it.
            reason: What is wrong with it, in one line.
        """
        self._read()
        if sample in self.reasons:
            return
        self.reasons[sample] = reason
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"sample": sample, "reason": reason}) + "\n")

    def check(self) -> None:
        """Fail when there are too many.

        Raises:
            DataError: More than `max_share` of the samples are bad.
        """
        if len(self.reasons) > self.max_share * self.num_samples:
            sample, reason = next(iter(self.reasons.items()))
            raise DataError(
                f"{len(self.reasons)} of {self.num_samples} samples are bad, more than the share "
                f"max_bad = {self.max_share:g}; the first: {sample}: {reason}; all are listed in "
                f"{self.path}: mend or remove them, or raise max_bad"
            )

    def _read(self) -> None:
        """Take over what other workers found since the last time."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            file.seek(self._read_bytes)
            for line in file:
                # Another worker may be in the middle of its line.
                if not line.endswith(b"\n"):
                    break
                self._read_bytes += len(line)
                record = json.loads(line)
                self.reasons.setdefault(record["sample"], record["reason"])


def first_readable(
    samples: Sequence[Item],
    index: int,
    *,
    load: Callable[[Item], Loaded],
    name: Callable[[Item], str],
    bad: BadSamples,
) -> tuple[Item, Loaded]:
    """Return the sample at `index` and what it loads, or the next one that can be loaded.

    The one that stands in depends on the files alone, so a resumed run sees the same. Every
    unreadable sample is recorded.

    Raises:
        DataError: Too many samples are bad, or none can be read.
    """
    for step in range(len(samples)):
        sample = samples[(index + step) % len(samples)]
        loaded = readable(sample, load=load, name=name, bad=bad)
        if loaded is not None:
            return sample, loaded
    raise DataError(f"not one of {len(samples)} samples can be used; see {bad.path}")


def readable(
    sample: Item, *, load: Callable[[Item], Loaded], name: Callable[[Item], str], bad: BadSamples
) -> Loaded | None:
    """Return what a sample loads, or None where it cannot be loaded, which is recorded.

    Raises:
        DataError: Too many samples are bad.
    """
    if name(sample) in bad:
        return None
    try:
        return load(sample)
    except (VideoError, RequestError) as error:
        logger.warning("skipped %s: %s", name(sample), error)
        bad.add(name(sample), str(error))
        bad.check()
    return None
