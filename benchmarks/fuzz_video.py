"""Read damaged videos through the decode worker, and hold every frame against a bare decode.

python -m benchmarks.fuzz_video --clips FOLDER [--files 2000] [--seed 0] [--minutes M]
                                [--output FOLDER]

Each file is opened, and read twice at random times, the second time backwards. It counts as read,
refused, stopped by a limit or crashed; of what was read, every frame's time and pixels are judged
by `benchmarks.fuzz_oracle`. What matters must be 0: crashes and errors of this process, calls that
outlast their limit, broken readers, invented times, wrong frames, wrong pixels.

After `--minutes` no further file is begun. Where the output folder holds results of the same commit
and seed, this goes on from them.
"""

import argparse
import hashlib
import json
import logging
import math
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzz_files import Clip, damage, small_clips
from benchmarks.fuzz_oracle import Answer, Oracle, digest
from benchmarks.measure import save, source_commit
from videollm.errors import VideoError
from videollm.video_limits import DecodeLimits
from videollm.video_worker import DecodeWorker

__all__ = ["LIMITS", "MUST_BE_ZERO", "Tally", "fuzz", "main"]

NAME = "fuzz_video"
LIMITS = DecodeLimits(open_seconds=5, decode_seconds=10, cpu_seconds=30, memory_bytes=2**30)

GRACE_SECONDS = 2.0
"""How long after its limit a call may take to come back, on a busy machine."""

MUST_BE_ZERO = (
    "hangs",
    "errors of the parent",
    "readers broken",
    "invented time",
    "wrong frame",
    "wrong pixels",
)

ENDS = {
    "took more than": "stopped: time",
    "of processor time": "stopped: processor time",
    "needs more memory": "stopped: memory",
    "the decoder crashed": "worker crashed",
    "the reader broke": "readers broken",
}
"""What a refusal counts as, by words of its finding; all others are refusals of the reader."""


@dataclass
class Tally:
    """Hold the counts.

    Args:
        files: How each file ended.
        damages: Files by their kind of damage.
        frames: Verdicts on the frames.
        findings: Why files were refused, numbers left out.
        suspects: Numbers of the files that were not as they must be, with what was found.
        slowest_seconds: The longest time for one file.
        sha256: Of all files that were read, in order: each time of the digest before and a file.
    """

    files: Counter[str] = field(default_factory=Counter)
    damages: Counter[str] = field(default_factory=Counter)
    frames: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)
    suspects: list[str] = field(default_factory=list)
    slowest_seconds: float = 0.0
    sha256: str = ""

    @property
    def num_files(self) -> int:
        """Return how many files were read."""
        return sum(self.damages.values())

    def bad(self) -> dict[str, int]:
        """Return the counts that must be 0."""
        return {name: self.files[name] + self.frames[name] for name in MUST_BE_ZERO}


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz, print, write; return 1 if anything that must be 0 is not."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=Path, required=True, help="folder of sound videos")
    parser.add_argument("--files", type=int, default=2000, help="damaged files to read")
    parser.add_argument("--seed", type=int, default=0, help="of the damage and of the times")
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no file later")
    parser.add_argument("--output", type=Path, help="folder for fuzz_video.json")
    options = parser.parse_args(arguments)
    logging.disable(logging.WARNING)  # what the reader has to say of so much damage
    clips = small_clips(options.clips)
    which = {"seed": options.seed, "first": options.first}
    tally = Tally() if options.output is None else _tally_before(options.output, which)
    numbers = range(options.first, options.first + options.files)[tally.num_files :]
    fuzz(clips, numbers, options.seed, tally=tally, budget_seconds=60 * options.minutes)
    results = which | _results(tally, clips)
    for name, counts in results.items():
        print(f"{name}: {counts}")
    if options.output is not None:
        command = ["benchmarks.fuzz_video", f"--files {options.files} --seed {options.seed}"]
        save(options.output, NAME, results, command)
    return int(any(tally.bad().values()))


def _tally_before(folder: Path, which: dict[str, int]) -> Tally:
    """Return what an earlier run of this commit counted, or nothing."""
    path = folder / f"{NAME}.json"
    before = json.loads(path.read_text()) if path.is_file() else {}
    if not (which | {"commit": source_commit()}).items() <= before.items():
        return Tally()
    return Tally(
        files=Counter(before["ends"]),
        damages=Counter(before["damages"]),
        frames=Counter(before["frames"]),
        findings=Counter(before["findings"]),
        suspects=before["suspects"],
        slowest_seconds=before["slowest_file_seconds"],
        sha256=before["sha256"],
    )


def fuzz(
    clips: Sequence[Clip],
    numbers: Sequence[int],
    seed: int,
    *,
    tally: Tally | None = None,
    budget_seconds: float = math.inf,
) -> Tally:
    """Read damaged files and judge what comes back.

    Args:
        clips: Sound files to damage.
        numbers: Which damaged files.
        seed: Of the damage and of the times.
        tally: What to go on counting from.
        budget_seconds: No further file after so many, once the worker has started.
    """
    tally = tally or Tally()
    with DecodeWorker(LIMITS) as worker, Oracle() as oracle:
        worker.wait()
        start = time.monotonic()
        for number in numbers:
            if time.monotonic() - start > budget_seconds:
                break
            kind, name, data = damage(clips, number, seed)
            tally.sha256 = hashlib.sha256(tally.sha256.encode() + data).hexdigest()
            rng = np.random.default_rng([seed, number, 1])
            end, answers = _read(worker, data, rng, tally)
            tally.files[end] += 1
            tally.damages[kind] += 1
            verdicts = oracle.judge(data, answers) if answers else []
            if verdicts is None:
                verdicts = ["not judged: PyAV alone fails"] * len(answers)
            tally.frames.update(verdicts)
            for bad in sorted({end, *verdicts} & set(MUST_BE_ZERO)):
                tally.suspects.append(f"{number} ({kind}, {name}): {bad}")
    return tally


def _read(
    worker: DecodeWorker, data: bytes, rng: np.random.Generator, tally: Tally
) -> tuple[str, list[Answer]]:
    """Return how one damaged file ended, and the frames that were had of it."""
    worker.wait()  # the time that a new process takes to start counts against no limit
    answers: list[Answer] = []
    start, allowed = time.monotonic(), LIMITS.open_seconds
    try:
        with worker.open(data) as reader:
            duration = reader.metadata.duration_seconds
            shares = rng.random(6)
            # The second half lies before the first in part: readers have to go back.
            for some in (shares[:3], shares[3:]):
                asked = sorted(float(share) * duration for share in some)
                allowed += LIMITS.decode_seconds
                clip = reader.read(asked)
                for time_asked, seconds, picture in zip(
                    asked, clip.pts_seconds.tolist(), clip.frames, strict=True
                ):
                    answers.append(Answer(time_asked, seconds, digest(picture)))
        end = "read"
    except VideoError as error:
        end = next((end for words, end in ENDS.items() if words in error.finding), "refused")
        tally.findings[_kind_of(error.finding)] += 1
    except Exception as error:
        end = "errors of the parent"
        tally.findings[f"{type(error).__name__}: {error}"] += 1
    elapsed = time.monotonic() - start
    tally.slowest_seconds = max(tally.slowest_seconds, elapsed)
    return ("hangs" if elapsed > allowed + GRACE_SECONDS else end), answers


def _kind_of(finding: str) -> str:
    """Return a finding without what differs from file to file."""
    return re.sub(r"[0-9.]+", "N", re.sub(r"it begins with .*: ", "", finding))


def _results(tally: Tally, clips: Sequence[Clip]) -> dict[str, Any]:
    return {
        "clips": len(clips),
        "limits": asdict(LIMITS),
        "files": tally.num_files,
        "must_be_zero": {"crashes of the parent": 0, **tally.bad()},
        "ends": dict(sorted(tally.files.items())),
        "frames": dict(sorted(tally.frames.items())),
        "findings": dict(tally.findings.most_common()),
        "damages": dict(sorted(tally.damages.items())),
        "suspects": tally.suspects,
        "slowest_file_seconds": round(tally.slowest_seconds, 2),
        "sha256": tally.sha256,
    }


if __name__ == "__main__":
    sys.exit(main())
