"""What strangers may make the server do: nothing but answer."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

pytest.importorskip("gradio", reason="the extra 'serve' is not installed")

from tests.serve.fakes import FakeModel, serving  # noqa: E402
from tests.videollm.test_video_refusals import forged_gif  # noqa: E402
from videollm.serve.engine import Engine  # noqa: E402
from videollm.serve.web import build_service, create_app  # noqa: E402
from videollm.video_limits import DecodeLimits  # noqa: E402
from videollm.video_worker import DecodeWorker  # noqa: E402


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """Serve with a decoder that is held to limits."""
    with DecodeWorker(DecodeLimits(memory_bytes=30 * 2**20, max_pixels=10**6)) as decoder:
        engine = Engine("demo", FakeModel, decode=decoder.load_clip)  # type: ignore[arg-type]
        with serving(lambda: create_app(engine, None)) as address:
            yield address


def complete(address: str, url: str) -> httpx.Response:
    content = [{"type": "video_url", "video_url": {"url": url}}, {"type": "text", "text": "a"}]
    body = {"messages": [{"role": "user", "content": content}]}
    return httpx.post(f"{address}/v1/chat/completions", json=body, timeout=60)


def as_data(data: bytes) -> str:
    return f"data:video/mp4;base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    "data",
    [
        forged_gif(3000, 3000),
        forged_gif(60000, 60000),
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
        b"<script>alert(1)</script>",
        b"\x1f\x8b\x08" + b"\0" * 100,
    ],
    ids=["9 Mpixel", "3.6 Gpixel", "playlist", "concat", "sdp", "script", "gzip"],
)
def test_a_hostile_video_costs_nobody_else_anything(
    guarded: str, clip_path: Path, data: bytes
) -> None:
    refused = complete(guarded, as_data(data))
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert error["code"] == "unreadable_media"
    assert "Traceback" not in error["message"]
    assert complete(guarded, as_data(clip_path.read_bytes())).status_code == 200


def test_a_file_name_is_never_a_path_nor_markup(guarded: str, clip_path: Path) -> None:
    for name in ("../../etc/cron.d/x", "<script>alert(1)</script>.mp4", "a\r\nX: y.mp4", "\u202e"):
        kept = httpx.post(f"{guarded}/v1/files", files={"file": (name, clip_path.read_bytes())})
        assert kept.status_code == 200
        assert kept.headers["content-type"] == "application/json"
        file_id = kept.json()["id"]
        content = httpx.get(f"{guarded}/v1/files/{file_id}/content")
        assert content.headers["content-type"] == "application/octet-stream"
        assert content.headers["x-content-type-options"] == "nosniff"
        assert "attachment" in content.headers["content-disposition"]
        assert file_id in content.headers["content-disposition"]
        assert complete(guarded, file_id).status_code == 200


@pytest.mark.parametrize("path", ["../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%00", "file-x"])
def test_ids_are_no_paths(guarded: str, path: str) -> None:
    answer = httpx.get(f"{guarded}/v1/files/{path}/content")
    assert answer.status_code in (400, 404)
    assert "root:" not in answer.text


def test_a_body_without_an_honest_length_is_cut_off() -> None:
    engine = Engine("demo", FakeModel)  # type: ignore[arg-type]
    with serving(lambda: create_app(engine, None, max_upload_bytes=2**20)) as address:

        def endless() -> Iterator[bytes]:
            yield b'{"messages": [{"role": "user", "content": "'
            for _ in range(100):
                yield b"x" * 2**16

        answer = httpx.post(
            f"{address}/v1/chat/completions",
            content=endless(),
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "too_large"


def test_the_log_holds_no_contents(
    guarded: str, clip_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        body = {"messages": [{"role": "user", "content": "a secret question"}]}
        httpx.post(f"{guarded}/v1/chat/completions", json=body)
    assert "secret" not in caplog.text


def test_no_key_no_numbers() -> None:
    engine = Engine("demo", FakeModel)  # type: ignore[arg-type]
    service = build_service(engine, keys=("k",))
    with serving(lambda: create_app(engine, None, service=service)) as address:
        for path in ("/metrics", "/v1/models", "/v1/live", "/v1/files"):
            assert httpx.get(f"{address}{path}").status_code == 401
            right = {"Authorization": "Bearer k"}
            assert httpx.get(f"{address}{path}", headers=right).status_code == 200
        assert httpx.get(f"{address}/healthz").status_code == 200
        assert json.loads(httpx.get(f"{address}/openapi.json").text)["paths"]
