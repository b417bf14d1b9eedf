"""The runs behind `docs/results.md`: what each is, what it needs, and how far it got.

Every run is a stage of ours in a process of its own, resumable and pinned to one thread, so that
several share a machine without changing each other's numbers.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Job", "JobError", "run_jobs"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One run.

    Args:
        name: Its folder below the work folder.
        module: What `python -m` starts.
        arguments: Its command line.
        needs: Names of jobs that come first.
        result: File below its folder that it writes last.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    needs: tuple[str, ...] = ()
    result: str

    def is_done(self, work: Path) -> bool:
        """Return whether the result is there."""
        return (work / self.name / self.result).exists()


class JobError(Exception):
    """A run ended with an error; its log tells why."""


def run_jobs(
    jobs: Sequence[Job],
    work: Path,
    *,
    workers: int,
    ended_well: Callable[[Job], None] = lambda job: None,
) -> None:
    """Run what is not done yet, several at a time, each after what it needs.

    Args:
        jobs: In the order to start them, as far as their needs allow.
        work: Folder of all runs; their logs go to `logs/`.
        workers: Processes at a time, each with one thread.
        ended_well: Called for each run whose result is there, old or new.

    Raises:
        JobError: One failed; those that were running have ended, no other was started.
    """
    (work / "logs").mkdir(parents=True, exist_ok=True)
    done = {job.name for job in jobs if job.is_done(work)}
    waiting = [job for job in jobs if job.name not in done]
    for job in jobs:
        if job.name in done:
            ended_well(job)
    print(f"{len(done)} of {len(jobs)} runs are there", flush=True)
    running: dict[Future[None], Job] = {}
    children = _Children()
    with ThreadPoolExecutor(workers) as pool:
        try:
            while waiting or running:
                for job in [job for job in waiting if done >= set(job.needs)]:
                    if len(running) < workers:
                        waiting.remove(job)
                        running[pool.submit(children.run, job, work)] = job
                if not running:
                    raise JobError(f"{waiting[0].name} needs {', '.join(waiting[0].needs)}")
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    job = running.pop(future)
                    future.result()
                    ended_well(job)
                    done.add(job.name)
                    print(f"{len(done)} of {len(jobs)}: {job.name}", flush=True)
        except BaseException:
            children.stop()
            raise


class _Children:
    """The processes that are running."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._stopped = False
        self._lock = threading.Lock()

    def run(self, job: Job, work: Path) -> None:
        """Run a job to its end.

        Raises:
            JobError: It ended with an error or without its result.
        """
        log = work / "logs" / f"{job.name.replace('/', '_')}.log"
        command = [sys.executable, "-m", job.module, *job.arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with log.open("ab") as file:
            with self._lock:
                if self._stopped:
                    return
                process = subprocess.Popen(
                    command, stdout=file, stderr=subprocess.STDOUT, env=environment
                )
                self._processes.append(process)
            code = process.wait()
        if not self._stopped and (code or not job.is_done(work)):
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise JobError(f"{job.name} ended with code {code}: {' '.join(last)}; see {log}")

    def stop(self) -> None:
        """End all that is running; they go on from their checkpoints another time."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                process.terminate()
