"""Live sessions: watch by address, ask at any moment, hear of changes, be forgotten when idle."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

pytest.importorskip("gradio", reason="the extra 'serve' is not installed")

from tests.serve.fakes import serving, wait_until  # noqa: E402
from tests.tiny import tiny_videollm  # noqa: E402
from videollm import VideoLLM  # noqa: E402
from videollm.errors import RequestError  # noqa: E402
from videollm.serve.engine import Engine  # noqa: E402
from videollm.serve.live_sessions import LiveSessions  # noqa: E402
from videollm.serve.web import build_service, create_app  # noqa: E402
from videollm.toyworld import make_scene, render_frames, write_clip  # noqa: E402
from videollm.video import VideoReader  # noqa: E402


@pytest.fixture(scope="module")
def model(tiny_llm: Path) -> VideoLLM:
    return VideoLLM(*tiny_videollm(tiny_llm), name="tiny")


@pytest.fixture(scope="module")
def client(model: VideoLLM) -> Iterator[httpx.Client]:
    engine = Engine("tiny", lambda: model)
    service = build_service(engine)
    with (
        serving(lambda: create_app(engine, None, service=service)) as address,
        httpx.Client(base_url=f"{address}/v1", timeout=30) as client,
    ):
        wait_until(lambda: engine.status == "ok")
        yield client


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    write_clip(render_frames(make_scene("val", 1), size=32, num_frames=90), path, fps=4)
    return path


def as_url(path: Path) -> str:
    return f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}"


def begin(client: httpx.Client, **options: Any) -> str:
    return str(client.post("/live", json=options).json()["id"])


def watched(client: httpx.Client, key: str) -> dict[str, Any]:
    wait_until(lambda: not client.get(f"/live/{key}").json()["watching"], 60)
    found: dict[str, Any] = client.get(f"/live/{key}").json()
    assert found["error"] is None
    return found


def test_what_was_pushed_is_asked_about_as_with_a_session_of_the_library(
    client: httpx.Client, model: VideoLLM, long_clip: Path
) -> None:
    key = begin(client, budget_tokens=64, recent_frames=4)
    assert client.post(f"/live/{key}/ask", json={"question": "what?"}).status_code == 400
    pushed = client.post(f"/live/{key}/push", json={"url": as_url(long_clip), "fps": 2})
    assert pushed.status_code == 200
    stats = watched(client, key)["stats"]
    assert stats["frames_seen"] == 45
    assert 0 < stats["tokens_held"] <= 64
    told = client.post(f"/live/{key}/ask", json={"question": "what?", "max_tokens": 8}).json()

    session = model.stream(budget_tokens=64, recent_frames=4)
    with VideoReader.open(long_clip) as reader:
        for start in range(0, 45, 16):
            clip = reader.read([place / 2 for place in range(start, min(start + 16, 45))])
            session.push(clip.frames, clip.pts_seconds)
    expected = session.answer("what?", max_new_tokens=8)
    assert told["choices"][0]["message"]["content"] == expected.answer
    assert told["usage"]["prompt_tokens"] == expected.prompt_tokens
    assert 0 < told["usage"]["completion_tokens"] <= 8
    assert told["usage"]["prompt_tokens_details"]["visual_tokens"] == expected.tokens_held
    with client.stream(
        "POST", f"/live/{key}/ask", json={"question": "what?", "max_tokens": 8, "stream": True}
    ) as stream:
        lines = [line.removeprefix("data: ") for line in stream.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    pieces = [json.loads(line)["choices"][0]["delta"].get("content", "") for line in lines[:-1]]
    assert "".join(pieces).strip() == expected.answer
    assert client.delete(f"/live/{key}").json()["deleted"]
    assert client.get(f"/live/{key}").status_code == 404


def test_a_second_recording_goes_on_where_the_first_ended(
    client: httpx.Client, clip_path: Path
) -> None:
    key = begin(client)
    ends = []
    for _ in range(2):
        client.post(f"/live/{key}/push", json={"url": as_url(clip_path), "fps": 4})
        ends.append(watched(client, key)["stats"])
    assert [stats["frames_seen"] for stats in ends] == [8, 16]
    assert ends[1]["seconds_seen"] == pytest.approx(2 * ends[0]["seconds_seen"] + 0.25)


def test_a_standing_question_is_heard_of_when_its_answer_changes(
    client: httpx.Client, long_clip: Path
) -> None:
    key = begin(client)
    stand = {"question": "is it red?", "every_seconds": 4}
    assert client.post(f"/live/{key}/standing", json=stand).status_code == 200
    assert client.post(f"/live/{key}/standing", json=stand).status_code == 400
    client.post(f"/live/{key}/push", json={"url": as_url(long_clip), "fps": 2})
    found = watched(client, key)
    assert found["standing"] == [stand]
    assert found["changes"]
    assert all(change["question"] == "is it red?" for change in found["changes"])
    answers = [change["answer"] for change in found["changes"]]
    assert all(a != b for a, b in zip(answers[:-1], answers[1:], strict=True))
    client.post(f"/live/{key}/standing/end", json=stand)
    assert client.get(f"/live/{key}").json()["standing"] == []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("rtsp://camera.example/street", "must be named with --allowed-hosts"),
        ("rtsp://127.0.0.1:554/street", "must be named with --allowed-hosts"),
        ("rtsp://[::1/x", "must be named with --allowed-hosts"),
        ("http://127.0.0.1/a.mp4", "open internet"),
        ("camera:0", "is no address"),
        ("0", "is no address"),
        ("/dev/video0", "not in a folder that may be read"),
        ("/etc/passwd", "not in a folder that may be read"),
    ],
)
def test_cameras_and_private_addresses_are_not_for_everybody(
    client: httpx.Client, url: str, told: str
) -> None:
    key = begin(client)
    refused = client.post(f"/live/{key}/push", json={"url": url})
    assert refused.status_code == 400
    assert told in refused.json()["error"]["message"]
    assert refused.json()["error"]["param"] == "url"
    client.delete(f"/live/{key}")


def test_what_cannot_be_read_is_said_of_the_stream(client: httpx.Client) -> None:
    key = begin(client)
    client.post(f"/live/{key}/push", json={"url": "data:video/mp4;base64,bm90aGluZw=="})
    wait_until(lambda: not client.get(f"/live/{key}").json()["watching"])
    error = client.get(f"/live/{key}").json()["error"]
    assert "is not a video" in error
    assert "/tmp" not in error


def test_idle_sessions_are_closed_and_there_are_not_too_many(model: VideoLLM) -> None:
    now = [0.0]
    sessions = LiveSessions(max_sessions=2, idle_seconds=10, clock=lambda: now[0])
    first, second = sessions.create(model, "a"), sessions.create(model, "a")
    with pytest.raises(RequestError, match="2 streams are being watched and no more than 2 fit"):
        sessions.create(model, "b")
    now[0] = 6.0
    assert sessions.find(first.key, "a") is first
    assert sessions.find(first.key, "b") is None
    now[0] = 12.0
    sessions.expire()
    assert sessions.find(second.key, "a") is None
    assert sessions.owned("a") == [first]
    sessions.close()
    assert len(sessions) == 0


def test_a_paused_session_looks_at_nothing(model: VideoLLM) -> None:
    sessions = LiveSessions()
    session = sessions.create(model, "a")
    frames = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    assert session.push(frames, torch.tensor([0.0, 0.5]))
    session.pause(True)
    assert not session.push(frames, torch.tensor([1.0, 1.5]))
    session.pause(False)
    assert session.push(frames, torch.tensor([2.0, 2.5]))
    assert session.measure().frames_seen == 4
    assert session.measure().seconds_seen == 2.5
    assert [seconds for seconds, _ in session.gauge] == [2.5]
    sessions.close()
