"""The engine with a real (tiny, random) model: the answers of `VideoLLM`, and a real stop."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.serve.fakes import wait_until
from tests.tiny import tiny_videollm
from videollm import VideoLLM
from videollm.serve.answering import warm_up
from videollm.serve.engine import Engine
from videollm.serve.jobs import Done, Piece, Seen
from videollm.serve.questions import Exchange, Question


@pytest.fixture(scope="module")
def model(tiny_llm: Path) -> VideoLLM:
    return VideoLLM(*tiny_videollm(tiny_llm), name="tiny")


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_answers_are_those_of_the_model(
    start_engine: Callable[..., Engine], model: VideoLLM, clip_path: Path, temperature: float
) -> None:
    history = [{"role": "user", "content": "one?"}, {"role": "assistant", "content": "a circle"}]
    question = Question(
        clip_path,
        "two?",
        history=(Exchange(clip_path, "one?", "a circle"),),
        num_frames=5,
        max_new_tokens=12,
        temperature=temperature,
        seed=3,
    )
    events = list(start_engine(model).submit(question))
    expected = model.ask(
        clip_path,
        "two?",
        history=history,
        num_frames=5,
        max_new_tokens=12,
        temperature=temperature,
        seed=3,
    )
    told = "".join(event.text for event in events if isinstance(event, Piece))
    assert told.strip() == expected.answer
    seen = next(event for event in events if isinstance(event, Seen))
    assert [round(time, 6) for time in seen.strip.seconds] == [
        frame["seconds"] for frame in expected.frames
    ]
    done = events[-1]
    assert isinstance(done, Done)
    assert (done.frames, done.visual_tokens) == (5, expected.visual_tokens)
    assert done.answer_tokens > 0
    assert 0 < done.first_token_seconds <= done.total_seconds


def test_stop_ends_the_generation_behind_the_stream(
    start_engine: Callable[..., Engine],
    model: VideoLLM,
    clip_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # a token that the model cannot say: only a stop ends the answer in the test's lifetime
    monkeypatch.setattr(model.model.generation_config, "eos_token_id", 100_000)

    def generating() -> bool:
        return any(thread.name == "videollm-generate" for thread in threading.enumerate())

    engine = start_engine(model)
    job = engine.submit(Question(clip_path, "go on", max_new_tokens=100_000, temperature=2.0))
    for event in job:
        if isinstance(event, Piece):
            assert generating()
            job.stop()
    wait_until(lambda: not generating())
    assert isinstance(list(engine.submit(Question(clip_path, "next", max_new_tokens=2)))[-1], Done)


def test_answers_given_together_are_those_given_alone(
    start_engine: Callable[..., Engine], model: VideoLLM, clip_path: Path
) -> None:
    loaded = threading.Event()

    def load() -> VideoLLM:
        loaded.wait(10)
        warm_up(model)
        return model

    engine = start_engine(load=load)
    asked: list[dict[str, Any]] = [
        {"text": "one?", "num_frames": 2, "max_new_tokens": 6},
        {"text": "a longer question?", "num_frames": 3, "max_new_tokens": 7},
        {"text": "three?", "num_frames": 4, "max_new_tokens": 8},
        {"text": "in fewer tokens?", "num_frames": 4, "max_new_tokens": 8, "tokens_per_frame": 1},
    ]
    jobs = [engine.submit(Question(clip_path, **one)) for one in asked]
    loaded.set()
    for job, one in zip(jobs, asked, strict=True):
        told = "".join(event.text for event in job if isinstance(event, Piece))
        alone = model.ask(clip_path, one.pop("text"), **one)
        assert told.strip() == alone.answer
    assert engine.tally.ends == {"answered": 4}
    assert engine.tally.tokens["visual"] == (2 + 3 + 4) * 4 + 4
