"""A split as files: H.264 clips and the questions about them, written whole or not at all."""

from collections.abc import Callable, Sequence
from os import PathLike

import numpy as np

from videollm.clip import Clip
from videollm.shapeworld.making import make_scene
from videollm.shapeworld.questions import make_questions
from videollm.shapeworld.render import render_frames
from videollm.shapeworld.splits import check_split
from videollm.toyworld.writer import (
    SplitSummary,
    check_request,
    describe_question,
    write_clips,
)

__all__ = ["write_split"]


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
        times = np.arange(round(scene.seconds * fps)) / fps
        records = [
            {
                **describe_question(question, split, scene.seconds),
                "history": [[turn.question, turn.answer] for turn in question.history],
            }
            for question in questions
        ]
        return render_frames(scene, size=size, times=times), records

    check_request(num, questions_per_video, fps)
    return write_clips(draw, num, output, fps=fps, overwrite=overwrite, progress=progress)
