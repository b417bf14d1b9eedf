"""Needles: one event, or a few, in a video of minutes to an hour, asked about at its end.

The videos are drawn from a seed while they are watched. Of each length there are as many with one
needle as there are depths, and half as many with several, for what needs more than one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from videollm.clip import Clip
from videollm.eval.file_task import keep_some
from videollm.eval.open_ended import score_open_answer
from videollm.eval.settings import EvalSettings
from videollm.eval.task import Example, TaskSpec
from videollm.shapeworld import needles as shape_needles
from videollm.shapeworld import render_frames
from videollm.toyworld import HAYSTACKS, NEEDLE_FAMILIES, make_long_video, needle_questions

__all__ = ["SHAPES_SPEC", "SPEC", "NeedleTask"]

_SEVERAL = ((0.15, 0.8), (0.1, 0.45, 0.9), (0.05, 0.3, 0.6, 0.95))
"""Depths of several needles; the numbers of them take turns."""

_MAJORITY_VIDEOS = range(1_000_000, 1_000_200)  # far from those that are asked
_CHUNK_FRAMES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Where the videos come from.

    Args:
        name: The name of the task.
        haystacks: Its splits.
        families: Families of its questions.
        make: (haystack, index, seed, minutes=, depths=) to a video.
        ask: A video to questions.
        seconds: A video to its length.
        first: A video to when its first needle appears and is gone.
        render: (video, times, size) to a clip.
    """

    name: str
    haystacks: tuple[str, ...]
    families: tuple[str, ...]
    make: Callable[..., Any]
    ask: Callable[[Any], Sequence[Any]]
    seconds: Callable[[Any], float]
    first: Callable[[Any], tuple[float, float]]
    render: Callable[[Any, Sequence[float], int], Clip]


TOY = _Source(
    name="needle",
    haystacks=HAYSTACKS,
    families=NEEDLE_FAMILIES,
    make=make_long_video,
    ask=needle_questions,
    seconds=lambda video: float(video.seconds),
    first=lambda video: (video.needles[0].begin_seconds, video.needles[0].end_seconds),
    render=lambda video, times, size: video.render(times, size=size),
)
SHAPES = _Source(
    name="shape_needle",
    haystacks=shape_needles.HAYSTACKS,
    families=shape_needles.NEEDLE_FAMILIES,
    make=shape_needles.make_needle_scene,
    ask=shape_needles.needle_questions,
    seconds=lambda scene: float(scene.seconds),
    first=lambda scene: (
        scene.objects[scene.needles[0]].begin_seconds,
        scene.objects[scene.needles[0]].end_seconds,
    ),
    render=lambda scene, times, size: render_frames(scene, times=times, size=size),
)


@dataclass(frozen=True, slots=True)
class _Place:
    """A video's number, its length and its needles' depths."""

    index: int
    minutes: float
    depths: tuple[float, ...]


class NeedleTask:
    """Draw long videos, and ask about their needles.

    Args:
        settings: Split (the haystack), lengths, number of depths, seed, families, and how many
            questions.
        source: Where the videos come from.
    """

    def __init__(self, settings: EvalSettings, source: _Source = TOY) -> None:
        self._settings = settings
        self._source = source
        self.name = source.name
        self._haystack = settings.split or source.haystacks[0]
        # A number has the same needles in each length, so that lengths can be compared.
        places = [
            _Place(index, minutes, depths)
            for minutes in settings.minutes
            for index, depths in enumerate(_all_depths(settings.depths))
        ]
        self._videos = {f"{one.minutes:g}min-{one.index}": self._make(one) for one in places}
        drawn = [
            example
            for (video, made), place in zip(self._videos.items(), places, strict=True)
            for example in self._ask(video, made, place)
        ]
        self.examples: Sequence[Example] = keep_some(drawn, settings.families, settings.limit)

    def describe_clips(self) -> Mapping[str, object]:
        """Return that videos are drawn while they are watched."""
        return {"source": "stream"}

    def load_clip(self, video: str, *, num_frames: int, size: int) -> Clip:
        """Draw frames of the video with that name, those of its first needle among them.

        Half of them are spread over the video and half over the needle.
        """
        made = self._videos[video]
        spread = _centres(0.0, self._source.seconds(made), num_frames - num_frames // 2)
        close = _centres(*self._source.first(made), num_frames // 2)
        return self._source.render(made, sorted([*spread, *close]), size)

    def stream(self, video: str, *, fps: float, size: int) -> Iterator[Clip]:
        """Yield all frames of a video; see `StreamedTask.stream`."""
        made = self._videos[video]
        count = max(1, int(self._source.seconds(made) * fps))
        for first in range(0, count, _CHUNK_FRAMES):
            numbers = range(first, min(first + _CHUNK_FRAMES, count))
            yield self._source.render(made, [(number + 0.5) / fps for number in numbers], size)

    def majority_answers(self) -> Mapping[str, str]:
        """Return the most frequent answer per family in other videos of one length.

        Moments are none of them: they depend on the length.
        """
        answers: dict[str, list[str]] = {}
        all_depths = _all_depths(self._settings.depths)
        for index in _MAJORITY_VIDEOS:
            place = _Place(index, 1.0, all_depths[index % len(all_depths)])
            for question in self._source.ask(self._make(place)):
                answers.setdefault(question.family, []).append(question.answer)
        answers.pop("when", None)
        return {
            family: max(sorted(set(given)), key=given.count) for family, given in answers.items()
        }

    def _make(self, place: _Place) -> Any:  # noqa: ANN401
        return self._source.make(
            self._haystack,
            place.index,
            self._settings.seed,
            minutes=place.minutes,
            depths=place.depths,
        )

    def _ask(self, video: str, made: object, place: _Place) -> Iterator[Example]:
        groups = {"minutes": f"{place.minutes:g}"}
        if len(place.depths) == 1:
            groups["depth"] = f"{100 * place.depths[0]:.0f}"
        for question in self._source.ask(made):
            yield Example(
                id=f"{place.minutes:g}min-{question.id}",
                family=question.family,
                video=video,
                question=question.prompt,
                answer=question.answer,
                aliases=question.aliases,
                groups=groups,
            )


def _all_depths(num_depths: int) -> list[tuple[float, ...]]:
    """Return the depths of the needles of every video of one length."""
    single = [(number / (num_depths - 1),) for number in range(num_depths)]
    several = [_SEVERAL[number % len(_SEVERAL)] for number in range(max(num_depths // 2, 1))]
    return [*single, *several]


def _centres(begin: float, end: float, count: int) -> list[float]:
    edges = np.linspace(begin, end, count + 1)
    return ((edges[:-1] + edges[1:]) / 2).tolist() if count else []


def _spec(source: _Source) -> TaskSpec:
    return TaskSpec(
        name=source.name,
        splits=source.haystacks,
        families=source.families,
        build=partial(NeedleTask, source=source),
        score=score_open_answer,
        metric="exact_match",
        draws_clips=True,
        streamed_splits=source.haystacks,
    )


SPEC = _spec(TOY)
SHAPES_SPEC = _spec(SHAPES)
