"""A talk about several videos, and the store of all talks."""

from collections.abc import Callable
from pathlib import Path

from tests.serve.fakes import FakeModel
from tests.serve.test_talk import choose, finish, talk_about
from videollm.serve.engine import Engine
from videollm.serve.sessions import SessionStore
from videollm.serve.turns import Settings, Turn

Start = Callable[..., Engine]


def test_another_video_joins_the_talk_if_asked_to(
    start_engine: Start, clip_path: Path, tmp_path: Path
) -> None:
    model = FakeModel()
    second = tmp_path / "second.mp4"
    second.write_bytes(clip_path.read_bytes())
    joins = Settings(2, keep_talk=True)
    session = talk_about(start_engine(model), clip_path, "one?")
    choose(session, second, title="Clip 2", settings=joins)
    assert session.notice is not None
    assert session.notice.text == "The talk goes on with Clip 2."
    assert not session.has_shown
    list(session.preview(Settings(3)))
    assert session.strip is not None
    assert len(session.strip.seconds) == 3
    finish(session, "two?", joins)
    choose(session, clip_path, settings=joins)
    finish(session, "three?", joins)
    finish(session, "four?", joins)
    assert [turn.title for turn in session.turns] == [
        "moving.mp4",
        "Clip 2",
        "moving.mp4",
        "moving.mp4",
    ]
    assert [call["videos"] for call in model.calls] == [[1], [1, 1], [1, 1, 1], [1, 1, 1, 0]]
    assert [call["num_frames"] for call in model.calls] == [2, 4, 6, 6]
    assert [len(call["history"]) for call in model.calls] == [0, 2, 4, 6]
    choose(session, None, settings=joins)
    assert session.turns == []


def test_the_store_forgets_idle_and_surplus_sessions_and_stops_them(
    start_engine: Start,
) -> None:
    now = [0.0]
    store = SessionStore(
        start_engine(FakeModel()), max_sessions=3, idle_seconds=10.0, clock=lambda: now[0]
    )
    first = store.get("a")
    first.turns.append(Turn("one?", Path("a.mp4"), "a.mp4"))
    assert store.get("a") is first
    for seconds, key in ((1.0, "b"), (2.0, "c"), (3.0, "a"), (4.0, "d")):
        now[0] = seconds
        store.get(key)
    assert len(store) == 3
    assert store.get("a") is first  # "b" had been idle for longer
    now[0] = 13.5
    store.get("d")
    assert len(store) == 2  # "c" is too old
    store.drop("a")
    store.drop("never there")
    assert len(store) == 1
    assert first.turns[0].state == "stopped"
    assert store.get("a") is not first
