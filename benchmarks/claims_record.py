"""What the finished runs of the study scored, kept in one file small enough for the repository.

A run that is on record as it would be made today (its arguments, its recipe, and those of all that
it needs) is not made again, on whatever machine the study goes on, and neither is a pretraining
that only such runs need.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.claims_jobs import Job
from benchmarks.measure import source_commit
from videollm.runtime import environment_report

__all__ = ["SCORED", "Record", "still_needed"]

SCORED = "test/results.json"
"""What a run writes last that is on record: the scores of its classifier."""


class Record:
    """Scores of runs by their name.

    Args:
        path: JSON file; made with the first run.
        jobs: All runs of the study.
        work: Folder of all runs.
    """

    def __init__(self, path: Path, jobs: Sequence[Job], work: Path) -> None:
        self.path = path
        self.runs: dict[str, dict[str, Any]] = {}
        self._work = work
        self._prints = _fingerprints(jobs, work)
        if path.is_file():
            self.runs = json.loads(path.read_text(encoding="utf-8"))

    def holds(self, job: Job) -> bool:
        """Return whether the run is on record as it would be made today."""
        known = self.runs.get(job.name)
        return known is not None and known["fingerprint"] == self._prints[job.name]

    def add(self, job: Job) -> None:
        """Put a run that has ended on record, if it is one that scores."""
        if job.result != SCORED:
            return
        results = json.loads((self._work / job.name / SCORED).read_text(encoding="utf-8"))
        report = environment_report()
        self.runs[job.name] = {
            "top1": results["scores"]["top1"],
            "num_videos": results["num_videos"],
            "arguments": _portable(job, self._work),
            "fingerprint": self._prints[job.name],
            "commit": source_commit(),
            "cpu": f"{report['cpu']['name']} with {report['cpu']['threads']} threads",
            "packages": {name: report["packages"][name] for name in ("torch", "transformers")},
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(dict(sorted(self.runs.items())), indent=1)
        self.path.write_text(text + "\n", encoding="utf-8")


def still_needed(jobs: Sequence[Job], record: Record) -> list[Job]:
    """Return the jobs that score and are not on record, and all that these need, in order."""
    by_name = {job.name: job for job in jobs}
    wanted = [job.name for job in jobs if job.result == SCORED and not record.holds(job)]
    found: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in by_name and name not in found:
            found.add(name)
            wanted += by_name[name].needs
    return [job for job in jobs if job.name in found]


def _fingerprints(jobs: Sequence[Job], work: Path) -> dict[str, str]:
    """Return for each run what changes when its arguments, its recipe or those it needs do."""
    by_name = {job.name: job for job in jobs}
    found: dict[str, str] = {}

    def of(name: str) -> str:
        if name not in found:
            job = by_name[name]
            recipes = [Path(word) for word in job.arguments if word.endswith(".yaml")]
            parts = [
                job.module,
                *_portable(job, work),
                *(recipe.read_text(encoding="utf-8") for recipe in recipes),
                *(of(need) for need in job.needs),
            ]
            found[name] = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
        return found[name]

    return {name: of(name) for name in by_name}


def _portable(job: Job, work: Path) -> list[str]:
    """Return the arguments with the work folder called WORK and recipes by their file's name."""
    words = [word.replace(str(work), "WORK") for word in job.arguments]
    return [Path(word).name if word.endswith(".yaml") else word for word in words]
