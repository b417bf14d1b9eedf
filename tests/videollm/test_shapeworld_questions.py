"""Questions of the shape world: an oracle that reads answers all, whoever does not look fails."""

import re
from collections import Counter
from functools import cache, lru_cache

import pytest

from benchmarks.shape_world import blind_scores
from videollm.errors import DataError, RequestError
from videollm.scoring import exact_match
from videollm.shapeworld import (
    ACCOUNT_FAMILIES,
    FAMILIES,
    HELD_OUT_PAIRS,
    QUESTION_FAMILIES,
    SPLITS,
    WORDINGS,
    Question,
    answer_question,
    caption_recall,
    make_questions,
    make_scene,
)
from videollm.shapeworld.follow_ups import FOLLOW_UPS

_scene = lru_cache(maxsize=None)(make_scene)


@cache
def _ask(split: str, num: int, count: int = 10, choice_fraction: float = 0.0) -> list[Question]:
    return [
        question
        for index in range(num)
        for question in make_questions(
            _scene(split, index), split, count=count, seed=0, choice_fraction=choice_fraction
        )
    ]


@pytest.mark.parametrize(
    "split",
    [s for s in SPLITS if s not in ("test_long_10", "test_long_60", "train_stream")],
)
def test_the_oracle_agrees_with_every_answer(split: str) -> None:
    asked = 0
    for index in range(15 if "long" in split else 40):
        scene = _scene(split, index)
        questions = make_questions(scene, split, count=20, seed=0, choice_fraction=0.1)
        if not scene.needles:
            questions += make_questions(scene, split, count=9, seed=0, families=ACCOUNT_FAMILIES)
        for question in questions:
            turns = tuple((turn.question, turn.answer) for turn in question.history)
            answer = answer_question(scene, question.prompt, turns)
            assert exact_match(answer, question.answer, question.aliases), (turns, question)
            asked += 1
    assert asked > 200


def test_of_needles_it_is_asked_when_they_appear() -> None:
    scene = _scene("test_long", 0)
    asked = make_questions(scene, "test_long", count=40, seed=0, families=["when"])
    assert asked
    for question in asked:
        assert exact_match(answer_question(scene, question.prompt), question.answer)
        begin = float(question.answer.split()[1])
        assert exact_match(f"at {begin + 5.0:.1f} s", question.answer, question.aliases)
        assert not exact_match(f"at {begin + 9.0:.1f} s", question.answer, question.aliases)
    plain = make_questions(_scene("val", 0), "val", count=40, seed=0, families=["when"])
    assert plain == []


def test_in_quiet_videos_it_is_asked_what_comes_next() -> None:
    scenes = [_scene("train_stream", index) for index in range(0, 30, 6)]
    quiet = [scene for scene in scenes if scene.is_quiet]
    assert 0 < len(quiet) < len(scenes)
    for scene in scenes:
        asked = make_questions(scene, "train_stream", count=40, seed=0, families=["neighbour"])
        assert len(asked) == (2 * (len(scene.needles) - 1) if scene.is_quiet else 0)
        for question in asked:
            assert exact_match(answer_question(scene, question.prompt), question.answer)


def test_no_wording_and_no_text_gives_the_answer_away() -> None:
    train, val = _ask("train", 300), _ask("val", 150)
    assert blind_scores(train, val, lambda question: question.wording)["overall"] < 0.29
    assert blind_scores(train, val, lambda question: question.question)["overall"] < 0.29


def test_every_family_is_asked_often() -> None:
    shares = Counter(question.family for question in _ask("val", 150))
    assert set(shares) == set(QUESTION_FAMILIES)
    assert min(shares.values()) > 0.015 * shares.total()
    assert max(shares.values()) < 0.16 * shares.total()


def test_there_are_enough_wordings_and_no_two_alike() -> None:
    for group, (training, paraphrase) in WORDINGS.items():
        assert len(training) >= 8, group
        assert len(paraphrase) >= 3, group
        assert len({*training, *paraphrase}) == len(training) + len(paraphrase)
    assert sum(len(training) for training, _ in FOLLOW_UPS.values()) >= 8


def test_paraphrases_are_never_trained() -> None:
    trained = {question.wording for question in _ask("train", 300)}
    tested = {question.wording for question in _ask("test_paraphrase", 60)}
    assert not trained & tested


@pytest.mark.parametrize("split", ["train", "test_paraphrase", "test_long"])
def test_questions_are_reproducible_and_finished(split: str) -> None:
    for index in range(8):
        scene = _scene(split, index)
        asked = make_questions(scene, split, count=10, seed=5)
        assert asked == make_questions(scene, split, count=10, seed=5)
        assert len(asked) == 10
        assert len({question.id for question in asked}) == 10
        for question in asked:
            assert question.question[0].isupper()
            assert question.question[-1] in ".?"
            assert "{" not in question.question


def test_a_follow_up_needs_the_turn_before_and_is_not_told_by_it() -> None:
    asked = [question for question in _ask("val", 150) if question.family == "follow_up"]
    assert len(asked) > 60
    for question in asked:
        (turn,) = question.history
        assert not re.search(r"\b(the|an?) (\w+ )*(circle|square|star)", question.question.lower())
        if question.answer not in ("small", "large", "filled", "outline"):
            assert question.answer not in f"{turn.question} {turn.answer}".lower()


def test_a_false_premise_is_worded_like_any_question() -> None:
    asked = [question for question in _ask("val", 150) if question.family == "premise"]
    others = {question.wording for question in _ask("train", 300) if question.family != "premise"}
    assert asked
    for question in asked:
        assert question.answer.startswith("there is no ")
        assert question.answer.removeprefix("there is no ") in question.question.lower()
        assert question.wording in others


def test_held_out_pairs_are_never_named_in_training() -> None:
    for question in _ask("train", 300):
        for colour, shape in HELD_OUT_PAIRS:
            assert f"{colour} {shape}" not in f"{question.question} {question.answer}"


def test_compositional_questions_are_about_held_out_pairs() -> None:
    names = [" ".join(pair) for pair in HELD_OUT_PAIRS]
    for question in _ask("test_compositional", 40):
        if question.family in ("existence", "order", "premise"):
            assert any(name in f"{question.question} {question.answer}" for name in names)


def test_choices_hold_the_answer_once_at_any_letter() -> None:
    asked = [question for question in _ask("val", 60, 10, 1.0) if question.choices]
    letters: Counter[str] = Counter()
    for question in asked:
        assert question.answer in question.choices
        assert len({choice[4:] for choice in question.choices}) == len(question.choices) >= 2
        for choice in question.choices:
            right = exact_match(choice[4:], question.answer, question.aliases)
            assert right == (choice == question.answer)
        letters[question.answer[1]] += 1
    assert set(letters) == set("ABCD")


def test_accounts_say_what_is_asked_and_score_by_recall() -> None:
    asked: dict[str, list[Question]] = {"story": [], "view": []}
    for index in range(60):
        for family, questions in asked.items():
            questions += make_questions(
                _scene("val", index), "val", count=9, seed=0, families=[family]
            )
    for questions in asked.values():
        assert len(questions) > 100
        for question in questions:
            assert caption_recall(question.answer, question.answer) == 1
            assert caption_recall("I cannot tell.", question.answer) == 0
    nothing = [question for question in asked["view"] if question.answer == "Nothing."]
    assert nothing
    assert caption_recall("nothing", nothing[0].answer) == 1
    several = next(q for q in asked["view"] if q.answer.count(". ") == 2)
    assert caption_recall(several.answer.split(". ")[0] + ".", several.answer) == pytest.approx(
        1 / 3
    )
    assert (
        make_questions(_scene("test_long", 0), "test_long", count=3, seed=0, families=["view"])
        == []
    )


def test_a_caption_recalls_itself_and_not_another() -> None:
    captions = [
        make_questions(_scene("val", index), "val", count=1, seed=0, families=["caption"])[0].answer
        for index in range(25)
    ]
    for one, other in zip(captions, captions[1:], strict=False):
        assert caption_recall(one, one) == 1
        assert caption_recall(other, one) < 1
        assert caption_recall("", one) == 0
    said = "A small filled red star moves fast up and stops at 3.0 s."
    assert caption_recall("A small filled red star moves fast up.", said) == pytest.approx(2 / 3)
    assert caption_recall(said.replace("3.0", "3.5"), said) == 1
    assert caption_recall(said.replace("3.0", "4.0"), said) == pytest.approx(2 / 3)
    assert caption_recall(said.replace("red", "blue"), said) == 0


def test_impossible_requests_are_refused() -> None:
    scene = _scene("val", 0)
    with pytest.raises(RequestError, match="families asked for: sped; choose from existence"):
        make_questions(scene, "val", count=1, seed=0, families=["sped"])
    with pytest.raises(RequestError, match="none at all"):
        make_questions(scene, "val", count=1, seed=0, families=[])
    with pytest.raises(RequestError, match="count is -1"):
        make_questions(scene, "val", count=-1, seed=0)
    with pytest.raises(DataError, match="holds 0 held-out pairs"):
        make_questions(scene, "test_compositional", count=1, seed=0)
    assert "follow_up" not in FAMILIES
