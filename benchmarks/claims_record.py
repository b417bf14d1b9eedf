"""What the finished runs of the study scored, kept in one file small enough for the repository.

A run that is on record with the same arguments is not made again, on whatever machine the study
goes on, and neither is a pretraining that only such runs need.
"""

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
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: dict[str, dict[str, Any]] = {}
        if path.is_file():
            self.runs = json.loads(path.read_text(encoding="utf-8"))

    def holds(self, job: Job, work: Path) -> bool:
        """Return whether the run is on record with these very arguments."""
        known = self.runs.get(job.name)
        return known is not None and known["arguments"] == _portable(job, work)

    def add(self, job: Job, work: Path) -> None:
        """Put a run that has ended on record, if it is one that scores."""
        if job.result != SCORED:
            return
        results = json.loads((work / job.name / SCORED).read_text(encoding="utf-8"))
        report = environment_report()
        self.runs[job.name] = {
            "top1": results["scores"]["top1"],
            "num_videos": results["num_videos"],
            "arguments": _portable(job, work),
            "commit": source_commit(),
            "cpu": f"{report['cpu']['name']} with {report['cpu']['threads']} threads",
            "packages": {name: report["packages"][name] for name in ("torch", "transformers")},
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(dict(sorted(self.runs.items())), indent=1)
        self.path.write_text(text + "\n", encoding="utf-8")


def still_needed(jobs: Sequence[Job], record: Record, work: Path) -> list[Job]:
    """Return the jobs that score and are not on record, and all that these need, in order."""
    by_name = {job.name: job for job in jobs}
    wanted = [job.name for job in jobs if job.result == SCORED and not record.holds(job, work)]
    found: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in by_name and name not in found:
            found.add(name)
            wanted += by_name[name].needs
    return [job for job in jobs if job.name in found]


def _portable(job: Job, work: Path) -> list[str]:
    """Return the arguments with the work folder called WORK and recipes by their file's name."""
    words = [word.replace(str(work), "WORK") for word in job.arguments]
    return [Path(word).name if word.endswith(".yaml") else word for word in words]
