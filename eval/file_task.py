"""A benchmark whose questions lie in files and whose clips are videos on disk."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from videollm.clip import Clip
from videollm.errors import DataError, SourceNotFoundError
from videollm.eval.settings import EvalSettings
from videollm.eval.spec_examples import Flaw, split_part
from videollm.eval.task import Example
from videollm.sampling import load_clip
from videollm.video import VideoReader
from videollm.video_backends import backend_version, choose_backend

__all__ = ["FileTask", "hash_files", "keep_some"]


class FileTask:
    """Ask questions that were read from files about the videos of a folder.

    Args:
        name: Under which scores are filed.
        examples: The questions of the run.
        flaws: Items that cannot be asked.
        videos: The folder of videos.
        sources: The annotation files, for the record.
        settings: How frames are chosen.
        folder_fps: Pictures a second where a video is a folder of pictures; None for the
            reader's own.
    """

    def __init__(
        self,
        name: str,
        examples: Sequence[Example],
        *,
        flaws: Sequence[Flaw] = (),
        videos: Path,
        sources: Iterable[Path],
        settings: EvalSettings,
        folder_fps: float | None = None,
    ) -> None:
        if not examples:
            raise DataError(f"{name} has no question that can be asked; choose other families")
        self.name = name
        self.examples = examples
        self.flaws = tuple(flaws)
        self.videos = videos
        self._sources = tuple(sources)
        self._settings = settings
        self._folder_fps = folder_fps

    def describe_clips(self) -> Mapping[str, object]:
        """Return the decoder, and hashes of the annotation files."""
        return {
            "source": "files",
            "decoder": backend_version(choose_backend(None)),
            "annotations_sha256": hash_files(self._sources),
            "num_flawed": len(self.flaws),
            "flawed": [f"{flaw.id}: {flaw.reason}" for flaw in self.flaws[:100]],
        }

    def missing_videos(self) -> list[str]:
        """Return the videos that are not there, each once, in the order of the questions."""
        names = dict.fromkeys(split_part(example.video)[0] for example in self.examples)
        return [name for name in names if not (self.videos / name).exists()]

    def load_clip(self, video: str, *, num_frames: int, size: int) -> Clip:
        """Decode the part of the video with that name; see `Task.load_clip`.

        Raises:
            VideoError: It is missing or cannot be read.
            RequestError: The part lies beyond its end.
        """
        del size
        name, start, end = split_part(video)
        path = self.videos / name
        if not path.exists():
            raise SourceNotFoundError(path, "is not there", "put it there or name --videos")
        options: dict[str, Any] = {"sampling": self._settings.sampling}
        if self._settings.fps is not None:
            options["fps"] = self._settings.fps
        else:
            options["num_frames"] = num_frames
        with VideoReader.open(path, fps=self._folder_fps if path.is_dir() else None) as reader:
            return load_clip(reader, start_seconds=start, end_seconds=end, **options)

    def majority_answers(self) -> Mapping[str, str]:
        """Return the most frequent answer per family of the questions themselves.

        A benchmark of files has no other part to count on, so this baseline knows how often each
        answer is right. Choices are counted by letter.
        """
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for example in self.examples:
            answer = example.answer[:3] if example.choices else example.answer
            counts[example.family][answer] += 1
        return {
            family: min(answers, key=lambda answer: (-answers[answer], answer))
            for family, answers in counts.items()
        }


def keep_some(
    examples: Sequence[Example], families: Sequence[str], limit: int | None
) -> list[Example]:
    """Return the questions of some families, `limit` of them spread evenly over all.

    Args:
        examples: All questions.
        families: Those to keep; empty keeps all.
        limit: How many at most, at least 1; None for all.
    """
    kept = [example for example in examples if not families or example.family in families]
    if limit is None or limit >= len(kept):
        return kept
    return [kept[number * len(kept) // limit] for number in range(limit)]


def hash_files(paths: Iterable[Path]) -> str:
    """Return one hash of the contents of files, in their order."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
