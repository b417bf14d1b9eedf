"""A talk: its history, its turns, and what becomes of them when the video changes."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.serve.fakes import FakeModel, wait_until
from videollm.serve.engine import Engine
from videollm.serve.frames import FrameStrip
from videollm.serve.questions import Media
from videollm.serve.talk import Session
from videollm.serve.turns import Settings

Start = Callable[..., Engine]


def talk_about(engine: Engine, video: Path, *questions: str) -> Session:
    choose(session := Session(engine), video, settings=Settings(2))
    for question in questions:
        finish(session, question)
    return session


def choose(session: Session, video: Path | None, **options: Any) -> None:
    list(session.choose(video, **options))


def finish(session: Session, question: str, settings: Settings | None = None) -> None:
    list(session.ask(question, settings or Settings(2)))


def states(session: Session) -> list[str]:
    return [turn.state for turn in session.turns]


def test_each_turn_is_told_to_the_model_with_the_ones_before(
    start_engine: Start, clip_path: Path
) -> None:
    model = FakeModel()
    session = talk_about(start_engine(model), clip_path, "one?", " two? ")
    assert [turn.answer.strip() for turn in session.turns] == [
        "answer 1 to: one?",
        "answer 2 to: two?",
    ]
    assert model.calls[1]["history"] == [
        {"role": "user", "content": "one?"},
        {"role": "assistant", "content": session.turns[0].answer},
    ]
    assert states(session) == ["done", "done"]


def test_the_answer_grows_before_the_askers_eyes(start_engine: Start, clip_path: Path) -> None:
    session = talk_about(start_engine(FakeModel()), clip_path)
    seen = []
    for _ in session.ask("one?", Settings(2)):
        seen.append(session.turns[0].answer)
    grown = list(dict.fromkeys(seen))
    assert grown[0] == ""
    assert grown[-1].strip() == "answer 1 to: one?"
    assert len(grown) == 5
    assert all(later.startswith(earlier) for earlier, later in zip(grown, grown[1:], strict=False))


def test_another_video_ends_the_talk_and_says_so(start_engine: Start, clip_path: Path) -> None:
    session = talk_about(start_engine(FakeModel()), clip_path)
    assert session.notice is None  # nothing to lose yet
    finish(session, "one?")
    choose(session, clip_path, title="Clip 2", suggestions=("why?",), settings=Settings(3))
    assert session.turns == []
    assert session.notice is not None
    assert session.notice.text == "New video, new talk: Clip 2."
    assert session.suggestions == ("why?",)
    assert session.strip is not None
    assert len(session.strip.seconds) == 3
    choose(session, None)
    assert (session.video, session.strip, session.suggestions) == (None, None, ())


def test_a_running_answer_does_not_reach_the_next_talk(
    start_engine: Start, clip_path: Path
) -> None:
    go = threading.Event()
    model = FakeModel(before_piece=lambda: go.wait(10) and None)
    session = talk_about(start_engine(model), clip_path)
    answering = session.ask("one?", Settings(2))
    next(answering)
    wait_until(lambda: bool(model.streams))
    choose(session, clip_path, settings=Settings(5))
    go.set()
    list(answering)
    assert session.turns == []
    assert session.strip is not None
    assert len(session.strip.seconds) == 5


def test_a_slow_file_does_not_push_aside_a_later_choice(
    start_engine: Start, clip_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start_engine(FakeModel())
    session = Session(engine)
    slow, look = Path("slow.mp4"), engine.look

    def look_slowly(media: Media) -> FrameStrip:
        if media.path is slow:
            choose(session, clip_path, title="later", settings=Settings(2))
        return look(replace(media, path=clip_path))

    monkeypatch.setattr(engine, "look", look_slowly)
    choose(session, slow, title="earlier")
    assert (session.title, session.video) == ("later", clip_path)


def test_an_unreadable_video_is_not_chosen(start_engine: Start, tmp_path: Path) -> None:
    notes = tmp_path / "notes.mp4"
    notes.write_text("only words\n" * 50)
    session = Session(start_engine(FakeModel()))
    choose(session, notes)
    assert session.video is None
    assert session.notice is not None
    assert session.notice.kind == "error"
    assert session.notice.text.startswith("notes.mp4: ")


def test_retry_replaces_the_last_turn_with_another_draw(
    start_engine: Start, clip_path: Path
) -> None:
    model = FakeModel()
    session = talk_about(start_engine(model), clip_path, "one?", "two?")
    list(session.retry(Settings(2)))
    assert [turn.question for turn in session.turns] == ["one?", "two?"]
    assert [call["seed"] for call in model.calls] == [0, 0, 1]
    assert model.calls[2]["history"] == model.calls[1]["history"]


def test_stop_keeps_what_came_and_the_talk_goes_on(start_engine: Start, clip_path: Path) -> None:
    pieces = threading.Semaphore(2)
    model = FakeModel(before_piece=lambda: pieces.acquire(timeout=10) and None)
    session = talk_about(start_engine(model), clip_path)
    for _ in session.ask("one?", Settings(2)):
        if session.turns[0].answer == "answer 1 ":
            session.stop()
    assert states(session) == ["stopped"]
    assert not session.busy
    pieces.release(100)
    finish(session, "two?")
    assert model.calls[1]["history"][1] == {"role": "assistant", "content": "answer 1 "}


def test_leaving_in_the_middle_of_an_answer_stops_it(start_engine: Start, clip_path: Path) -> None:
    go = threading.Event()
    model = FakeModel(before_piece=lambda: go.wait(10) and None)
    session = talk_about(start_engine(model), clip_path)
    answering = session.ask("one?", Settings(2))
    next(answering)
    next(answering)
    answering.close()
    go.set()
    wait_until(lambda: bool(model.streams) and model.streams[0].closed)
    assert not session.busy


def test_a_failed_answer_is_shown_but_not_told_to_the_model(
    start_engine: Start, clip_path: Path, tmp_path: Path
) -> None:
    model = FakeModel()
    video = tmp_path / "gone.mp4"
    video.write_bytes(clip_path.read_bytes())
    session = talk_about(start_engine(model), video, "one?")
    video.unlink()
    finish(session, "two?")
    assert states(session) == ["done", "failed"]
    assert session.turns[1].answer.startswith("gone.mp4: ")
    video.write_bytes(clip_path.read_bytes())
    finish(session, "three?")
    contents = [message["content"] for message in model.calls[-1]["history"]]
    assert contents == ["one?", session.turns[0].answer]


def test_what_makes_no_sense_is_answered_with_a_hint(start_engine: Start, clip_path: Path) -> None:
    go = threading.Event()
    model = FakeModel(before_piece=lambda: go.wait(10) and None)
    session = Session(start_engine(model))

    def hint(steps: object) -> str:
        assert len(list(steps)) == 1  # type: ignore[call-overload]
        assert session.notice is not None
        return session.notice.text

    assert hint(session.ask("one?", Settings())).startswith("Choose a video first")
    assert hint(session.retry(Settings())).startswith("There is no question to ask again")
    choose(session, clip_path, settings=Settings(2))
    assert hint(session.ask("  ", Settings())).startswith("Type a question first")
    assert session.turns == []
    answering = session.ask("one?", Settings(2))
    next(answering)
    assert hint(session.ask("two?", Settings())).startswith("One answer at a time")
    go.set()
    list(answering)
    assert [turn.question for turn in session.turns] == ["one?"]


def test_a_full_queue_keeps_the_last_turn_of_a_retry(start_engine: Start, clip_path: Path) -> None:
    engine = start_engine(FakeModel(), max_waiting=1)
    session = talk_about(engine, clip_path, "one?")
    engine.max_waiting = 0
    list(session.retry(Settings()))
    assert states(session) == ["done"]
    assert session.notice is not None
    assert session.notice.kind == "error"


def test_preview_follows_the_setting_until_the_first_question(
    start_engine: Start, clip_path: Path
) -> None:
    session = talk_about(start_engine(FakeModel()), clip_path)
    list(session.preview(Settings(5)))
    assert session.strip is not None
    assert len(session.strip.seconds) == 5
    finish(session, "one?", Settings(4))
    list(session.preview(Settings(3)))
    assert len(session.strip.seconds) == 4
    assert len(session.turns) == 1


def test_a_question_asked_while_its_video_is_read_is_told_so(
    start_engine: Start, clip_path: Path
) -> None:
    session = Session(start_engine(FakeModel()))
    choosing = session.choose(clip_path, settings=Settings(2))
    next(choosing)
    assert list(session.ask("one?", Settings(2))) == [False]
    list(choosing)
    assert session.notice is not None  # the hint outlasts the reading
    assert session.notice.text.startswith("The video is still being read")
    finish(session, "one?")
    assert states(session) == ["done"]
    assert session.notice is None


def test_a_choice_that_was_broken_off_is_none(start_engine: Start, clip_path: Path) -> None:
    session = Session(start_engine(FakeModel()))
    choosing = session.choose(clip_path, settings=Settings(2))
    next(choosing)
    assert session.wanted is clip_path
    choosing.close()
    assert (session.wanted, session.video) == (None, None)


def test_a_preview_does_not_get_in_the_way_of_a_question(
    start_engine: Start, clip_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start_engine(FakeModel())
    session = talk_about(engine, clip_path)
    look = engine.look

    def look_slowly(media: Media) -> FrameStrip:
        finish(session, "one?")
        return look(media)

    monkeypatch.setattr(engine, "look", look_slowly)
    assert list(session.preview(Settings(5))) == []
    assert states(session) == ["done"]
    assert session.strip is not None
    assert len(session.strip.seconds) == 2


def test_clear_forgets_the_talk_and_keeps_the_video(start_engine: Start, clip_path: Path) -> None:
    session = talk_about(start_engine(FakeModel()), clip_path, "one?")
    session.clear()
    assert (session.turns, session.video) == ([], clip_path)
