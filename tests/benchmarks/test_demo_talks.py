"""Talks for the card: half of them failures, follow-ups after what they follow."""

from collections.abc import Sequence
from itertools import count, islice

from benchmarks.demo_talks import Talk, Turn, choose, plan, show, talks_of
from videollm.clip import Clip
from videollm.processor import Message
from videollm.shapeworld import make_questions, make_scene


class Clerk:
    """Answer "red" to everything and keep what was said before."""

    def __init__(self) -> None:
        self.histories: list[int] = []

    def __call__(self, clip: Clip, question: str, history: Sequence[Message]) -> str:
        assert len(clip) == 4
        self.histories.append(len(history))
        return "red"


def test_turns_carry_all_turns_before_and_the_same_seed_gives_the_same_talks() -> None:
    clerk = Clerk()
    talks = list(islice(talks_of(clerk, num_frames=4, seed=3), 5))
    assert clerk.histories == [2 * turn for talk in talks for turn in range(len(talk.turns))]
    assert talks == list(islice(talks_of(clerk, num_frames=4, seed=3), 5))
    for talk in talks:
        assert [turn.is_right for turn in talk.turns] == [
            turn.truth.lower() == "red" for turn in talk.turns
        ]


def test_a_follow_up_comes_after_its_opening() -> None:
    for index in range(20):
        questions = make_questions(
            make_scene("test_iid", index), "test_iid", count=1, seed=0, families=["follow_up"]
        )
        for question in questions:
            asked = plan(questions)
            assert [one[0] for one in asked] == [question.history[0].question, question.prompt]


def test_half_of_the_talks_are_failures() -> None:
    endless = (
        Talk(number, (Turn("Which?", "red", answer, answer == "red"),))
        for number in count()
        for answer in ("blue" if number < 5 else "red",)
    )
    found = choose(endless, 4)
    assert [talk.scene for talk in found] == [0, 1, 5, 6]
    assert "*(wrong: red)*" in show(found[0])
    assert "wrong" not in show(found[-1])
