"""Ask every example of a task under every condition, and log each answer as it comes.

Examples are cut into the same batches whatever was answered before, and a batch that misses an
answer is asked whole again: a batch decides its padding, and padding may decide a rounding. So
an interrupted run that goes on writes the file that an uninterrupted one writes.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from videollm.clip import Clip
from videollm.eval.conditions import Condition, Reply
from videollm.eval.predictions import Prediction, PredictionLog
from videollm.eval.task import Example, Task, TaskSpec

__all__ = ["Stopwatch", "TaskRunner"]


@dataclass(slots=True)
class Stopwatch:
    """Count what a run did and how long it took.

    Args:
        num_answered: Answers that this run obtained, over all conditions.
        load_seconds: Time spent on drawing or decoding clips.
        answer_seconds: Time spent on answering.
        started: When the run began, as `time.perf_counter` tells it.
    """

    num_answered: int = 0
    load_seconds: float = 0.0
    answer_seconds: float = 0.0
    started: float = 0.0

    @classmethod
    def start(cls) -> "Stopwatch":
        """Return a stopwatch that runs."""
        return cls(started=time.perf_counter())

    def to_dict(self) -> dict[str, float]:
        """Return the counts, the seconds and the rate as JSON holds them."""
        wall_seconds = time.perf_counter() - self.started
        return {
            "num_answered": self.num_answered,
            "wall_seconds": round(wall_seconds, 3),
            "load_seconds": round(self.load_seconds, 3),
            "answer_seconds": round(self.answer_seconds, 3),
            "items_per_second": round(self.num_answered / max(wall_seconds, 1e-9), 3),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRunner:
    """Run one task.

    Args:
        task: Supplies examples and clips.
        spec: Supplies the scoring rule.
        conditions: Who answers, in the order of the log.
        log: Where predictions go; what it holds already is not written again.
        batch_size: Examples per batch, at least 1.
        num_frames: Frames per clip, at least 1.
        size: Side of drawn frames in pixels, at least 1.
        advance: Is told how many answers were dealt with since the last call.
    """

    task: Task
    spec: TaskSpec
    conditions: Sequence[Condition]
    log: PredictionLog
    batch_size: int
    num_frames: int
    size: int
    advance: Callable[[int], None]

    def run(self, stopwatch: Stopwatch) -> None:
        """Answer everything that the log does not hold.

        Args:
            stopwatch: Is told what was done.
        """
        clips: dict[str, Clip] = {}
        for batch in self._batches():
            missing = [condition for condition in self.conditions if self._misses(condition, batch)]
            self.advance(len(batch) * (len(self.conditions) - len(missing)))
            if not missing:
                continue
            clips = self._load(batch, clips, stopwatch)
            for condition in missing:
                self._answer(condition, batch, clips, stopwatch)
                self.advance(len(batch))

    def _batches(self) -> Iterator[Sequence[Example]]:
        examples = self.task.examples
        for start in range(0, len(examples), self.batch_size):
            yield examples[start : start + self.batch_size]

    def _misses(self, condition: Condition, batch: Sequence[Example]) -> bool:
        return any(
            (self.task.name, condition.name, example.id) not in self.log for example in batch
        )

    def _load(
        self, batch: Sequence[Example], loaded: dict[str, Clip], stopwatch: Stopwatch
    ) -> dict[str, Clip]:
        """Return the batch's clips, each loaded once; a clip may span two batches."""
        started = time.perf_counter()
        clips: dict[str, Clip] = {}
        for example in batch:
            if example.video not in clips:
                clips[example.video] = loaded.get(example.video) or self.task.load_clip(
                    example.video, num_frames=self.num_frames, size=self.size
                )
        stopwatch.load_seconds += time.perf_counter() - started
        return clips

    def _answer(
        self,
        condition: Condition,
        batch: Sequence[Example],
        clips: dict[str, Clip],
        stopwatch: Stopwatch,
    ) -> None:
        started = time.perf_counter()
        replies = condition.answer(batch, [clips[example.video] for example in batch])
        stopwatch.answer_seconds += time.perf_counter() - started
        stopwatch.num_answered += self.log.add(
            self._predict(condition.name, example, reply)
            for example, reply in zip(batch, replies, strict=True)
        )

    def _predict(self, condition: str, example: Example, reply: Reply) -> Prediction:
        score = self.spec.score(reply.output, example)
        return Prediction.of(example, reply, score, task=self.task.name, condition=condition)
