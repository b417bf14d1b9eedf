"""The toy world as a benchmark: clips and questions drawn from a seed when they are asked.

Nothing is stored: item `i` of a split is the same on every machine, and no test scene is ever
drawn for training, since its split is part of a scene's seed.
"""

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path

import numpy as np

from videollm.clip import Clip
from videollm.errors import RequestError
from videollm.eval.open_ended import score_open_answer
from videollm.eval.settings import EvalSettings
from videollm.eval.task import Example, TaskSpec
from videollm.sampling import load_clip
from videollm.toyworld import (
    CLIP_SECONDS,
    FAMILIES,
    SPLITS,
    Question,
    make_questions,
    make_scene,
    render_frames,
    write_clip,
)
from videollm.video_backends import backend_version, choose_backend

__all__ = ["SPEC", "ToyWorldTask"]

_MAJORITY_SCENES = range(1_000_000, 1_000_400)  # of val; far from those that are asked
_MAX_MUTE_SCENES = 10_000
_MP4_SIZE, _MP4_FPS = 128, 8  # as `videollm toyworld generate` writes them


class ToyWorldTask:
    """Draw the first questions of a split, and the clips that they are about.

    Args:
        settings: Split, seed, families, how many questions, and whether clips pass through
            H.264 files.
    """

    name = "toyworld"

    def __init__(self, settings: EvalSettings) -> None:
        self._settings = settings
        self._split = SPEC.split_of(settings)
        limit = SPEC.default_limit if settings.limit is None else settings.limit
        self.examples: Sequence[Example] = list(islice(self._draw_examples(), limit))

    def describe_clips(self) -> Mapping[str, object]:
        """Return whether clips stay in memory or pass through files, and of what kind."""
        if not self._settings.mp4:
            return {"source": "memory"}
        decoder = backend_version(choose_backend(None))
        return {"source": "h264", "decoder": decoder, "size": _MP4_SIZE, "fps": _MP4_FPS}

    def load_clip(self, video: str, *, num_frames: int, size: int) -> Clip:
        """Draw the clip with that name; see `Task.load_clip`."""
        scene = make_scene(self._split, int(video), self._settings.seed)
        if not self._settings.mp4:
            return render_frames(scene, size=size, num_frames=num_frames)
        with tempfile.TemporaryDirectory(prefix="videollm-eval-") as folder:
            path = Path(folder, f"{video}.mp4")
            times = np.arange(round(CLIP_SECONDS * _MP4_FPS)) / _MP4_FPS
            write_clip(render_frames(scene, size=_MP4_SIZE, times=times), path, fps=_MP4_FPS)
            return load_clip(path, num_frames=num_frames)

    def majority_answers(self) -> Mapping[str, str]:
        """Return the most frequent answer per family among the questions of 400 `val` scenes.

        Among equally frequent answers the first in the alphabet is taken.
        """
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for index in _MAJORITY_SCENES:
            for question in self._ask("val", index):
                counts[question.family][question.answer] += 1
        return {
            family: min(answers, key=lambda answer: (-answers[answer], answer))
            for family, answers in counts.items()
        }

    def _draw_examples(self) -> Iterator[Example]:
        mute_scenes = 0
        for index in count():
            questions = self._ask(self._split, index)
            mute_scenes = 0 if questions else mute_scenes + 1
            if mute_scenes == _MAX_MUTE_SCENES:
                raise RequestError(
                    f"{mute_scenes} scenes of {self._split} in a row offer no question "
                    f"of {', '.join(self._settings.families)}; ask for other families"
                )
            for question in questions:
                yield Example(
                    id=question.id,
                    family=question.family,
                    video=str(index),
                    question=question.prompt,
                    answer=question.answer,
                    aliases=question.aliases,
                    choices=question.choices,
                )

    def _ask(self, split: str, index: int) -> list[Question]:
        return make_questions(
            make_scene(split, index, self._settings.seed),
            split,
            count=self._settings.questions_per_video,
            seed=self._settings.seed,
            families=self._settings.families or None,
        )


SPEC = TaskSpec(
    name=ToyWorldTask.name,
    splits=SPLITS,
    families=tuple(FAMILIES),
    build=ToyWorldTask,
    score=score_open_answer,
    metric="exact_match",
    default_split="test_iid",
    default_limit=500,
    draws_clips=True,
)
