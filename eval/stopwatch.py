"""What a run takes: totals for the results, and one line an item for whoever asks where time goes.

Times are no part of the predictions, which are the same for every run.
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from videollm.runtime import peak_rss_bytes

__all__ = ["Stopwatch"]


class Stopwatch:
    """Count what a run did and how long it took.

    Args:
        path: Where a line for each answer goes; None keeps totals only.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.num_answered = 0
        self.wait_seconds = 0.0
        self.answer_seconds = 0.0
        self._started = time.perf_counter()

    def waited(self, seconds: float) -> None:
        """Add time in which the model waited for clips."""
        self.wait_seconds += seconds

    def answered(
        self, keys: Sequence[tuple[str, str, str]], seconds: float, decode: Mapping[str, float]
    ) -> None:
        """Add a batch of answers.

        Args:
            keys: Task, condition and name of each item.
            seconds: Time that the batch took; each item is given its share.
            decode: Seconds by item that its clip took in the background.
        """
        self.num_answered += len(keys)
        self.answer_seconds += seconds
        if self.path is None:
            return
        memory = {"rss_peak_bytes": peak_rss_bytes()}
        if torch.cuda.is_available():
            memory["cuda_peak_bytes"] = torch.cuda.max_memory_allocated()
        lines = [
            json.dumps(
                {
                    "task": task,
                    "condition": condition,
                    "id": name,
                    "decode_seconds": round(decode.get(name, 0.0), 4),
                    "answer_seconds": round(seconds / len(keys), 4),
                    "batch_items": len(keys),
                    **memory,
                }
            )
            for task, condition, name in keys
        ]
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def to_dict(self) -> dict[str, float]:
        """Return the counts, the seconds, the rate and the peak as JSON holds them."""
        wall_seconds = time.perf_counter() - self._started
        totals = {
            "num_answered": self.num_answered,
            "wall_seconds": round(wall_seconds, 3),
            "wait_seconds": round(self.wait_seconds, 3),
            "answer_seconds": round(self.answer_seconds, 3),
            "items_per_second": round(self.num_answered / max(wall_seconds, 1e-9), 3),
            "rss_peak_bytes": peak_rss_bytes(),
        }
        if torch.cuda.is_available():
            totals["cuda_peak_bytes"] = torch.cuda.max_memory_allocated()
        return totals
