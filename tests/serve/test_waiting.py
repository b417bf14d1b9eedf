"""The queue is fair and stop words are cut out, wherever the pieces are cut."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.serve.fakes import FakeModel, wait_until
from videollm.conversation import Conversation
from videollm.errors import RequestError
from videollm.generate_rows import Listener
from videollm.serve.engine import Engine
from videollm.serve.jobs import Done, Failed, Job, Piece
from videollm.serve.questions import Chat, Question, Wish
from videollm.serve.stop_words import StopWords
from videollm.serve.waiting import BusyError, FairQueue

Start = Callable[..., Engine]
QUESTION = Chat(messages=({"role": "user", "content": "what?"},))


def job(asker: str) -> Job:
    return Job(QUESTION, lambda _: None, asker=asker)


def order(queue: FairQueue, limit: int = 1) -> list[str]:
    taken = []
    while jobs := queue.take(limit, lambda first, other: True):
        taken += [one.asker for one in jobs]
    return taken


@pytest.mark.parametrize("limit", [1, 3])
def test_everybodys_first_question_comes_before_anybodys_second(limit: int) -> None:
    queue = FairQueue()
    for asker in "aaaabbc":
        queue.push(job(asker))
    assert "".join(order(queue, limit)) == "abcabaa"


def test_who_comes_later_does_not_wait_for_a_crowd_of_one() -> None:
    queue = FairQueue()
    for _ in range(5):
        queue.push(job("crowd"))
    queue.take(1, lambda first, other: True)
    late = job("late")
    queue.push(late)
    assert queue.num_ahead(late) <= 1
    assert "late" in order(queue)[:2]


def test_only_what_goes_together_is_taken_together() -> None:
    queue = FairQueue()
    for asker in "abcd":
        queue.push(job(asker))
    taken = queue.take(4, lambda first, other: other.asker != "c")
    assert [one.asker for one in taken] == ["a", "b"]
    assert order(queue) == ["c", "d"]


def test_a_full_queue_says_when_to_ask_again() -> None:
    queue = FairQueue()
    jobs = [job("a"), job("b")]
    for one in jobs:
        queue.check_room(2, 3.0)
        queue.push(one)
    with pytest.raises(BusyError, match="2 questions are already waiting .* ask again in 3 s"):
        queue.check_room(2, 3.0)
    jobs[0].stop()
    queue.check_room(2, 3.0)


@given(
    text=st.text(alphabet="abc", max_size=30),
    words=st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3),
    cuts=st.lists(st.integers(0, 30), max_size=6),
)
def test_stop_words_cut_the_same_text_however_it_comes(
    text: str, words: list[str], cuts: list[int]
) -> None:
    ends = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    filtered = StopWords(words)
    shown = "".join(filtered.add(text[a:b]) for a, b in zip(ends[:-1], ends[1:], strict=True))
    shown += filtered.rest()
    assert text.startswith(shown)
    assert filtered.found == any(word in text for word in words)
    if filtered.found:
        assert not any(word in shown for word in words)
        assert any(text[len(shown) :].startswith(word) for word in words)
    else:
        assert shown == text


def test_a_stop_word_ends_the_answer_and_the_work_on_it(
    start_engine: Start, clip_path: Path
) -> None:
    model = FakeModel()
    chat = Chat(messages=QUESTION.messages, stop=("to:", "never"))
    events = list(start_engine(model).submit(chat))
    assert "".join(event.text for event in events if isinstance(event, Piece)) == "answer 1 "
    assert isinstance(events[-1], Done)
    assert not events[-1].is_cut
    assert not model.streams[0].finished


def test_an_answer_that_takes_too_long_fails_and_frees_the_model(
    start_engine: Start, clip_path: Path
) -> None:
    model = FakeModel(before_piece=lambda: time.sleep(0.05))
    engine = start_engine(model, longest_seconds=0.2, max_batch=1)
    asked = [engine.submit(Question(clip_path, "go on " * 100)) for _ in range(3)]
    for one in asked:
        last = list(one)[-1]
        assert isinstance(last, Failed)
        assert last.kind == "time"
        assert "longer than the 0.2 s" in last.message
    wait_until(lambda: model.active == 0)
    assert engine.tally.ends["failed_time"] == 3


def test_drawn_answers_are_given_alone_and_greedy_ones_together(start_engine: Start) -> None:
    go = threading.Event()
    model = FakeModel(before_piece=lambda: go.wait(10) and None)
    engine = start_engine(model)
    first = engine.submit(QUESTION)
    wait_until(lambda: bool(model.streams))
    warm = Chat(messages=QUESTION.messages, wish=Wish(temperature=1.0))
    jobs = [engine.submit(one) for one in (QUESTION, QUESTION, warm, QUESTION)]
    go.set()
    ends = [list(one)[-1] for one in (first, *jobs)]
    assert all(isinstance(end, Done) for end in ends)
    assert model.most_together == 2


def test_one_prompt_too_long_costs_no_other_its_answer(start_engine: Start) -> None:
    go = threading.Event()

    class Picky(FakeModel):
        def converse(
            self, conversations: Sequence[Conversation], listeners: Sequence[Listener]
        ) -> list[SimpleNamespace]:
            if any("long" in str(one.messages[-1]["content"]) for one in conversations):
                raise RequestError("the prompt has 9 tokens; the language model reads 8")
            return super().converse(conversations, listeners)

    model = Picky(before_piece=lambda: go.wait(10) and None)
    engine = start_engine(model)
    first = engine.submit(QUESTION)
    wait_until(lambda: bool(model.streams))
    texts = ("short", "too long", "short too")
    jobs = [engine.submit(Chat(messages=({"role": "user", "content": text},))) for text in texts]
    go.set()
    kinds = [type(list(one)[-1]) for one in (first, *jobs)]
    assert kinds == [Done, Done, Failed, Done]
