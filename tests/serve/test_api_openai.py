"""The official `openai` client, unmodified, against the server: answers."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("gradio", reason="the extra 'serve' is not installed")

from PIL import Image  # noqa: E402

from tests.serve.api_calls import about, connect, data_url, openai  # noqa: E402
from tests.serve.fakes import FakeModel, serving  # noqa: E402
from tests.tiny import tiny_videollm  # noqa: E402
from videollm import VideoLLM  # noqa: E402
from videollm.serve.engine import Engine  # noqa: E402
from videollm.serve.web import create_app  # noqa: E402


@pytest.fixture(scope="module")
def real(tiny_llm: Path) -> VideoLLM:
    return VideoLLM(*tiny_videollm(tiny_llm), name="tiny")


@pytest.fixture(scope="module")
def real_client(real: VideoLLM) -> Iterator["openai.OpenAI"]:
    engine = Engine("runs/tiny", lambda: real)
    with serving(lambda: create_app(engine, None)) as address, connect(address) as client:
        yield client


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 1.0, "seed": 5}, {"temperature": 0.7, "top_p": 0.5, "seed": 1}]
)
def test_an_answer_is_that_of_chat(
    real_client: "openai.OpenAI", real: VideoLLM, clip_path: Path, options: dict[str, Any]
) -> None:
    history = [{"role": "user", "content": "one?"}, {"role": "assistant", "content": "a circle"}]
    messages = [about(data_url(clip_path), "one?"), history[1], {"role": "user", "content": "two?"}]
    answer = real_client.chat.completions.create(
        model="tiny", messages=messages, max_tokens=12, extra_body={"num_frames": 3}, **options
    )
    expected = real.chat(
        clip_path, "two?", history, num_frames=3, max_new_tokens=12, stream=True, **options
    )
    text = "".join(expected)
    assert answer.choices[0].message.content == text.strip()
    assert answer.model == "tiny"
    usage = answer.usage
    assert usage.prompt_tokens_details.visual_tokens == expected.answer.visual_tokens == 12
    assert usage.prompt_tokens > 12
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    stream = real_client.chat.completions.create(
        model="tiny",
        messages=messages,
        max_tokens=12,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"num_frames": 3},
        **options,
    )
    chunks = list(stream)
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces).strip() == text.strip()
    assert chunks[-1].usage == usage
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_picture_is_one_frame(
    real_client: "openai.OpenAI", real: VideoLLM, tmp_path: Path
) -> None:
    Image.new("RGB", (40, 30), (200, 10, 10)).save(tmp_path / "red.png")
    message = about(data_url(tmp_path / "red.png", "image/png"), "what?", "image_url")
    answer = real_client.chat.completions.create(model="tiny", messages=[message], max_tokens=5)
    assert answer.usage.prompt_tokens_details.frames == 1
    assert answer.choices[0].message.content == real.chat(
        tmp_path / "red.png", "what?", max_new_tokens=5
    )


def test_an_upload_is_asked_about_listed_and_deleted(
    client: "openai.OpenAI", clip_path: Path, fake: FakeModel
) -> None:
    kept = client.files.create(
        file=("my <b>clip</b>.mp4", clip_path.read_bytes()), purpose="vision"
    )
    assert kept.id.startswith("file-")
    assert kept.filename == "my <b>clip</b>.mp4"
    assert [file.id for file in client.files.list()] == [kept.id]
    assert client.files.content(kept.id).read() == clip_path.read_bytes()
    by_file = {"type": "file", "file": {"file_id": kept.id}}
    text = {"type": "text", "text": "and this?"}
    chat = client.chat.completions.create(
        model="demo",
        messages=[
            {"role": "system", "content": "Be brief."},
            about(kept.id, "what?"),
            {"role": "assistant", "content": "a circle"},
            {"role": "user", "content": [by_file, text]},
        ],
        extra_body={"fps": 2.0},
    )
    assert chat.choices[0].message.content == "answer 2 to: and this?"
    call = fake.calls[-1]
    assert (call["system"], call["num_frames"]) == ("Be brief.", 2 * 4)
    client.files.delete(kept.id)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(kept.id)
    with pytest.raises(openai.BadRequestError, match="there is no such file") as refused:
        client.chat.completions.create(model="demo", messages=[about(kept.id, "what?")])
    assert refused.value.param == "messages.0.content.0.video_url"


def test_models_are_listed(client: "openai.OpenAI") -> None:
    assert [model.id for model in client.models.list()] == ["demo"]
    assert client.models.retrieve("demo").owned_by == "videollm"
    with pytest.raises(openai.NotFoundError, match="use 'demo'"):
        client.models.retrieve("gpt")


def test_stop_words_and_lengths(client: "openai.OpenAI") -> None:
    def ask(**options: Any) -> SimpleNamespace:
        message = {"role": "user", "content": "a b c"}
        answer = client.chat.completions.create(model="demo", messages=[message], **options)
        return answer.choices[0]

    stopped = ask(stop=["b ", "never"])
    assert (stopped.message.content, stopped.finish_reason) == ("answer 1 to: a", "stop")
    assert ask(stop="to").message.content == "answer 1"
    assert ask(max_tokens=2).finish_reason == "length"
    assert ask(max_completion_tokens=100).finish_reason == "stop"
