"""What the engine has done since it started, for `/metrics` and for guessing when it is free."""

import threading
import time
from collections import Counter
from collections.abc import Callable

from videollm.serve.jobs import Done, Event, Failed, Piece

__all__ = ["SECONDS_BOUNDS", "Histogram", "Tally"]

SECONDS_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds of the buckets of a histogram, in seconds."""


class Histogram:
    """Count times in buckets, each holding all that are no longer."""

    def __init__(self) -> None:
        self.counts = [0] * len(SECONDS_BOUNDS)
        self.total = 0
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        """Count one time."""
        self.total += 1
        self.sum += seconds
        for place, bound in enumerate(SECONDS_BOUNDS):
            self.counts[place] += seconds <= bound


class Tally:
    """Count answers by their end, tokens and times; safe to share by threads."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self.first_piece = Histogram()
        self.whole = Histogram()
        self.busy_seconds = 0.0
        self.mean_seconds = 1.0
        self._lock = threading.Lock()

    def refuse(self) -> None:
        """Count a question that found no room."""
        with self._lock:
            self.ends["refused"] += 1

    def count_busy(self, seconds: float) -> None:
        """Count time in which the model worked.

        Args:
            seconds: Of one run through the model.
        """
        with self._lock:
            self.busy_seconds += seconds
            self.mean_seconds += 0.2 * (seconds - self.mean_seconds)

    def watch(self) -> Callable[[Event], None]:
        """Return what is to be given the events of a question that is asked now."""
        start = time.monotonic()
        is_first = True

        def count(event: Event) -> None:
            nonlocal is_first
            seconds = time.monotonic() - start
            with self._lock:
                if isinstance(event, Piece) and is_first:
                    is_first = False
                    self.first_piece.add(seconds)
                elif isinstance(event, Failed):
                    self.ends[f"failed_{event.kind}"] += 1
                elif isinstance(event, Done):
                    self._count_done(event, seconds)

        return count

    def _count_done(self, done: Done, seconds: float) -> None:
        self.ends["stopped" if done.stopped else "answered"] += 1
        if not done.stopped:
            self.whole.add(seconds)
        self.tokens["prompt"] += done.prompt_tokens
        self.tokens["visual"] += done.visual_tokens
        self.tokens["answer"] += done.answer_tokens
