"""Questions: worded by the rules, balanced against blind guessing, reproducible."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from functools import lru_cache
from itertools import islice

import pytest

from videollm.errors import DataError, RequestError
from videollm.scoring import exact_match
from videollm.toyworld import (
    COLOURS,
    FAMILIES,
    HELD_OUT_PAIRS,
    QUESTION_FAMILIES,
    SPLITS,
    WORDINGS,
    Question,
    make_questions,
    make_scene,
)

CHANCE = {
    "existence": 0.57,
    "count": 0.35,
    "colour": 0.2,
    "shape": 0.24,
    "size": 0.57,
    "position": 0.57,
    "motion": 0.22,
    "order": 0.1,
    "time": 0.58,
}
"""Most that an answer without looking may score, some sampling error included."""


_scene = lru_cache(maxsize=None)(make_scene)


def _ask(split: str, num: int, **options: object) -> list[Question]:
    asked: list[Question] = []
    for index in range(num):
        scene = _scene(split, index)
        asked += make_questions(scene, split, count=10, seed=0, **options)
    return asked


@pytest.fixture(scope="module")
def val() -> list[Question]:
    return _ask("val", 300)


@pytest.fixture(scope="module")
def train() -> list[Question]:
    return _ask("train", 500)


def _best_answer(family: str, answers: Counter[str]) -> str:
    def score(guess: str) -> int:
        if family != "time":
            return answers[guess]
        return sum(times for right, times in answers.items() if exact_match(guess, right))

    return max(answers, key=score)


def _blind_scores(
    train: list[Question], val: list[Question], key: Callable[[Question], Hashable]
) -> dict[str, float]:
    """Return the score of the best table from `key` to an answer, made on train, used on val."""
    tables: dict[Hashable, Counter[str]] = defaultdict(Counter)
    for question in train:
        tables[key(question)][question.answer] += 1
        tables[question.family][question.answer] += 1
    right: Counter[str] = Counter()
    for question in val:
        seen = tables[key(question)]
        seen = seen if seen.total() >= 3 else tables[question.family]
        guess = _best_answer(question.family, seen)
        right[question.family] += exact_match(guess, question.answer, question.aliases)
    asked = Counter(question.family for question in val)
    return {family: right[family] / asked[family] for family in asked}


def test_every_family_is_asked_often(val: list[Question]) -> None:
    assert len(val) == 3000
    shares = Counter(question.family for question in val)
    assert set(shares) == set(QUESTION_FAMILIES)
    assert min(shares.values()) > 0.04 * len(val)
    assert max(shares.values()) < 0.2 * len(val)


def test_no_constant_answer_does_well(val: list[Question]) -> None:
    for family, score in _blind_scores(val, val, lambda question: question.family).items():
        assert score < CHANCE[family], family


def test_no_wording_gives_the_answer_away(train: list[Question], val: list[Question]) -> None:
    scores = _blind_scores(train, val, lambda question: (question.family, question.wording))
    for family, score in scores.items():
        assert score < CHANCE[family], family


def test_no_question_text_gives_the_answer_away(train: list[Question], val: list[Question]) -> None:
    scores = _blind_scores(train, val, lambda question: question.question)
    for family, score in scores.items():
        assert score < CHANCE[family], family


def test_there_are_enough_wordings() -> None:
    for family in FAMILIES:
        training, paraphrase = WORDINGS[family]
        assert len(training) >= 10
        assert len(paraphrase) >= 3
        assert len({*training, *paraphrase}) == len(training) + len(paraphrase)
    assert "What colour is {the}?" in WORDINGS["colour"].training
    assert "What color is {the}?" in WORDINGS["colour"].training


def test_paraphrases_are_never_trained(train: list[Question], val: list[Question]) -> None:
    paraphrased = _ask("test_paraphrase", 60)
    trained = {(question.family, question.wording) for question in train + val}
    tested = {(question.family, question.wording) for question in paraphrased}
    assert not trained & tested
    assert not {q.question for q in train} & {q.question for q in paraphrased}
    for family in QUESTION_FAMILIES:
        assert {number for name, number in trained if name == family} == set(
            range(len(WORDINGS[family].training))
        )
        assert len([name for name, _ in tested if name == family]) >= 3


@pytest.mark.parametrize("split", SPLITS)
def test_questions_are_distinct_reproducible_and_finished(split: str) -> None:
    for index in range(15):
        scene = _scene(split, index)
        asked = make_questions(scene, split, count=10, seed=5)
        assert asked == make_questions(scene, split, count=10, seed=5)
        assert asked != make_questions(scene, split, count=10, seed=6)
        assert len(asked) >= 8
        assert len({question.id for question in asked}) == len(asked)
        for question in asked:
            assert question.question[0].isupper()
            assert question.question[-1] in ".?"
            assert "{" not in question.question
            assert question.prompt == question.question
            assert exact_match(question.answer, question.answer)


def test_held_out_pairs_are_never_named_in_training(train: list[Question]) -> None:
    captions = _ask("train", 60, families=["caption"])
    for colour, shape in HELD_OUT_PAIRS:
        for question in train + captions:
            assert f"{colour} {shape}" not in f"{question.question} {question.answer}"


def test_compositional_questions_are_about_held_out_pairs() -> None:
    names = [" ".join(pair) for pair in HELD_OUT_PAIRS]
    words = {word for pair in HELD_OUT_PAIRS for word in pair}
    asked = _ask("test_compositional", 80)
    assert {question.family for question in asked} == set(QUESTION_FAMILIES)
    for question in asked:
        text = f"{question.question} {question.answer}"
        if question.family in ("existence", "order"):
            assert any(name in text for name in names)
        elif question.family == "colour":
            assert question.answer in words


def test_existence_names_held_out_pairs_that_are_there_and_that_are_not() -> None:
    asked = _ask("test_compositional", 80, families=["existence"])
    shares = Counter(question.answer for question in asked)
    assert 0.3 < shares["yes"] / shares.total() < 0.7


def test_families_can_be_chosen() -> None:
    asked = _ask("val", 20, families=["caption"])
    assert len(asked) == 20
    assert {question.family for question in asked} == {"caption"}
    assert {question.family for question in _ask("val", 20, families=["order", "time"])} == {
        "order",
        "time",
    }


def test_choices_hold_the_answer_once_at_any_letter() -> None:
    asked = _ask("val", 60, choice_fraction=1.0)
    letters: Counter[str] = Counter()
    for question in asked:
        assert question.answer in question.choices
        assert 2 <= len(question.choices) <= 4
        assert len({choice[4:] for choice in question.choices}) == len(question.choices)
        assert question.prompt.split("\n") == [question.question, *question.choices]
        assert exact_match(question.answer[1], question.answer, question.aliases)
        assert exact_match(question.answer[4:], question.answer, question.aliases)
        for choice in question.choices:
            right = exact_match(choice[4:], question.answer, question.aliases)
            assert right == (choice == question.answer)
        letters[question.answer[1]] += 1
    assert set(letters) == set("ABCD")
    assert max(letters.values()) < 0.45 * len(asked)


def test_choice_fraction_is_kept() -> None:
    asked = _ask("val", 60, choice_fraction=0.3)
    assert 0.2 < sum(bool(question.choices) for question in asked) / len(asked) < 0.4


def test_aliases_are_never_another_answer_of_the_family(train: list[Question]) -> None:
    answers: dict[str, set[str]] = defaultdict(set)
    for question in train:
        answers[question.family].add(question.answer)
    for question in islice(train, 2000):
        for other in answers[question.family] - {question.answer}:
            if question.family != "time":
                assert not exact_match(other, question.answer, question.aliases)
    assert answers["colour"] == set(COLOURS)


def test_impossible_requests_are_refused() -> None:
    scene = make_scene("val", 0)
    with pytest.raises(RequestError, match="families asked for: speed; choose from existence"):
        make_questions(scene, "val", count=1, seed=0, families=["speed"])
    with pytest.raises(RequestError, match="none at all"):
        make_questions(scene, "val", count=1, seed=0, families=[])
    with pytest.raises(RequestError, match="count is -1"):
        make_questions(scene, "val", count=-1, seed=0)
    with pytest.raises(RequestError, match="choice_fraction 2"):
        make_questions(scene, "val", count=1, seed=0, choice_fraction=2)
    with pytest.raises(DataError, match="holds 0 held-out pairs"):
        make_questions(scene, "test_compositional", count=1, seed=0)
    with pytest.raises(DataError, match="held-out pairs, which does not fit questions for train"):
        make_questions(make_scene("test_compositional", 0), "train", count=1, seed=0)
