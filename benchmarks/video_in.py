"""Hold the reader's speed against bare decord and bare PyAV on real clips.

python -m benchmarks.video_in [--clips FOLDER] [--rounds 7] [--only NAME] [--minutes M]
                              [--output FOLDER]

Ours: `VideoReader.open` and one `read` of uniformly spaced frames, from nothing to a `Clip`. The
rivals are handed the wanted times, or frame numbers, which ours has to find: bare decord by
`get_batch`; bare PyAV by decoding forwards or by seeking to each time, with slice or with automatic
threads. Each is counted only where it gives the right frames (checked against a plain decode
of the whole clip), and the quickest of them is the measure of the clip. Cases: 8 and 64 frames,
at the clip's size and with the longer side at 224. All take turns, the best round of each counts;
nothing else should run beside it. A rival that took three times as long as the quickest one when it
was checked is not measured again: what it took then is written down.

It can be done in pieces: what the results in the output folder hold already, of the same commit,
the same machine and as many rounds, is not measured again, and after `--minutes` no further clip
is begun.
"""

import argparse
import json
import math
import os
import sys
import time
from bisect import bisect_right
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from benchmarks.measure import interleaved_seconds, save, source_commit
from benchmarks.video_rivals import Rival, Wanted, frame_times, rivals
from videollm.errors import VideoError
from videollm.runtime import environment_report
from videollm.sampling_policies import sample_uniform
from videollm.video import VideoReader

NAME = "video_in"
CASES = tuple((num_frames, side) for num_frames in (8, 64) for side in (None, 224))
MAX_LEVELS = 6.0
"""Mean difference, of 255, that another conversion explains, and another frame does not."""
ENOUGH_SECONDS = 5.0
MAX_TIMES_SLOWER = 3.0


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=Path, default=Path("../shared/videos"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="clips whose names hold this")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no clip later")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    until = time.monotonic() + 60 * options.minutes
    rows = _measured(options.output / f"{NAME}.json", options.rounds)
    done = {row["clip"] for row in rows}
    paths = [path for path in sorted(options.clips.iterdir()) if options.only in path.name]
    left = [path for path in paths if path.name not in done]
    while left and time.monotonic() < until:
        rows += measure_clip(left.pop(0), rounds=options.rounds)
    threads = torch.get_num_threads()
    results = {"cores": os.cpu_count(), "threads": threads, "rounds": options.rounds}
    results |= {"clips_left": len(left), **summarise(rows)}
    print({key: value for key, value in results.items() if key != "rows"})
    print(save(options.output, NAME, results, ["benchmarks.video_in", *arguments]))
    return 0


def measure_clip(path: Path, *, rounds: int) -> list[dict[str, Any]]:
    """Return one row for each case of a clip; none if it is no clip that can be read.

    Args:
        path: The file.
        rounds: How often each way of reading is measured.
    """
    try:
        VideoReader.open(path).close()
        begins = frame_times(str(path))
    except (VideoError, av.FFmpegError):
        return []
    rows = []
    for num_frames, side in CASES:
        wanted = _wanted(path, begins, num_frames, side)
        others = rivals()
        found = {name: _seconds_if_right(rival, wanted) for name, rival in others.items()}
        checked = {name: value for name, value in found.items() if value is not None}
        works: dict[str, Callable[[], object]] = {"ours": partial(read_ours, wanted)}
        works |= {
            name: partial(others[name], wanted)
            for name, value in checked.items()
            if value <= MAX_TIMES_SLOWER * min(checked.values())
        }
        seconds = interleaved_seconds(works, repeats=rounds, enough_seconds=ENOUGH_SECONDS)
        ours = seconds.pop("ours")
        seconds = checked | seconds
        best = min(seconds, key=seconds.__getitem__, default=None)
        row = {
            "clip": path.name,
            "frames": num_frames,
            "side": side,
            "ours_ms": ours * 1e3,
            "rivals_ms": {name: value * 1e3 for name, value in seconds.items()},
            "best": best,
            "ratio": None if best is None else ours / seconds[best],
        }
        print(
            f"{path.name[:38]:38} {num_frames:2} {side or 'full':>4} {ours * 1e3:8.1f} ms "
            + (f"{row['ratio']:.2f} of {best}" if best else "no rival is right"),
            flush=True,
        )
        rows.append(row)
    return rows


def _measured(path: Path, rounds: int) -> list[dict[str, Any]]:
    """Return the rows of earlier results that a run would find now."""
    if not path.is_file():
        return []
    before = json.loads(path.read_text())
    now = {"commit": source_commit(), "environment": environment_report(), "rounds": rounds}
    return before["rows"] if now.items() <= before.items() else []


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the geometric mean and the worst of the ratios, over all and by case."""
    found: dict[str, Any] = {"rows": rows}
    for name, part in {
        "all": rows,
        **{
            f"{num_frames} frames, {side or 'full size'}": [
                row for row in rows if (row["frames"], row["side"]) == (num_frames, side)
            ]
            for num_frames, side in CASES
        },
    }.items():
        ratios = {row["clip"]: row["ratio"] for row in part if row["ratio"] is not None}
        if name == "all":
            values = [row["ratio"] for row in rows if row["ratio"] is not None]
        else:
            values = list(ratios.values())
        if values:
            worst = max((row for row in part if row["ratio"]), key=lambda row: row["ratio"])
            found[name] = {
                "clips": len(ratios),
                "geometric_mean": math.exp(sum(map(math.log, values)) / len(values)),
                "worst": worst["ratio"],
                "worst_clip": worst["clip"],
                "over_2": sum(value > 2 for value in values),
            }
    return found


def read_ours(wanted: Wanted) -> torch.Tensor:
    """Return (T, 3, H, W) by the reader, from the path alone."""
    with VideoReader.open(wanted.path) as reader:
        times = sample_uniform(reader.metadata, len(wanted.seconds))
        return reader.read(times, max_side=wanted.side).frames


def _wanted(path: Path, begins: list[float], num_frames: int, side: int | None) -> Wanted:
    """Return what the rivals are to read, with the right frames."""
    with VideoReader.open(path) as reader:
        times = sample_uniform(reader.metadata, num_frames)
        clip = reader.read(times, max_side=side)
    seconds = clip.pts_seconds.tolist()
    return Wanted(
        path=str(path),
        seconds=seconds,
        numbers=[max(bisect_right(begins, second + 5e-4) - 1, 0) for second in seconds],
        side=side,
        height=clip.height,
        width=clip.width,
        frames=clip.frames.permute(0, 2, 3, 1).numpy(),
    )


def _seconds_if_right(rival: Rival, wanted: Wanted) -> float | None:
    """Return how long a rival took for the right frames; None where it gave others."""
    start = time.perf_counter()
    try:
        frames = rival(wanted)
    except Exception:  # noqa: BLE001 (whatever a decoder raises, it gave no frames)
        return None
    seconds = time.perf_counter() - start
    if frames.shape != wanted.frames.shape:
        return None
    levels = np.abs(frames.astype(np.int16) - wanted.frames).mean(axis=(1, 2, 3))
    return seconds if (levels <= MAX_LEVELS).all() else None


if __name__ == "__main__":
    sys.exit(main())
