"""Who answers and what it is shown: the model, and the baselines that put its score in place.

A score means little alone: many questions about a video can be answered from the question, or
from one picture. So the same model is also asked with no video (`blind`), with the middle frame
in place of every frame (`single_frame`) and with the frames out of order (`shuffled`), each time
with the number of frames and the times that it usually gets. `majority` asks no model at all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from videollm.choices import choice_letter
from videollm.clip import Clip
from videollm.errors import DataError, RequestError
from videollm.eval.settings import EvalSettings
from videollm.eval.task import Example, Task
from videollm.eval.views import VIEWS, views_of
from videollm.likelihood import Likelihood, score_continuations
from videollm.processor import Message

if TYPE_CHECKING:
    from videollm.api import VideoLLM

__all__ = [
    "Answerer",
    "Condition",
    "LikelihoodCondition",
    "MajorityCondition",
    "ModelCondition",
    "Reply",
    "build_conditions",
    "messages_of",
    "option_texts",
]


class Answerer(Protocol):
    """Answer questions about clips in batches, as `videollm.VideoLLM` does."""

    def batch(
        self,
        videos: list[Clip | None],
        questions: list[str],
        *,
        max_new_tokens: int = 32,
        batch_size: int = 8,
        histories: list[list[Message]] | None = None,
    ) -> list[str]:
        """Return one answer per question, in order; a video that is None is not shown."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Hold one answer.

    Args:
        output: The text as it was generated.
        frame_seconds: `View.source_seconds` of what was shown.
        option_scores: Log-probability of each choice, where likelihoods decide.
    """

    output: str
    frame_seconds: tuple[float, ...]
    option_scores: tuple[float, ...] = ()


class Condition(Protocol):
    """Answer examples under one condition."""

    @property
    def name(self) -> str:
        """Return the name under which scores are filed."""

    def answer(self, examples: Sequence[Example], clips: Sequence[Clip]) -> list[Reply]:
        """Return one reply per example.

        Args:
            examples: The questions, at least one.
            clips: The whole clip of each question.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCondition:
    """Ask a model, showing it what this condition shows.

    Args:
        name: Name of the condition, one of `VIEWS`.
        model: Who answers.
        seed: Seed of what the view draws, at least 0.
        max_new_tokens: Longest answer in tokens.
    """

    name: str
    model: Answerer
    seed: int
    max_new_tokens: int

    def answer(self, examples: Sequence[Example], clips: Sequence[Clip]) -> list[Reply]:
        """Return one reply per example; see `Condition.answer`.

        Raises:
            DataError: The model returned another number of answers.
        """
        views = views_of(self.name, self.seed, examples, clips)
        histories = [messages_of(example) for example in examples]
        outputs = self.model.batch(
            [view.clip for view in views],
            [example.question for example in examples],
            max_new_tokens=self.max_new_tokens,
            batch_size=len(examples),
            **({"histories": histories} if any(histories) else {}),
        )
        if len(outputs) != len(views):
            raise DataError(
                f"the model gave {len(outputs)} answers to {len(views)} questions; "
                "batch() must return one answer per question"
            )
        return [
            Reply(output, view.source_seconds) for output, view in zip(outputs, views, strict=True)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LikelihoodCondition:
    """Take the choice that a model finds likeliest as the beginning of its answer.

    Args:
        name: Name of the condition, one of `VIEWS`.
        model: Who finds.
        seed: Seed of what the view draws, at least 0.
        score: Returns the likelihoods, as `videollm.likelihood.score_continuations` does.
    """

    name: str
    model: "VideoLLM"
    seed: int
    score: Callable[..., Sequence[Sequence[Likelihood]]] = score_continuations

    def answer(self, examples: Sequence[Example], clips: Sequence[Clip]) -> list[Reply]:
        """Return one reply per example; see `Condition.answer`.

        Where the question shows choices by their letters alone ("A. red"), letters are compared,
        by their log-probability; else whole choices, by their mean per token, since a long one
        is not less right.
        """
        views = views_of(self.name, self.seed, examples, clips)
        options = [option_texts(example) for example in examples]
        scored = self.score(
            self.model,
            [view.clip for view in views],
            [example.question for example in examples],
            options,
            histories=[messages_of(example) for example in examples],
            batch_size=len(examples),
        )
        replies = []
        for example, view, likelihoods in zip(examples, views, scored, strict=True):
            scores = [round(likelihood.mean, 6) for likelihood in likelihoods]
            best = example.choices[scores.index(max(scores))]
            replies.append(Reply(best, view.source_seconds, tuple(scores)))
        return replies


def option_texts(example: Example) -> list[str]:
    """Return what is scored for each choice: its letter, or all of it.

    Args:
        example: A question with choices.
    """
    if all(choice in example.question for choice in example.choices):
        return list(example.choices)
    return [choice_letter(choice) or choice for choice in example.choices]


def messages_of(example: Example) -> list[Message]:
    """Return the turns before a question as messages."""
    return [
        {"role": role, "content": text}
        for turn in example.history
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]


class MajorityCondition:
    """Give each family's most frequent answer, whatever is asked.

    Args:
        count: Returns the most frequent answer per family; called once, when the first answer is
            due. A family that is not there is answered with nothing, which is wrong.
    """

    name = "majority"

    def __init__(self, count: Callable[[], Mapping[str, str]]) -> None:
        self._count = count
        self._answers: Mapping[str, str] | None = None

    def answer(self, examples: Sequence[Example], clips: Sequence[Clip]) -> list[Reply]:
        """Return one reply per example; the clips are not looked at."""
        del clips
        if self._answers is None:
            self._answers = self._count()
        return [Reply(self._answers.get(example.family, ""), ()) for example in examples]


def build_conditions(
    settings: EvalSettings,
    task: Task,
    model: "VideoLLM",
    *,
    names: Sequence[str],
    max_new_tokens: int,
) -> list[Condition]:
    """Return the conditions of a run.

    Args:
        settings: Says the seed and how choices are taken.
        task: Supplies the majority answers.
        model: Who answers in every condition but `majority`.
        names: Those of `VIEWS`, and "majority".
        max_new_tokens: Longest answer in tokens.

    Raises:
        RequestError: Likelihoods are to decide about questions without choices.
    """
    if settings.scoring == "likelihood":
        open_ones = sum(not example.choices for example in task.examples)
        if open_ones:
            raise RequestError(
                f"--scoring likelihood needs choices: {open_ones} of {len(task.examples)} "
                f"questions of {task.name} have none; leave it out"
            )

    def build(name: str) -> Condition:
        if name not in VIEWS:
            return MajorityCondition(task.majority_answers)
        if settings.scoring == "likelihood":
            return LikelihoodCondition(name=name, model=model, seed=settings.seed)
        return ModelCondition(
            name=name, model=model, seed=settings.seed, max_new_tokens=max_new_tokens
        )

    return [build(name) for name in names]
