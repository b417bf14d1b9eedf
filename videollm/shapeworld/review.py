"""Pages for people: questions with their frames at the model's resolution, answers apart.

Whoever answers them by eye knows whether everything that is asked can be seen.
"""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from videollm.errors import RequestError
from videollm.output_folder import replacing, require_free
from videollm.shapeworld.making import make_scene
from videollm.shapeworld.questions import Question, make_questions
from videollm.shapeworld.render import render_frames
from videollm.shapeworld.scene import Scene

__all__ = ["ReviewSummary", "write_review"]

_FRAMES, _COLUMNS, _ZOOM, _GAP = 16, 8, 2, 2
_TEXT_HEIGHT = 32
_ITEMS_OF_PAGE = 5


@dataclass(frozen=True, slots=True)
class ReviewSummary:
    """Say what was written.

    Args:
        folder: The finished folder.
        pages: Pictures with questions, in order.
        answers: The file with the answers.
    """

    folder: Path
    pages: tuple[Path, ...]
    answers: Path


def write_review(
    split: str,
    num: int,
    seed: int,
    output: str | PathLike[str],
    *,
    size: int = 64,
    overwrite: bool = False,
) -> ReviewSummary:
    """Write `page-*.png`, five questions each, and `answers.txt`: one question of each clip.

    Args:
        split: One of `SPLITS`, but no long one.
        num: How many questions, at least 1.
        seed: Seed of the world and of the questions.
        output: Folder to make.
        size: Pixels of a frame's side, as a model would see it; it is shown twice as large.
        overwrite: Whether a folder that holds something is replaced.

    Raises:
        RequestError: An argument is out of range.
        DataError: `output` holds something and `overwrite` is not set, or is a file.
    """
    if num < 1:
        raise RequestError(f"num is {num}: ask for at least 1 question")
    folder = Path(output)
    require_free(folder, overwrite=overwrite)
    pages: list[Path] = []
    lines: list[str] = []
    items: list[np.ndarray] = []
    with replacing(folder) as draft:
        for index in range(num):
            scene = make_scene(split, index, seed)
            asked = make_questions(scene, split, count=10, seed=seed)
            # Turn by turn through the list, so that all families come up.
            question = asked[index % len(asked)]
            items.append(_draw_item(index, scene, question, size))
            lines.append(f"{index}: {question.family}: {question.question} -> {question.answer}")
            if len(items) == _ITEMS_OF_PAGE or index == num - 1:
                name = f"page-{len(pages):02d}.png"
                Image.fromarray(np.concatenate(items)).save(draft / name)
                pages.append(folder / name)
                items = []
        (draft / "answers.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ReviewSummary(folder, tuple(pages), folder / "answers.txt")


def _draw_item(number: int, scene: Scene, question: Question, size: int) -> np.ndarray:
    """Return a question above its frames, (height, width, 3) uint8."""
    clip = render_frames(scene, size=size, num_frames=_FRAMES)
    side = size * _ZOOM + _GAP
    rows = -(-_FRAMES // _COLUMNS)
    page = Image.new("RGB", (_COLUMNS * side, rows * side + _TEXT_HEIGHT), "white")
    pen = ImageDraw.Draw(page)
    said = [f"{turn.question} {turn.answer}." for turn in question.history]
    pen.text((4, 2), f"{number}. {' '.join((*said, question.prompt))}", fill="black")
    pen.text((4, 16), f"{scene.seconds:g} s, frames at the centres of equal parts", fill="grey")
    for place, pixels in enumerate(clip.frames.permute(0, 2, 3, 1).numpy()):
        frame = Image.fromarray(pixels).resize((side - _GAP,) * 2, Image.Resampling.NEAREST)
        at = ((place % _COLUMNS) * side, _TEXT_HEIGHT + place // _COLUMNS * side)
        page.paste(frame, at)
        pen.text((at[0] + 2, at[1]), f"{float(clip.pts_seconds[place]):.1f}", fill="white")
    return np.asarray(page)
