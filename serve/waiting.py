"""The queue in front of the engine: fair among askers, and no longer than it may be.

Not safe to share by threads: the engine holds its lock around every call.
"""

import math
from collections.abc import Callable

from videollm.errors import RequestError
from videollm.serve.jobs import Job

__all__ = ["BusyError", "FairQueue", "StoppingError"]


class BusyError(RequestError):
    """Say that there is no room at the moment.

    Args:
        message: One sentence for the asker.
        retry_after_seconds: When to ask again.
    """

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class StoppingError(RequestError):
    """Say that the server is going away."""


class FairQueue:
    """Hold the jobs that wait: everybody's first question comes before anybody's second."""

    def __init__(self) -> None:
        self._jobs: list[tuple[int, Job]] = []
        self._round = 0
        self._last_rounds: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(not job.ended for _, job in self._jobs)

    def check_room(self, limit: int, mean_seconds: float) -> None:
        """Refuse another job where there is no room for one.

        Args:
            limit: Jobs that may wait at once.
            mean_seconds: What an answer takes, to say when to ask again.

        Raises:
            BusyError: As many wait as may.
        """
        self._forget_ended()
        if len(self._jobs) >= limit:
            wait = max(1, math.ceil(mean_seconds * len(self._jobs) / 2))
            raise BusyError(
                f"{len(self._jobs)} questions are already waiting and no more than {limit} fit: "
                f"ask again in {wait} s",
                wait,
            )

    def push(self, job: Job) -> None:
        """Add a job.

        Args:
            job: It waits from now on.
        """
        place = max(self._round, self._last_rounds.get(job.asker, -1) + 1)
        self._last_rounds[job.asker] = place
        at = next((n for n, (other, _) in enumerate(self._jobs) if other > place), len(self._jobs))
        self._jobs.insert(at, (place, job))

    def take(self, limit: int, fits: Callable[[Job, Job], bool]) -> list[Job]:
        """Remove the first job, and those right behind it that go with it; none where none waits.

        Args:
            limit: The most jobs to take.
            fits: Whether a job, the second, can be answered together with the first.
        """
        self._forget_ended()
        taken = 0
        while taken < min(limit, len(self._jobs)):
            if taken and not fits(self._jobs[0][1], self._jobs[taken][1]):
                break
            taken += 1
        if taken:
            self._round = self._jobs[taken - 1][0]
        jobs = [job for _, job in self._jobs[:taken]]
        del self._jobs[:taken]
        self._last_rounds = {
            asker: place for asker, place in self._last_rounds.items() if place >= self._round
        }
        return jobs

    def num_ahead(self, job: Job) -> int:
        """Return how many wait before a job; 0 where it does not wait.

        Args:
            job: Any job.
        """
        waiting = [other for _, other in self._jobs if not other.ended]
        return waiting.index(job) if job in waiting else 0

    def jobs(self) -> list[Job]:
        """Return all that wait."""
        return [job for _, job in self._jobs]

    def _forget_ended(self) -> None:
        self._jobs = [(place, job) for place, job in self._jobs if not job.ended]
