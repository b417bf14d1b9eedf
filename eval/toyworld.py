"""The drawn worlds as benchmarks: clips and questions drawn from a seed when they are asked.

Nothing is stored: item `i` of a split is the same on every machine, and no test scene is ever
drawn for training, since its split is part of a scene's seed.
"""

import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count, islice
from pathlib import Path

import numpy as np

from videollm.clip import Clip
from videollm.errors import RequestError
from videollm.eval.open_ended import score_open_answer
from videollm.eval.settings import EvalSettings
from videollm.eval.task import Example, Score, TaskSpec
from videollm.sampling import load_clip
from videollm.scoring import normalize_answer
from videollm.shapeworld import ACCOUNT_FAMILIES, caption_recall
from videollm.shapeworld.long_videos import LONG_MINUTES
from videollm.toyworld import write_clip
from videollm.video_backends import backend_version, choose_backend
from videollm.worlds import WORLDS, WorldQuestion

__all__ = ["FOREIGN_SPEC", "SHAPES_SPEC", "SPEC", "ToyWorldTask", "score_shape_answer"]

_DEFAULT_SPLIT, _DEFAULT_LIMIT = "test_iid", 500

_MAJORITY_SCENES = range(1_000_000, 1_000_400)  # of val; far from those that are asked
_MAX_MUTE_SCENES = 10_000
_TASKS = {"toy": "toyworld", "shapes": "shapeworld", "foreign": "foreign"}
_CHUNK_FRAMES = 32
_MP4_SIZE, _MP4_FPS = 128, 8  # as `videollm toyworld generate` writes them


class ToyWorldTask:
    """Draw the first questions of a split, and the clips that they are about.

    Args:
        settings: Split, seed, families, how many questions, and whether clips pass through
            H.264 files.
        world: The name of the world.
    """

    def __init__(self, settings: EvalSettings, world: str = "toy") -> None:
        self._settings = settings
        self._world = WORLDS[world]
        self.name = _TASKS[world]
        self._split = settings.split or _DEFAULT_SPLIT
        limit = _DEFAULT_LIMIT if settings.limit is None else settings.limit
        self.examples: Sequence[Example] = list(islice(self._draw_examples(), limit))

    def describe_clips(self) -> Mapping[str, object]:
        """Return whether clips stay in memory or pass through files, and of what kind."""
        if self._split in LONG_MINUTES:
            return {"source": "stream"}
        if not self._settings.mp4:
            return {"source": "memory"}
        decoder = backend_version(choose_backend(None))
        return {"source": "h264", "decoder": decoder, "size": _MP4_SIZE, "fps": _MP4_FPS}

    def load_clip(self, video: str, *, num_frames: int, size: int) -> Clip:
        """Draw the clip with that name; see `Task.load_clip`."""
        world = self._world
        scene = world.make_scene(self._split, int(video), self._settings.seed)
        if not self._settings.mp4:
            return world.render(scene, size=size, times=world.times(scene, num_frames))
        with tempfile.TemporaryDirectory(prefix="videollm-eval-") as folder:
            path = Path(folder, f"{video}.mp4")
            times = np.arange(round(world.length(scene) * _MP4_FPS)) / _MP4_FPS
            write_clip(world.render(scene, size=_MP4_SIZE, times=times), path, fps=_MP4_FPS)
            return load_clip(path, num_frames=num_frames)

    def stream(self, video: str, *, fps: float, size: int) -> Iterator[Clip]:
        """Yield all frames of a long video; see `StreamedTask.stream`."""
        world = self._world
        scene = world.make_scene(self._split, int(video), self._settings.seed)
        count = max(1, int(world.length(scene) * fps))
        for first in range(0, count, _CHUNK_FRAMES):
            times = (np.arange(first, min(first + _CHUNK_FRAMES, count)) + 0.5) / fps
            yield world.render(scene, size=size, times=times)

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
                    history=self._world.turns(question),
                    groups=self._groups(index),
                )

    def _groups(self, index: int) -> dict[str, str]:
        minutes = LONG_MINUTES.get(self._split, ())
        return {"minutes": f"{minutes[index % len(minutes)]:g}"} if minutes else {}

    def _ask(self, split: str, index: int) -> Sequence[WorldQuestion]:
        return self._world.ask(
            self._world.make_scene(split, index, self._settings.seed),
            split,
            count=self._settings.questions_per_video,
            seed=self._settings.seed,
            families=self._settings.families or None,
            choice_fraction=self._settings.choice_fraction,
        )


def score_shape_answer(output: str, example: Example) -> Score:
    """Return what an answer about the shape world was understood as, and whether it is right.

    An account (a caption, say) is right when it says everything; how much it says is measured as
    `recall`.
    """
    if example.family not in ACCOUNT_FAMILIES:
        return score_open_answer(output, example)
    recall = caption_recall(output, example.answer)
    return Score(normalize_answer(output) or None, recall == 1, {"recall": recall})


def _spec(
    world: str,
    score: Callable[[str, Example], Score] = score_open_answer,
    streamed_splits: tuple[str, ...] = (),
) -> TaskSpec:
    return TaskSpec(
        name=_TASKS[world],
        splits=WORLDS[world].splits,
        families=WORLDS[world].families,
        build=partial(ToyWorldTask, world=world),
        score=score,
        metric="exact_match",
        default_split=_DEFAULT_SPLIT,
        default_limit=_DEFAULT_LIMIT,
        draws_clips=True,
        streamed_splits=streamed_splits,
    )


SPEC = _spec("toy")
SHAPES_SPEC = _spec("shapes", score_shape_answer, streamed_splits=tuple(LONG_MINUTES))
FOREIGN_SPEC = _spec("foreign")
