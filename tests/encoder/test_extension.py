"""The compiled library: built once, found again, never in the way when it cannot be built."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from videollm.encoder import extension
from videollm.encoder.extension import BuildError, find_library, load_library

LOADER = "torch.utils.cpp_extension.load"
BUILD = "from videollm.encoder.extension import load_library; load_library()"


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Point the cache to an empty folder and forget what this process has loaded."""
    monkeypatch.setenv("VIDEOLLM_CACHE", str(tmp_path / "cache"))
    extension._outcome.cache_clear()
    extension._build_key.cache_clear()
    yield tmp_path / "cache"
    extension._outcome.cache_clear()
    extension._build_key.cache_clear()


def build_in_background() -> subprocess.Popen[bytes]:
    # The narrow PATH lacks the environment's ninja, as when it is used without activation.
    environment = os.environ | {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    command = [sys.executable, "-W", "error", "-c", BUILD]
    return subprocess.Popen(command, env=environment, start_new_session=True)


def never(**_: Any) -> None:
    pytest.fail("the loader was called")


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEOLLM_CACHE", "/somewhere")
    assert find_library().is_relative_to("/somewhere/extensions")
    monkeypatch.delenv("VIDEOLLM_CACHE")
    assert find_library().is_relative_to(Path.home() / ".cache" / "videollm" / "extensions")


@pytest.mark.parametrize("part", ["torch.__version__", "_processor", "COMPILE_FLAGS"])
def test_another_torch_processor_or_flag_is_another_library(
    part: str, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = find_library()
    other = (lambda: "another") if part == "_processor" else ("another",)
    target = part if part.startswith("torch.") else f"videollm.encoder.extension.{part}"
    monkeypatch.setattr(target, "9.9" if part.startswith("torch.") else other)
    extension._build_key.cache_clear()
    assert find_library() != before


def test_a_killed_build_holds_nobody_up_and_the_next_one_cleans_up(empty_cache: Path) -> None:
    build = build_in_background()
    folder = find_library().parent
    deadline = time.monotonic() + 120
    while not list(folder.glob("build-*/lock")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(build.pid, signal.SIGKILL)
    build.wait()
    assert list(folder.glob("build-*/lock")), "the loader's own lock is left behind"
    assert not find_library().exists()
    both = [build_in_background(), build_in_background()]
    assert [process.wait(timeout=240) for process in both] == [0, 0]
    assert sorted(path.name for path in folder.iterdir()) == ["lock", find_library().name]


def test_a_library_that_is_there_is_not_built_again(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extension._build_key.cache_clear()
    with monkeypatch.context() as elsewhere:
        elsewhere.delenv("VIDEOLLM_CACHE")
        load_library()
        built = find_library()
    extension._outcome.cache_clear()
    find_library().parent.mkdir(parents=True)
    find_library().symlink_to(built)
    monkeypatch.setattr(LOADER, never)
    assert isinstance(load_library(), ctypes.CDLL)


def test_a_failed_build_says_the_first_error_and_is_not_tried_again(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fail(**options: Any) -> None:
        calls.append(options)
        raise RuntimeError("Error building\nFAILED: a.o\nx.cpp:1: error: no <omp.h>\nninja: stop")

    monkeypatch.setattr(LOADER, fail)
    for _ in range(2):
        with pytest.raises(BuildError, match=r"compiling failed \(x.cpp:1: error: no <omp.h>\)"):
            load_library()
    assert len(calls) == 1
    assert [path.name for path in find_library().parent.iterdir()] == ["lock"]


def test_a_loader_that_leaves_nothing_is_a_failure(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOADER, lambda **_: None)
    with pytest.raises(BuildError, match="reported success but left no file"):
        load_library()


def test_no_compiler_is_said_before_anything_is_tried(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOADER, never)
    monkeypatch.setenv("CXX", "no-such-compiler -O1")
    with pytest.raises(BuildError, match=r"no C\+\+ compiler \(no-such-compiler\): install g\+\+"):
        load_library()
    assert not empty_cache.exists()


def test_a_cache_that_cannot_be_written_names_the_remedy(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty_cache.write_text("a file, not a folder")
    with pytest.raises(BuildError, match="point VIDEOLLM_CACHE to a folder that can be written"):
        load_library()


def test_a_library_that_cannot_be_loaded_names_the_remedy(empty_cache: Path) -> None:
    find_library().parent.mkdir(parents=True)
    find_library().write_bytes(b"not a library")
    with pytest.raises(BuildError, match="point VIDEOLLM_CACHE to a folder"):
        load_library()
