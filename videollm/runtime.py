"""What this machine offers: devices, number formats, cache folder, versions, seeds, logging.

Torch is imported inside the functions that need it, so that the command line starts at once.
Nothing here is configured by import: only entry points call `configure_logging`.
"""

import importlib.metadata
import logging
import os
import platform
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videollm.errors import RequestError

if TYPE_CHECKING:
    import torch

__all__ = [
    "cache_dir",
    "configure_logging",
    "cpu_has_fast_bf16",
    "demo_checkpoint",
    "environment_report",
    "package_version",
    "peak_rss_bytes",
    "pick_device",
    "pick_dtype",
    "quiet_transformers",
    "rss_bytes",
    "set_seed",
]

_DTYPE_NAMES = {
    "float32": "float32",
    "fp32": "float32",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float16": "float16",
    "fp16": "float16",
}
_REPORTED_PACKAGES = ("torch", "transformers", "tokenizers", "peft", "av", "numpy", "safetensors")
_handler: logging.Handler | None = None


def cache_dir() -> Path:
    """Return the folder for downloaded and compiled things; it may not exist yet.

    `$VIDEOLLM_CACHE` wins, then `$XDG_CACHE_HOME/videollm`, then `~/.cache/videollm`.
    """
    chosen = os.environ.get("VIDEOLLM_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "videollm"


def demo_checkpoint() -> Path | None:
    """Return the folder of the released demo checkpoint, or None where it is not there.

    An installed wheel carries it inside the package; a checkout has it beside the package.
    """
    package = Path(__file__).resolve().parent
    for base in (package, package.parent):
        candidate = base / "checkpoints" / "demo"
        if (candidate / "config.json").is_file():
            return candidate
    return None


def pick_device(name: str = "auto") -> "torch.device":
    """Return the device called `name`, checked to be there.

    Args:
        name: "auto" (CUDA where there is one, else the CPU), "cpu", "cuda", "cuda:1", "mps".

    Returns:
        The device.

    Raises:
        RequestError: No such device here, or not a device's name.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RequestError(f"device {name!r} is unknown: use auto, cpu, cuda or mps") from error
    here = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if device.type not in here:
        raise RequestError(f"device {name!r} is not supported: use auto, cpu, cuda or mps")
    count = here[device.type]
    if (device.index or 0) >= count:
        raise RequestError(
            f"device {name!r} is not here ({device.type} devices found: {count}): "
            f"use auto, or look at 'videollm doctor'"
        )
    return device


def pick_dtype(name: str = "auto", device: "torch.device | str" = "cpu") -> "torch.dtype":
    """Return the number format called `name`, or the fastest safe one for `device`.

    Args:
        name: "auto", "float32", "bfloat16", "float16", or "fp32", "bf16", "fp16". "auto" means
            bfloat16 on CUDA, and on a CPU that multiplies bfloat16 itself; float32 elsewhere.
        device: Where the model will run.

    Returns:
        The dtype.

    Raises:
        RequestError: Not one of these names.
    """
    import torch

    if name == "auto":
        kind = torch.device(device).type
        fast = kind == "cuda" or (kind == "cpu" and cpu_has_fast_bf16())
        return torch.bfloat16 if fast else torch.float32
    if name not in _DTYPE_NAMES:
        raise RequestError(
            f"dtype {name!r} is unknown: use auto or one of {', '.join(_DTYPE_NAMES)}"
        )
    dtype = getattr(torch, _DTYPE_NAMES[name])
    assert isinstance(dtype, torch.dtype)
    return dtype


def cpu_has_fast_bf16() -> bool:
    """Return whether this CPU multiplies bfloat16 faster than float32: AMX, or AMD's AVX-512 BF16.

    Without such instructions torch emulates bfloat16, which is several times slower than float32.
    Intel's processors run AVX-512 BF16 at half its pace: without AMX, which a virtual machine may
    hide, float32 is faster (`python -m benchmarks.llm_step --dtype float32`, and with bfloat16).
    """
    import torch

    # Private names, the only ones there are: a torch that drops them means "no".
    if getattr(torch.cpu, "_is_amx_tile_supported", bool)():
        return True
    has_bf16 = bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())
    return has_bf16 and _cpu_fact("vendor_id") != "GenuineIntel"


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and torch, on every device.

    Args:
        seed: 0 to 2**32 - 1, the range that NumPy takes.
    """
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def configure_logging(verbose: bool = False) -> None:
    """Send this package's messages to stderr; call it from entry points only.

    Args:
        verbose: Also show debug messages, with the module that speaks.
    """
    global _handler
    ours = logging.getLogger("videollm")
    if _handler is not None:
        ours.removeHandler(_handler)
    _handler = logging.StreamHandler(sys.stderr)
    _handler.setFormatter(logging.Formatter("%(name)s: %(message)s" if verbose else "%(message)s"))
    ours.addHandler(_handler)
    ours.setLevel(logging.DEBUG if verbose else logging.INFO)
    # Imported by peft and the Trainer where it is installed, it remarks on kernels.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hold back the progress bars and remarks of transformers, the hub client and tqdm.

    They would break a program's own output; errors still come as exceptions.
    """
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging as hf_logging

    levels = hf_logging.get_verbosity(), hub_logging.get_verbosity()
    had_bars = hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity(logging.ERROR)
    hub_logging.set_verbosity(logging.ERROR)
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(levels[0])
        hub_logging.set_verbosity(levels[1])
        if had_bars:
            hf_logging.enable_progress_bar()


def peak_rss_bytes() -> int:
    """Return the largest resident memory that this process has had, in bytes."""
    # Linux hands ru_maxrss on to a child across exec, so that it may be the parent's peak.
    status = Path("/proc/self/status")
    if status.is_file():
        match = re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text(), re.MULTILINE)
        if match is not None:
            return int(match[1]) * 1024
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def rss_bytes() -> int:
    """Return the resident memory of this process now, in bytes."""
    table = Path("/proc/self/statm")
    if table.is_file():
        return int(table.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().rss)
    command = ["ps", "-o", "rss=", "-p", str(os.getpid())]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) * 1024


def package_version(name: str) -> str | None:
    """Return the installed version of the distribution `name`, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def environment_report() -> dict[str, Any]:
    """Return versions, CPU and devices, as plain JSON values.

    Returns:
        `python`, `platform`, `packages` (name to version or None), `ffmpeg` (library to
        version), `cpu` (`name`, `threads`, `capability`, `fast_bf16`) and `cuda` (names).
    """
    import av
    import torch

    from videollm import __version__

    packages = {"videollm": __version__}
    libraries = {name: ".".join(map(str, v)) for name, v in av.library_versions.items()}
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages | {name: package_version(name) for name in _REPORTED_PACKAGES},
        "ffmpeg": libraries,
        "cpu": {
            "name": _cpu_name(),
            "threads": torch.get_num_threads(),
            "capability": torch.backends.cpu.get_cpu_capability(),
            "fast_bf16": cpu_has_fast_bf16(),
        },
        "cuda": devices,
    }


def _cpu_fact(key: str) -> str | None:
    """Return what Linux says of the first processor, or None: only Linux tells it, in a file."""
    table = Path("/proc/cpuinfo")
    if table.is_file():
        for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    return None


def _cpu_name() -> str:
    """Return the processor's name."""
    return _cpu_fact("model name") or platform.processor() or platform.machine()
