"""Options come from a file, the environment and the command line, and the later wins."""

from pathlib import Path

import httpx
import pytest

pytest.importorskip("gradio", reason="the extra 'serve' is not installed")

from tests.serve.fakes import FakeModel, serving  # noqa: E402
from videollm.errors import RequestError  # noqa: E402
from videollm.serve import app  # noqa: E402
from videollm.serve.engine import Engine  # noqa: E402
from videollm.serve.options import read_options  # noqa: E402
from videollm.serve.web import create_app  # noqa: E402


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(
        "port: 1000\nmax-waiting: 3\nanswer_seconds: 7.5\nallowed_media: [a, b c]\n"
        "page: false\nverbose: true\nadapter: null\n"
    )
    monkeypatch.setenv("VIDEOLLM_SERVE_PORT", "2000")
    monkeypatch.setenv("VIDEOLLM_SERVE_API_KEYS", "one 'two three'")
    monkeypatch.setenv("VIDEOLLM_SERVE_MAX_WAITING", "5")
    options = read_options(["--config", str(file), "--max-waiting", "9"])
    assert (options.port, options.max_waiting, options.answer_seconds) == (2000, 9, 7.5)
    assert (options.allowed_media, options.api_keys) == (["a", "b c"], ["one", "two three"])
    assert (options.page, options.verbose, options.adapter) == (False, True, None)
    monkeypatch.setenv("VIDEOLLM_SERVE_CONFIG", str(file))
    monkeypatch.setenv("VIDEOLLM_SERVE_PAGE", "yes")
    again = read_options([])
    assert (again.port, again.max_waiting, again.page) == (2000, 5, True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prot: 1", "there is no option prot; there are adapter, "),
        ("- 1", "holds no options"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_a_file_with_a_mistake_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(text)
    with pytest.raises(RequestError, match=told):
        read_options(["--config", str(file)])
    with pytest.raises(RequestError, match="cannot be read"):
        read_options(["--config", str(tmp_path / "none.yaml")])


def test_values_of_a_file_are_checked_as_those_of_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text("max_batch: 0\n")
    with pytest.raises(SystemExit):
        read_options(["--config", str(file)])
    assert "0 is below 1" in capsys.readouterr().err


def test_a_media_folder_that_is_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--port", "0", "--no-open", "--no-page", "--allowed-media", str(tmp_path / "none")]
    assert app.main(words) == 2
    assert "is no folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], {"127.0.0.1", "localhost", "::1"}),
        (["--public-names", "videos.example"], {"127.0.0.1", "localhost", "::1", "videos.example"}),
        (["--host", "0.0.0.0"], None),
        (["--share"], None),
    ],
)
def test_a_local_server_knows_its_names(words: list[str], names: set[str] | None) -> None:
    assert app._names(read_options(words)) == names


def test_a_page_elsewhere_cannot_point_its_name_here() -> None:
    engine = Engine("demo", FakeModel)  # type: ignore[arg-type]
    names = frozenset(app.LOCAL_NAMES)
    with serving(lambda: create_app(engine, None, names=names)) as address:
        assert httpx.get(f"{address}/healthz").status_code == 200
        for host in ("evil.example", "evil.example:7860", "[::1", "", "127.0.0.1.evil.example"):
            answer = httpx.get(f"{address}/healthz", headers={"Host": host})
            assert answer.status_code in (400, 421), host
        ok = httpx.get(f"{address}/healthz", headers={"Host": "LOCALHOST:7860"})
        assert ok.status_code == 200
