"""The C++ sources of the encoder: compiled on first use, kept in the user's cache, loaded.

Compilation takes a few seconds and happens once for each version of torch, processor and source.
Nothing here knows what the library computes; without a compiler the callers have another way.
"""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import sys
import sysconfig
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

if sys.platform != "win32":
    import fcntl

__all__ = ["BuildError", "cache_folder", "find_library", "load_library"]

logger = logging.getLogger(__name__)

SOURCES = Path(__file__).resolve().parent / "csrc"
NAME = "videollm_scan_cpu"
COMPILE_FLAGS = ("-O3", "-march=native", "-fopenmp")
LINK_FLAGS = ("-fopenmp",)
# What decides which instructions `-march=native` uses, in the words of x86 and of ARM kernels.
PROCESSOR_FIELDS = {
    "vendor_id", "cpu family", "model", "model name", "flags",
    "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features",
}  # fmt: skip


class BuildError(RuntimeError):
    """Say why the compiled library cannot be had here, and what would change that."""


def load_library() -> ctypes.CDLL:
    """Return the compiled library, building it where this machine has not done so yet.

    The outcome is remembered: a failed build is not tried again in this process.

    Raises:
        BuildError: There is no compiler, no writable cache, or the build failed.
    """
    outcome = _outcome()
    if isinstance(outcome, BuildError):
        raise outcome
    return outcome


def find_library() -> Path:
    """Return where the compiled library is or will be: one file for each torch, processor, source.

    It lies under `$VIDEOLLM_CACHE`, or `~/.cache/videollm` when that is unset.
    """
    return cache_folder() / "extensions" / _build_key() / f"{NAME}.so"


def cache_folder() -> Path:
    """Return the folder for files that can be made again: `$VIDEOLLM_CACHE` or the default."""
    chosen = os.environ.get("VIDEOLLM_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "videollm"


@functools.cache
def _outcome() -> ctypes.CDLL | BuildError:
    try:
        path = find_library()
        if not path.is_file():
            _build(path)
        return ctypes.CDLL(str(path))
    except BuildError as error:
        return error
    except (OSError, RuntimeError) as error:  # RuntimeError: pathlib found no home folder
        remedy = "point VIDEOLLM_CACHE to a folder that can be written and run from"
        return BuildError(f"{error}; {remedy}")


@functools.cache
def _build_key() -> str:
    parts = [torch.__version__, sys.platform, platform.machine(), _processor()]
    parts += [*COMPILE_FLAGS, *LINK_FLAGS, os.environ.get("CXX", "")]
    parts += [source.read_text(encoding="ascii") for source in sorted(SOURCES.iterdir())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return platform.processor()
    lines = first.splitlines()
    return "\n".join(line for line in lines if line.split(":")[0].strip() in PROCESSOR_FIELDS)


def _build(path: Path) -> None:
    """Compile to a folder of our own, then move the library to `path` in one step.

    Whoever sees `path` sees a whole file. The loader's own lock file lives in the private folder,
    where a killed build can leave it without anybody waiting for it.
    """
    if sys.platform == "win32":
        raise BuildError("the C++ source needs GCC or Clang, which torch does not use on Windows")
    compiler = shlex.split(os.environ.get("CXX", "")) or ["c++"]
    if shutil.which(compiler[0]) is None:
        raise BuildError(f"no C++ compiler ({compiler[0]}): install g++, or set CXX to a compiler")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _exclusive(path.parent / "lock"):
        if path.is_file():
            return
        for leftover in path.parent.glob("build-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="build-") as folder:
            logger.info("compiling the selective scan (once, a few seconds): %s", path)
            _compile(Path(folder))
            built = next(Path(folder).glob("*.so"), None)
            if built is None:
                raise BuildError(f"the compiler ({compiler[0]}) reported success but left no file")
            built.replace(path)


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold a lock that the system frees when its holder ends, however that ends."""
    with path.open("w") as file:
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _compile(folder: Path) -> None:
    with _ninja_on_path(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ours to report, and once: by BuildError
        try:
            # Imported here: it is slow, and only a machine without the library needs it.
            from torch.utils import cpp_extension

            cpp_extension.load(
                name=NAME,
                sources=[str(source) for source in sorted(SOURCES.glob("*.cpp"))],
                extra_cflags=list(COMPILE_FLAGS),
                extra_ldflags=list(LINK_FLAGS),
                build_directory=str(folder),
                with_cuda=False,
                is_python_module=False,
            )
        except (ImportError, RuntimeError) as error:
            logger.debug("the build failed", exc_info=error)
            raise BuildError(f"compiling failed ({_first_error(str(error))})") from error


def _first_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if "error:" in line.lower()]
    return (telling or lines or ["no message"])[0]


@contextmanager
def _ninja_on_path() -> Iterator[None]:
    """Let torch's loader find ninja in an environment that is used without being activated."""
    path = os.environ.get("PATH", "")
    folders = [sysconfig.get_path("scripts"), str(Path(sys.executable).parent)]
    os.environ["PATH"] = os.pathsep.join([path, *folders])
    try:
        yield
    finally:
        os.environ["PATH"] = path
