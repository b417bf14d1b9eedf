"""`videollm serve`: it says where it is, and every mistake is one line and exit code 2."""

import argparse
import os
import re
import signal
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from tests.serve.fakes import FakeModel, wait_until
from tests.tiny import needs_bitsandbytes
from videollm import runtime
from videollm.errors import ModelError
from videollm.serve import app, options
from videollm.serve.app import main
from videollm.video_limits import DecodeLimits


@pytest.fixture(autouse=True)
def _no_logging_setup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this process's logging as it is; the handler would outlive the captured stream."""
    monkeypatch.setattr(runtime, "configure_logging", lambda verbose: None)


def only_line(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in out + err
    return err


def test_an_unknown_model_is_refused_before_anything_opens(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--model", "no-such-model", "--port", "0", "--no-open"]) == 2
    assert "no-such-model" in only_line(capsys)


def test_an_unknown_device_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--device", "abacus", "--port", "0", "--no-open"]) == 2
    assert "abacus" in only_line(capsys)


def test_a_taken_port_is_refused_with_a_way_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port), "--no-open"]) == 2
    line = only_line(capsys)
    assert str(port) in line
    assert "choose another --port" in line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--host", "no.such.host.invalid"], "host no.such.host.invalid is unknown"),
        (["--port", "70000"], "port 70000 does not exist: choose 1 to 65535"),
    ],
)
def test_an_address_that_cannot_be_had_is_refused(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--no-open"]) == 2
    assert told in only_line(capsys)


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "videollm serve --model demo" in capsys.readouterr().out


def test_the_limits_of_uploads_are_options(capsys: pytest.CaptureFixture[str]) -> None:
    parse = options.read_options
    assert options.decode_limits(parse([])) == DecodeLimits()
    words = ["--open-seconds", "2", "--decode-seconds", "9", "--decode-memory-mib", "100"]
    given = parse([*words, "--max-video-mib", "0.5", "--max-megapixels", "2"])
    assert options.decode_limits(given) == DecodeLimits(
        open_seconds=2,
        decode_seconds=9,
        memory_bytes=100 * 2**20,
        max_source_bytes=2**19,
        max_pixels=2_000_000,
    )
    for amount in ("0", "-1", "inf", "nan"):
        with pytest.raises(SystemExit) as ended:
            parse([f"--decode-seconds={amount}"])
        assert ended.value.code == 2
        assert f"{amount} is not above 0 and finite" in capsys.readouterr().err


def serve_a_model(
    monkeypatch: pytest.MonkeyPatch,
    cache: Path,
    folder: Path,
    load: Callable[..., object],
    *more: str,
) -> int:
    """Run the program on a model that `load` gives, on any free port."""
    loader = SimpleNamespace(VideoLLM=SimpleNamespace(from_pretrained=load))
    monkeypatch.setitem(sys.modules, "videollm.api", loader)
    monkeypatch.setenv("VIDEOLLM_CACHE", str(cache))
    return main(["--model", str(folder), "--port", "0", "--no-open", *more])


def test_a_model_that_does_not_load_ends_the_server(
    monkeypatch: pytest.MonkeyPatch,
    cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def load(*_: object, **__: object) -> None:
        raise ModelError(f"{tmp_path}: no config.json, so no model; give a model folder")

    assert serve_a_model(monkeypatch, cache, tmp_path, load) == 2
    assert "no config.json" in only_line(capsys)


@needs_bitsandbytes
def test_adapter_and_quantization_are_those_asked_for(
    monkeypatch: pytest.MonkeyPatch,
    cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[dict[str, object]] = []

    def load(*_: object, **options: object) -> None:
        asked.append(options)
        raise ModelError("enough")

    (tmp_path / "config.json").write_text("{}")
    more = ["--adapter", "runs/mine/adapter", "--quantization"]
    assert serve_a_model(monkeypatch, cache, tmp_path, load, *more, "nf4") == 2
    wanted = {"adapter": "runs/mine/adapter", "quantization": "nf4", "device": "auto"}
    assert asked == [wanted]
    capsys.readouterr()
    assert serve_a_model(monkeypatch, cache, tmp_path, load, *more, "two") == 2
    assert "quantization 'two' is unknown: use one of nf4, int8" in only_line(capsys)
    assert asked == [wanted]


def test_an_interrupt_ends_the_server_in_order(
    monkeypatch: pytest.MonkeyPatch,
    cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    health: list[dict[str, str]] = []

    def load(name: str, *, device: str, **_: None) -> FakeModel:
        assert (name, device) == (str(tmp_path), "auto")
        return FakeModel()

    def interrupt_once_healthy() -> None:
        said = ""
        while not (found := re.search(r"at (http://127\.0\.0\.1:\d+) ", said)):
            time.sleep(0.05)
            said += capsys.readouterr().out
        wait_until(lambda: httpx.get(f"{found[1]}/healthz").json()["status"] == "ok")
        health.append(httpx.get(f"{found[1]}/healthz").json())
        os.kill(os.getpid(), signal.SIGINT)

    visitor = threading.Thread(target=interrupt_once_healthy, daemon=True)
    visitor.start()
    assert serve_a_model(monkeypatch, cache, tmp_path, load) == 0
    visitor.join(10)
    assert health == [{"status": "ok", "model": str(tmp_path)}]
    assert "videollm-engine" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("reachable", [True, False])
def test_a_public_link_is_said_or_its_lack_is(
    reachable: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def tunnel(host: str, port: int, token: str, *_: object) -> str:
        assert (host, port) == ("127.0.0.1", 1234)
        assert len(token) >= 32
        if not reachable:
            raise RuntimeError("Could not get share link")
        return "https://somewhere.example"

    monkeypatch.setitem(sys.modules, "gradio.networking", SimpleNamespace(setup_tunnel=tunnel))
    server = SimpleNamespace(started=True, should_exit=False)
    wishes = argparse.Namespace(host="0.0.0.0", share=True, open=False, api_keys=[], page=True)
    app._announce(server, 1234, wishes)  # type: ignore[arg-type]
    said = capsys.readouterr()
    assert said.out.startswith("videollm is at http://127.0.0.1:1234 ")
    assert ("https://somewhere.example" in said.out) == reachable
    assert ("no public link: Could not get share link" in said.err) == (not reachable)


@pytest.mark.parametrize(
    ("wish", "desktop", "opens"),
    [(None, True, True), (None, False, False), (True, False, True), (False, True, False)],
)
def test_a_browser_opens_where_there_is_a_desktop_or_a_wish(
    wish: bool | None, desktop: bool, opens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":0" if desktop else "")
    server = SimpleNamespace(started=True, should_exit=False)
    wishes = argparse.Namespace(host="::1", share=False, open=wish, api_keys=[], page=True)
    app._announce(server, 1234, wishes)  # type: ignore[arg-type]
    assert opened == (["http://[::1]:1234"] if opens else [])
