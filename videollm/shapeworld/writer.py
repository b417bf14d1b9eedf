"""A split as files: H.264 clips and the questions about them, written whole or not at all."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from videollm.errors import RequestError
from videollm.output_folder import replacing, require_free
from videollm.shapeworld.making import make_scene
from videollm.shapeworld.questions import Question, make_questions
from videollm.shapeworld.render import render_frames
from videollm.shapeworld.scene import Scene
from videollm.shapeworld.splits import check_split
from videollm.toyworld.writer import SplitSummary, write_clip

__all__ = ["write_split"]

_MAX_FPS = 60


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

    Each line of `qa.jsonl` has what the toy world's has (see its `write_split`), and `history`:
    the turns before a question, as (question, answer) pairs. A long video is held in memory while
    it is written: 0.4 MB a second at the default size and rate.

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

    Raises:
        RequestError: An argument is out of range.
        DataError: `output` holds something and `overwrite` is not set, or is a file.
    """
    check_split(split)
    if num < 1 or questions_per_video < 0 or not 1 <= fps <= _MAX_FPS:
        raise RequestError(
            f"num is {num}, questions_per_video {questions_per_video} and fps {fps}: ask for at "
            f"least 1 clip, at least 0 questions and 1 to {_MAX_FPS} frames a second"
        )
    folder = Path(output)
    require_free(folder, overwrite=overwrite)
    counts: Counter[str] = Counter()
    with replacing(folder) as draft, (draft / "qa.jsonl").open("w", encoding="utf-8") as lines:
        (draft / "videos").mkdir()
        for index in range(num):
            scene = make_scene(split, index, seed)
            name = f"videos/{index:06d}.mp4"
            times = np.arange(round(scene.seconds * fps)) / fps
            write_clip(render_frames(scene, size=size, times=times), draft / name, fps=fps)
            for question in make_questions(
                scene,
                split,
                count=questions_per_video,
                seed=seed,
                families=families,
                choice_fraction=choice_fraction,
            ):
                counts[question.family] += 1
                lines.write(json.dumps(_record(question, name, scene)) + "\n")
            if progress is not None:
                progress(index + 1, num)
    return SplitSummary(folder, num, counts.total(), dict(counts.most_common()))


def _record(question: Question, video: str, scene: Scene) -> dict[str, object]:
    return {
        "video": video,
        "id": question.id,
        "family": question.family,
        "question": question.question,
        "answer": question.answer,
        "choices": list(question.choices),
        "split": scene.split,
        "seconds": scene.seconds,
        "aliases": list(question.aliases),
        "wording": question.wording,
        "history": [[turn.question, turn.answer] for turn in question.history],
    }
