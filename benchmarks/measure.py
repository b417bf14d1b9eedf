"""Time and peak memory of one piece of work, and what it was measured on."""

import json
import multiprocessing
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from videollm.runtime import environment_report

__all__ = [
    "Cost",
    "apart",
    "cost_of",
    "forget_peak",
    "interleaved_seconds",
    "resident_bytes",
    "save",
    "source_commit",
]

Result = TypeVar("Result")
ROOT = Path(__file__).resolve().parents[1]
RESULTS = "benchmarks/results"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a piece of work took.

    Attributes:
        seconds: Best wall-clock time.
        peak_bytes: Most resident memory while it ran, above what was resident before.
    """

    seconds: float
    peak_bytes: int


def apart(work: Callable[..., Result], *arguments: Any) -> Result:
    """Return `work(*arguments)` from a fresh process, so that no memory of others is reused.

    Args:
        work: A function of a module.
        arguments: Plain values.

    Returns:
        What it returned.

    Raises:
        BrokenProcessPool: The process died, most often for want of memory.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *arguments).result()


def cost_of(work: Callable[[], object], *, max_repeats: int = 3, enough_seconds: float = 5) -> Cost:
    """Run once for the peak of memory, then again for the best time.

    Args:
        work: What to measure; anything it needs is resident already.
        max_repeats: Runs at most.
        enough_seconds: No further run after so many seconds.

    Returns:
        Best time of all runs, peak of the first.
    """
    before = resident_bytes("VmRSS")
    forget_peak()
    times = [_seconds(work)]
    peak = resident_bytes("VmHWM") - before
    while len(times) < max_repeats and sum(times) < enough_seconds:
        times.append(_seconds(work))
    return Cost(seconds=min(times), peak_bytes=max(0, peak))


def interleaved_seconds(
    works: dict[str, Callable[[], object]], *, repeats: int = 5, enough_seconds: float = 10
) -> dict[str, float]:
    """Return each one's best time, all of them in turn so that they share the machine's moods.

    Args:
        works: What to measure, by name; each should have run before on something small.
        repeats: Rounds at most.
        enough_seconds: One that has taken so long sits out the further rounds.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            if sum(times[name]) < enough_seconds:
                times[name].append(_seconds(work))
    return {name: min(values) for name, values in times.items()}


def save(folder: Path, name: str, results: dict[str, Any], arguments: Sequence[str]) -> Path:
    """Write `name.json` with the results, the command, the commit and the machine; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    record = {
        "command": " ".join(["python -m", *arguments]),
        "commit": source_commit(),
        "environment": environment_report(),
        **results,
    }
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def source_commit() -> str:
    """Return the commit of the checkout, with "+changes" where files but results differ from it."""
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    changed = [*git, "status", "--porcelain", "--", ".", f":!{RESULTS}"]
    status = subprocess.run(changed, capture_output=True, text=True)
    return commit.stdout.strip() + ("+changes" if status.stdout.strip() else "")


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def forget_peak() -> None:
    """Let the peak of this process's resident memory start from here."""
    Path("/proc/self/clear_refs").write_text("5")


def resident_bytes(field: str) -> int:
    """Return "VmRSS", what this process holds now, or "VmHWM", its peak, in bytes."""
    match = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1]) * 1024
