"""A split as files: H.264 clips and the questions about them, written whole or not at all."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Protocol

import av
import numpy as np

from videollm.clip import Clip
from videollm.errors import RequestError
from videollm.output_folder import replacing, require_free
from videollm.toyworld.questions import make_questions
from videollm.toyworld.render import render_frames
from videollm.toyworld.scene import CLIP_SECONDS, make_scene
from videollm.toyworld.splits import check_split

__all__ = [
    "Asked",
    "SplitSummary",
    "check_request",
    "describe_question",
    "write_clip",
    "write_clips",
    "write_split",
]

_MAX_FPS = 60


class Asked(Protocol):
    """Hold what is written of a question; both worlds' `Question` does."""

    @property
    def id(self) -> str:
        """Return what names it."""

    @property
    def family(self) -> str:
        """Return its family."""

    @property
    def wording(self) -> object:
        """Return which sentence it is."""

    @property
    def question(self) -> str:
        """Return the sentence."""

    @property
    def answer(self) -> str:
        """Return the right answer."""

    @property
    def choices(self) -> tuple[str, ...]:
        """Return the answers on offer."""

    @property
    def aliases(self) -> tuple[str, ...]:
        """Return other right answers."""


@dataclass(frozen=True, slots=True)
class SplitSummary:
    """Say what was written.

    Args:
        folder: The finished folder.
        num_videos: Clips in `folder / "videos"`.
        num_questions: Lines of `folder / "qa.jsonl"`.
        families: Family to its number of questions, the most frequent first.
    """

    folder: Path
    num_videos: int
    num_questions: int
    families: dict[str, int]


def write_split(
    split: str,
    num: int,
    seed: int,
    output: str | PathLike[str],
    *,
    size: int = 128,
    fps: int = 8,
    questions_per_video: int = 10,
    families: Sequence[str] | None = None,
    choice_fraction: float = 0.0,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> SplitSummary:
    """Write scenes 0 to num - 1 of a split as `videos/*.mp4` and `qa.jsonl`.

    Each line of `qa.jsonl` has `video` (path within the folder), `id`, `family`, `question`,
    `answer`, `choices`, `split`, `seconds` (length of the clip), `aliases` and `wording`.

    Args:
        split: One of `SPLITS`.
        num: How many clips, at least 1.
        seed: Seed of the world and of the questions, at least 0.
        output: Folder to make; its parents are made too.
        size: Pixels of a side, even, at least 16.
        fps: Frames a second, 1..60.
        questions_per_video: At most this many questions for each clip.
        families: As in `make_questions`.
        choice_fraction: As in `make_questions`.
        overwrite: Whether a folder that holds something is replaced.
        progress: Called after each clip with the number done and `num`.

    Returns:
        Where the files are and how many.

    Raises:
        RequestError: An argument is out of range.
        DataError: `output` holds something and `overwrite` is not set, or is a file.
    """
    check_split(split)
    times = np.arange(round(CLIP_SECONDS * fps)) / fps

    def draw(index: int) -> tuple[Clip, list[dict[str, object]]]:
        scene = make_scene(split, index, seed)
        questions = make_questions(
            scene,
            split,
            count=questions_per_video,
            seed=seed,
            families=families,
            choice_fraction=choice_fraction,
        )
        records = [describe_question(question, split, CLIP_SECONDS) for question in questions]
        return render_frames(scene, size=size, times=times), records

    check_request(num, questions_per_video, fps)
    return write_clips(draw, num, output, fps=fps, overwrite=overwrite, progress=progress)


def write_clips(
    draw: Callable[[int], tuple[Clip, list[dict[str, object]]]],
    num: int,
    output: str | PathLike[str],
    *,
    fps: int,
    overwrite: bool,
    progress: Callable[[int, int], None] | None,
) -> SplitSummary:
    """Write `videos/*.mp4` and `qa.jsonl` of any drawn world, whole or not at all.

    Args:
        draw: Returns clip number `index` and what is asked about it, one record a question.
        num: How many clips.
        output: Folder to make.
        fps: Frames a second.
        overwrite: Whether a folder that holds something is replaced.
        progress: Called after each clip with the number done and `num`.

    Raises:
        DataError: `output` holds something and `overwrite` is not set, or is a file.
    """
    folder = Path(output)
    require_free(folder, overwrite=overwrite)
    counts: Counter[str] = Counter()
    with replacing(folder) as draft, (draft / "qa.jsonl").open("w", encoding="utf-8") as lines:
        (draft / "videos").mkdir()
        for index in range(num):
            clip, records = draw(index)
            name = f"videos/{index:06d}.mp4"
            write_clip(clip, draft / name, fps=fps)
            for record in records:
                counts[str(record["family"])] += 1
                lines.write(json.dumps({"video": name, **record}) + "\n")
            if progress is not None:
                progress(index + 1, num)
    return SplitSummary(folder, num, counts.total(), dict(counts.most_common()))


def write_clip(clip: Clip, path: str | PathLike[str], *, fps: int) -> None:
    """Write a clip as H.264 in mp4, 4:2:0, near lossless, the same bytes each time.

    Args:
        clip: Frames of even height and width; they are shown at equal distances, whatever their
            times say.
        path: File to write, replaced if it exists.
        fps: Frames a second, at least 1.

    Raises:
        RequestError: A side is odd.
    """
    if clip.height % 2 or clip.width % 2:
        raise RequestError(
            f"frames are {clip.width}x{clip.height}: H.264 in 4:2:0 needs even sides"
        )
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "yuv420p"
        stream.time_base = Fraction(1, fps)
        stream.options = {"crf": "18", "preset": "veryfast", "threads": "1"}
        for number, pixels in enumerate(clip.frames.permute(0, 2, 3, 1).numpy()):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            # Converted here: left to the encoder, some sizes come out different from run to run.
            frame = picture.reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def describe_question(question: Asked, split: str, seconds: float) -> dict[str, object]:
    """Return what a line of `qa.jsonl` says of a question about a clip of `seconds`."""
    return {
        "id": question.id,
        "family": question.family,
        "question": question.question,
        "answer": question.answer,
        "choices": list(question.choices),
        "split": split,
        "seconds": seconds,
        "aliases": list(question.aliases),
        "wording": question.wording,
    }


def check_request(num: int, questions_per_video: int, fps: int) -> None:
    """Refuse what cannot be written.

    Raises:
        RequestError: A number is out of range.
    """
    if num < 1 or questions_per_video < 0:
        raise RequestError(
            f"num is {num} and questions_per_video {questions_per_video}: "
            "ask for at least 1 clip and at least 0 questions"
        )
    if not 1 <= fps <= _MAX_FPS:
        raise RequestError(f"fps is {fps}: choose 1 to {_MAX_FPS}")
