"""The engine: every question its own answer, in order, never mixed, never stuck."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.serve.fakes import FakeModel, wait_until
from tests.videollm.test_video_refusals import forged_gif
from videollm.errors import ModelError, RequestError, VideoError
from videollm.serve.engine import Engine
from videollm.serve.jobs import Done, Event, Failed, Job, Piece, Seen, Waiting
from videollm.serve.questions import Exchange, Media, Question
from videollm.video_limits import DecodeLimits
from videollm.video_worker import DecodeWorker

Start = Callable[..., Engine]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Piece)).strip()


def ask(engine: Engine, clip: Path, text: str = "what moves?", **options: Any) -> list[Event]:
    return list(engine.submit(Question(clip, text, **options)))


def test_an_answer_is_its_frames_then_its_pieces_then_its_costs(
    start_engine: Start, clip_path: Path
) -> None:
    events = ask(start_engine(FakeModel()), clip_path, num_frames=4)
    told = [event for event in events if not isinstance(event, Waiting)]
    kinds = [type(event) for event in told]
    assert kinds == [Seen, *[Piece] * 5, Done]
    assert text_of(events) == "answer 1 to: what moves?"
    seen, done = told[0], told[-1]
    assert isinstance(seen, Seen)
    assert len(seen.strip.seconds) == len(seen.strip.pictures) == 4
    assert all(picture.startswith(b"\xff\xd8") for picture in seen.strip.pictures)
    assert done == Done(
        frames=4,
        visual_tokens=16,
        prompt_tokens=26,
        answer_tokens=5,
        first_token_seconds=0.25,
        total_seconds=0.5,
    )


def test_the_model_gets_what_was_asked(start_engine: Start, clip_path: Path) -> None:
    model = FakeModel()
    told = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    ask(
        start_engine(model),
        clip_path,
        "what then?",
        history=(Exchange(clip_path, "a", "b"),),
        num_frames=3,
        max_new_tokens=7,
        temperature=0.5,
        seed=2,
        system="Be brief.",
        tokens_per_frame=3,
    )
    assert model.calls == [
        {
            "question": "what then?",
            "history": told,
            "videos": [1, 0],
            "tokens_per_frame": 3,
            "system": "Be brief.",
            "num_frames": 3,
            "max_new_tokens": 7,
            "temperature": 0.5,
            "seed": 2,
            "top_p": 1.0,
        }
    ]


def test_a_question_asked_while_the_model_loads_waits_and_is_answered(
    start_engine: Start, clip_path: Path
) -> None:
    loaded = threading.Event()

    def load() -> FakeModel:
        loaded.wait(10)
        return FakeModel()

    engine = start_engine(load=load)
    assert engine.status == "loading"
    events = []
    for event in engine.submit(Question(clip_path, "what moves?")):
        events.append(event)
        if isinstance(event, Waiting):
            loaded.set()
    assert isinstance(events[0], Waiting)
    assert "loading" in events[0].reason
    assert engine.status == "ok"
    assert text_of(events) == "answer 1 to: what moves?"


def test_answers_of_many_askers_do_not_mix(start_engine: Start, clip_path: Path) -> None:
    model = FakeModel(before_piece=lambda: threading.Event().wait(0.001))
    engine = start_engine(model, max_waiting=100, max_batch=3)
    questions = [f"number {number} please" for number in range(24)]
    with ThreadPoolExecutor(8) as askers:
        answers = list(askers.map(lambda text: text_of(ask(engine, clip_path, text)), questions))
    assert answers == [f"answer 1 to: {text}" for text in questions]
    assert model.most_active == 1
    assert 1 < model.most_together <= 3


def test_those_who_wait_are_told_how_many_are_ahead(start_engine: Start, clip_path: Path) -> None:
    go = threading.Event()
    model = FakeModel(before_piece=lambda: go.wait(10) and None)
    engine = start_engine(model)
    first = engine.submit(Question(clip_path, "first"))
    wait_until(lambda: bool(model.streams))
    second = engine.submit(Question(clip_path, "second"))
    third = engine.submit(Question(clip_path, "third"))
    notes = [next(iter(job)) for job in (second, third)]
    assert notes == [Waiting("1 question ahead of yours."), Waiting("2 questions ahead of yours.")]
    go.set()
    assert text_of(list(first)) == "answer 1 to: first"


def test_stop_ends_an_answer_at_once_and_frees_the_model(
    start_engine: Start, clip_path: Path
) -> None:
    go = threading.Event()
    model = FakeModel(before_piece=lambda: go.wait(10) and None)
    engine = start_engine(model)
    job = engine.submit(Question(clip_path, "a long one"))
    wait_until(lambda: bool(model.streams))
    job.stop()
    assert list(job)[-1] == Done(stopped=True)  # although the model still thinks
    go.set()
    assert text_of(ask(engine, clip_path, "next")) == "answer 1 to: next"
    assert model.streams[0].closed
    assert not model.streams[0].finished
    assert model.most_active == 1


def test_a_question_stopped_while_it_waits_never_reaches_the_model(
    start_engine: Start, clip_path: Path
) -> None:
    go = threading.Event()
    model = FakeModel(before_piece=lambda: go.wait(10) and None)
    engine = start_engine(model)
    first = engine.submit(Question(clip_path, "first"))
    second = engine.submit(Question(clip_path, "second"))
    second.stop()
    go.set()
    list(first)
    ask(engine, clip_path, "third")
    assert [call["question"] for call in model.calls] == ["first", "third"]


def test_an_unreadable_video_is_one_sentence_that_names_the_file_only(
    start_engine: Start, tmp_path: Path
) -> None:
    broken = tmp_path / "notes.mp4"
    broken.write_text("only words\n" * 50)
    events = ask(start_engine(FakeModel()), broken)
    assert isinstance(events[-1], Failed)
    assert events[-1].message.startswith("notes.mp4: ")
    assert str(tmp_path) not in events[-1].message


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RequestError("temperature is 9; it must be from 0 to 5"), "temperature is 9; it must"),
        (ZeroDivisionError("x"), "Something broke inside the server"),
    ],
)
def test_a_failing_answer_is_told_and_the_next_one_is_given(
    start_engine: Start,
    clip_path: Path,
    error: Exception,
    told: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures = [error]

    def fail_once() -> None:
        if failures:
            raise failures.pop()

    model = FakeModel(before_piece=fail_once)
    engine = start_engine(model)
    with caplog.at_level(logging.ERROR, logger="videollm"):
        failed = ask(engine, clip_path)[-1]
    assert isinstance(failed, Failed)
    assert failed.message.startswith(told)
    # a defect of ours keeps its traceback, in the log
    logged = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert bool(logged) == (not isinstance(error, RequestError))
    assert text_of(ask(engine, clip_path, "and now?")) == "answer 1 to: and now?"
    assert model.active == 0


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ModelError("nonsense: no such model"), "nonsense: no such model"),
        (OSError("disk on fire"), "demo could not be loaded (OSError)"),
    ],
)
def test_a_model_that_does_not_load_is_told_to_everyone(
    start_engine: Start, clip_path: Path, error: Exception, told: str
) -> None:
    def load() -> FakeModel:
        raise error

    engine = start_engine(load=load)
    assert engine.settled.wait(10)
    assert engine.status == "failed"
    assert engine.load_error is not None
    last = ask(engine, clip_path)[-1]
    assert isinstance(last, Failed)
    assert last.message.startswith(told)


def test_the_queue_has_an_end(start_engine: Start, clip_path: Path) -> None:
    go = threading.Event()
    model = FakeModel(before_piece=lambda: go.wait(10) and None)
    engine = start_engine(model, max_waiting=2)
    jobs = [engine.submit(Question(clip_path, "running"))]
    wait_until(lambda: bool(model.streams))
    jobs += [engine.submit(Question(clip_path, f"waiting {number}")) for number in range(2)]
    with pytest.raises(RequestError, match=r"2 questions are already waiting .* ask again"):
        engine.submit(Question(clip_path, "one too many"))
    jobs[1].stop()
    jobs.append(engine.submit(Question(clip_path, "now there is room")))
    go.set()
    assert [type(list(job)[-1]) for job in jobs] == [Done] * 4


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_question_is_refused(start_engine: Start, clip_path: Path, text: str) -> None:
    with pytest.raises(RequestError, match="the question is empty"):
        start_engine(FakeModel()).submit(Question(clip_path, text))


def test_closing_ends_every_job_and_the_worker(start_engine: Start, clip_path: Path) -> None:
    go = threading.Event()
    model = FakeModel(before_piece=lambda: go.wait(0.05) and None)
    engine = start_engine(model)
    jobs = [engine.submit(Question(clip_path, f"question {number}")) for number in range(3)]
    wait_until(lambda: bool(model.streams))
    engine.close()
    assert [list(job)[-1] for job in jobs] == [Done(stopped=True)] * 3
    assert "videollm-engine" not in {thread.name for thread in threading.enumerate()}
    assert model.active == 0
    with pytest.raises(RequestError, match="the server is stopping"):
        engine.submit(Question(clip_path, "hello?"))


def test_nothing_follows_the_end_of_a_job(clip_path: Path) -> None:
    job = Job(Question(clip_path, "x"), lambda _: None)
    assert job.emit(Piece("a"))
    job.stop()
    assert job.ended
    assert not job.emit(Piece("b"))
    assert list(job) == [Piece("a"), Done(stopped=True)]


def test_an_upload_that_goes_beyond_its_limits_fails_alone(
    start_engine: Start, clip_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "bomb.gif").write_bytes(forged_gif(3000, 3000))
    with DecodeWorker(DecodeLimits(memory_bytes=30 * 2**20)) as decoder:
        engine = start_engine(FakeModel(), decode=decoder.load_clip)
        pid = decoder.pid
        failed = ask(engine, tmp_path / "bomb.gif")[-1]
        assert isinstance(failed, Failed)
        assert failed.message.startswith("bomb.gif: ")
        assert "30 MiB" in failed.message
        assert str(tmp_path) not in failed.message
        with pytest.raises(VideoError, match="30 MiB"):
            engine.look(Media(tmp_path / "bomb.gif", 2))
        assert isinstance(ask(engine, clip_path, num_frames=2)[-1], Done)
        assert len(engine.look(Media(clip_path, 3)).pictures) == 3
        assert decoder.pid != pid
