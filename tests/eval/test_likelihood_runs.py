"""Choices taken by likelihood: the likeliest counts, and open questions are refused."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from tests.eval.paint import FakeModel
from videollm.clip import Clip
from videollm.errors import RequestError
from videollm.eval.conditions import LikelihoodCondition, build_conditions, option_texts
from videollm.eval.settings import EvalSettings
from videollm.eval.task import Example, TaskSpec
from videollm.likelihood import Likelihood

CHOICES = ("(A) red", "(B) a very long blue", "(C) green")
LETTERED = Example(
    id="0", family="f", video="v", question="Which?\nA. red\nB. a very long blue\nC. green",
    answer="(B) a very long blue", choices=CHOICES,
)  # fmt: skip
WHOLE = Example(
    id="1", family="f", video="v", question="Which? (A) red (B) a very long blue (C) green",
    answer="(B) a very long blue", choices=CHOICES,
)  # fmt: skip


def test_what_is_scored_is_what_the_question_asks_for() -> None:
    assert option_texts(LETTERED) == ["A", "B", "C"]
    assert option_texts(WHOLE) == list(CHOICES)


def test_the_likeliest_choice_is_the_answer() -> None:
    seen: list[Sequence[Sequence[str]]] = []

    def score(
        model: object,
        videos: object,
        questions: object,
        options: Sequence[Sequence[str]],
        *,
        histories: object,
        batch_size: int,
    ) -> list[list[Likelihood]]:
        del model, videos, questions, histories, batch_size
        seen.append(options)
        return [[Likelihood(-2.0, 1, False), Likelihood(-5.0, 5, False),
                 Likelihood(-9.0, 1, False)] for _ in options]  # fmt: skip

    model: Any = FakeModel()
    condition = LikelihoodCondition(name="model", model=model, seed=0, score=score)
    clip = Clip(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.arange(2, dtype=torch.float64))
    replies = condition.answer([LETTERED, WHOLE], [clip, clip])
    assert [reply.output for reply in replies] == [CHOICES[1]] * 2
    assert replies[0].option_scores == (-2.0, -1.0, -9.0)
    assert seen == [[["A", "B", "C"], list(CHOICES)]]


def test_open_questions_have_no_choices_to_compare(paint: TaskSpec) -> None:
    settings = EvalSettings(tasks=("paint",), scoring="likelihood")
    model: Any = FakeModel()
    with pytest.raises(RequestError, match="needs choices: 10 of 10 questions of paint have none"):
        build_conditions(settings, paint.build(settings), model, names=("model",), max_new_tokens=4)
    with pytest.raises(RequestError, match="unknown scoring 'guess'"):
        EvalSettings(scoring="guess")
