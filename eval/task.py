"""What a benchmark is to the runner: examples, clips, scores.

A benchmark is a `TaskSpec`, data that says what it offers and how it is built and scored. Built
for one run it is a `Task`: a list of examples and a way to load their clips. Nothing here knows
of models or files.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from videollm.clip import Clip
from videollm.eval.settings import MODEL_CONDITION, EvalSettings

__all__ = ["SUBTITLES", "Example", "Score", "StreamedTask", "Task", "TaskSpec"]

SUBTITLES = "{subtitles}"
"""Stands in a question for the lines spoken while its frames are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """Hold one question about one video, with its truth.

    Args:
        id: Name of the item, unique within its task.
        family: What is asked about ("motion", "colour"); scores are broken down by it.
        video: Name of the clip; examples with equal names are about the same clip.
        question: The text that the model is asked, as it is.
        answer: The right answer.
        aliases: Other answers that count as right.
        choices: The answers on offer; empty when the question is open.
        history: The (question, answer) turns before it, where it follows on from them.
        groups: Further names by which scores are broken down, by axis ("duration": "short").
        subtitles: File of subtitles whose lines take the place of `SUBTITLES` in the question,
            those spoken while a sampled frame is shown; empty for none.
        reference: What a judge is told beside the answer; empty for nothing.
    """

    id: str
    family: str
    video: str
    question: str
    answer: str
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    history: tuple[tuple[str, str], ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    subtitles: str = ""
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """Hold what an output was understood as, and whether that is right.

    Args:
        parsed: The answer found in the output, or None when there is none: such an output is
            counted as unparsable and is wrong; it is never replaced by a guess.
        correct: Whether the answer is right; None where only a judge can tell and none has.
        measures: Further scores by name, each from 0 up ("iou", "wups_0").
    """

    parsed: str | None
    correct: bool | None
    measures: Mapping[str, float] = field(default_factory=dict)


class Task(Protocol):
    """Offer the examples of one benchmark for one run, in a fixed order."""

    @property
    def name(self) -> str:
        """Return the name under which scores are filed."""

    @property
    def examples(self) -> Sequence[Example]:
        """Return every example of the run; those of one clip are neighbours."""

    def describe_clips(self) -> Mapping[str, object]:
        """Return where clips come from, as JSON values for the record."""

    def load_clip(self, video: str, *, num_frames: int, size: int) -> Clip:
        """Return the clip with that name.

        Args:
            video: `Example.video` of any example of this task.
            num_frames: Frames to return, at least 1.
            size: Side of the frames in pixels for a task that draws them; videos keep theirs.
        """

    def majority_answers(self) -> Mapping[str, str]:
        """Return the most frequent answer per family, counted without the run's examples."""


class StreamedTask(Task, Protocol):
    """Offer videos that are too long to hold."""

    def stream(self, video: str, *, fps: float, size: int) -> Iterator[Clip]:
        """Yield all frames of the video with that name, some at a time.

        Args:
            video: `Example.video` of any example of this task.
            fps: Frames a second, above 0.
            size: Side of the frames in pixels.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """Describe a benchmark before anything of it is built.

    Args:
        name: What `--tasks` calls it.
        splits: The values that `--split` may take.
        families: The values that `--families` may take.
        build: Returns the task for one run.
        score: Compares an output with an example; needs neither the task nor a model, so that
            recorded predictions can be scored again.
        metric: Name of `score` in `videollm.eval.metrics.METRICS`; empty for a rule that only
            this benchmark has.
        default_split: The split that is asked when none is named; empty for the first.
        default_limit: Questions when no number is given; None for all.
        max_new_tokens: Longest answer in tokens when no number is given, at least 1.
        average: Which mean is the benchmark's score: over "items", or over "families", each
            weighing the same.
        judge: How a judge is asked, a name of `videollm.eval.judge_prompts.JUDGE_PROMPTS`;
            empty where no judge is of use.
        needs_judge: Whether nothing can be scored without a judge.
        draws_clips: Whether clips are drawn instead of read, so that nothing can be missing.
        streamed_splits: The splits whose videos are watched as streams: their tasks are
            `StreamedTask`s.
    """

    name: str
    splits: tuple[str, ...]
    families: tuple[str, ...]
    build: Callable[[EvalSettings], Task]
    score: Callable[[str, Example], Score]
    metric: str = ""
    default_split: str = ""
    default_limit: int | None = None
    max_new_tokens: int = 32
    average: Literal["items", "families"] = "items"
    judge: str = ""
    needs_judge: bool = False
    draws_clips: bool = False
    streamed_splits: tuple[str, ...] = ()

    def split_of(self, settings: EvalSettings) -> str:
        """Return the split that a run asks."""
        return settings.split or self.default_split or self.splits[0]

    def is_streamed(self, settings: EvalSettings) -> bool:
        """Return whether the videos of a run are watched as streams."""
        return self.split_of(settings) in self.streamed_splits

    def conditions_of(self, settings: EvalSettings) -> tuple[str, ...]:
        """Return the conditions of a run in their order.

        A stream is asked by each policy of memory, and has no frame in the middle and no order to
        shuffle.
        """
        if not self.is_streamed(settings):
            return settings.conditions
        baselines = (name for name in settings.conditions if name in ("blind", "majority"))
        return (MODEL_CONDITION, *settings.policies[1:], *baselines)
