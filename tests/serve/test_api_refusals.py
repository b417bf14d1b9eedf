"""The official `openai` client against the server: what is refused, and who leaves early."""

import io
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason="the extra 'serve' is not installed")

from tests.serve.api_calls import LIMIT, about, connect, openai  # noqa: E402
from tests.serve.fakes import FakeModel, Pace, serving, wait_until  # noqa: E402
from videollm.errors import ModelError  # noqa: E402
from videollm.serve.engine import Engine  # noqa: E402
from videollm.serve.web import build_service, create_app  # noqa: E402


@pytest.mark.parametrize(
    ("options", "param", "told"),
    [
        ({"messages": []}, "messages", "at least 1 item"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"n": 2}, "n", "not supported"),
        ({"tools": [{"type": "function"}]}, "tools", "not supported"),
        ({"extra_body": {"num_frames": 2, "fps": 1}}, "fps", "not both"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "messages", "begins with a user"),
        ({"messages": [about("data:,x", " ")]}, "messages", "no question"),
        (
            {"messages": [about("data:video/mp4;base64,?", "a")]},
            "messages.0.content.0.video_url",
            "not valid base64",
        ),
        (
            {"messages": [about("ftp://x/y.mp4", "a")]},
            "messages.0.content.0.video_url",
            "give an http",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "sound"}]}]},
            "messages.0.content.0",
            "expected tags",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_field(
    client: "openai.OpenAI", options: dict[str, Any], param: str, told: str
) -> None:
    call = {"model": "demo", "messages": [{"role": "user", "content": "a"}], **options}
    with pytest.raises(openai.BadRequestError, match=told) as refused:
        client.chat.completions.create(**call)
    assert refused.value.param == param
    assert refused.value.type == "invalid_request_error"


def test_an_unreadable_video_is_one_sentence(client: "openai.OpenAI") -> None:
    message = about("data:video/mp4;base64,bm90IGEgdmlkZW8=", "what?")
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="is not a video") as refused:
            client.chat.completions.create(model="demo", messages=[message], stream=stream)
        assert refused.value.code == "unreadable_media"
        assert "/tmp" not in str(refused.value)


def test_another_model_is_not_here(client: "openai.OpenAI") -> None:
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt' here: use 'demo'"):
        client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "a"}])


def test_too_large_an_upload_is_refused(client: "openai.OpenAI", clip_path: Path) -> None:
    with pytest.raises(openai.APIStatusError, match="at most 0.2 MiB|larger than") as refused:
        client.files.create(file=("a.mp4", io.BytesIO(b"x" * (LIMIT + 1))), purpose="vision")
    assert refused.value.status_code == 413
    large = f"data:video/mp4;base64,{'A' * (2 * LIMIT + 2**20)}"
    with pytest.raises(openai.APIStatusError, match="larger than") as refused:
        client.chat.completions.create(model="demo", messages=[about(large, "a")])
    assert refused.value.status_code == 413


def test_a_full_queue_says_when_to_come_back(
    client: "openai.OpenAI", engine: Engine, fake_pace: Pace, fake: FakeModel
) -> None:
    asked = [{"role": "user", "content": "busy?"}]
    answers: list[Any] = []

    def ask() -> None:
        answers.append(client.chat.completions.create(model="demo", messages=asked))

    fake_pace.free.clear()
    threads = [threading.Thread(target=ask) for _ in range(3)]
    threads[0].start()
    wait_until(lambda: engine.num_running == 1)  # three at once would find room for two
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: engine.num_waiting == 2)
    with pytest.raises(openai.RateLimitError, match="already waiting") as refused:
        ask()
    assert int(refused.value.response.headers["retry-after"]) >= 1
    fake_pace.free.set()
    for thread in threads:
        thread.join(10)
    assert [a.choices[0].message.content for a in answers] == ["answer 1 to: busy?"] * 3


@pytest.mark.parametrize("stream", [True, False])
def test_who_leaves_frees_the_engine(
    client: "openai.OpenAI", engine: Engine, fake_pace: Pace, fake: FakeModel, stream: bool
) -> None:
    fake_pace.free.clear()
    stopped = engine.tally.ends["stopped"]
    asked = [{"role": "user", "content": f"still there {stream}?" + " hello" * 1000}]
    impatient = client.with_options(timeout=0.5)

    def leave_early() -> None:
        answer = impatient.chat.completions.create(model="demo", messages=asked, stream=stream)
        if stream:
            next(iter(answer))
            answer.close()

    fake_pace.words.release(3)
    if stream:
        leave_early()
    else:
        with pytest.raises(openai.APITimeoutError):
            leave_early()
    wait_until(lambda: engine.tally.ends["stopped"] > stopped, 60)

    def freed() -> bool:
        fake_pace.words.release()
        return engine.num_running == 0

    wait_until(freed, 60)
    assert not fake.streams[-1].finished
    fake_pace.free.set()
    # nothing of it is left over for the next one
    while fake_pace.words.acquire(blocking=False):
        pass
    again = client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "next?"}]
    )
    assert again.choices[0].message.content == "answer 1 to: next?"


def test_keys_let_their_owners_in_and_keep_their_files_apart(clip_path: Path) -> None:
    engine = Engine("demo", FakeModel)  # type: ignore[arg-type]
    service = build_service(engine, keys=("secret-a", "secret-b"))
    with (
        serving(lambda: create_app(engine, None, service=service)) as address,
        connect(address, "secret-a") as first,
        connect(address, "secret-b") as second,
        connect(address, "wrong") as stranger,
    ):
        with pytest.raises(openai.AuthenticationError, match="API key is missing or wrong"):
            stranger.models.list()
        kept = first.files.create(file=clip_path.read_bytes(), purpose="vision")
        assert first.files.retrieve(kept.id).id == kept.id
        assert list(second.files.list()) == []
        with pytest.raises(openai.NotFoundError):
            second.files.retrieve(kept.id)
        with pytest.raises(openai.BadRequestError, match="no such file"):
            second.chat.completions.create(model="demo", messages=[about(kept.id, "mine?")])
    assert not service.store.folder.exists()


def test_a_model_that_did_not_load_is_said() -> None:
    def load() -> FakeModel:
        raise ModelError("nonsense: no such model; give a folder")

    engine = Engine("nonsense", load)  # type: ignore[arg-type]
    asked = [{"role": "user", "content": "a"}]
    with (
        serving(lambda: create_app(engine, None)) as address,
        connect(address) as client,
        pytest.raises(openai.InternalServerError, match="no such model") as refused,
    ):
        client.chat.completions.create(model="nonsense", messages=asked)
    assert refused.value.status_code == 503
