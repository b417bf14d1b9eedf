"""Ask every example of a task under every condition, and log each answer as it comes.

Examples are cut into the same batches whatever was answered before, and a batch that misses an
answer is asked whole again: a batch decides its padding, and padding may decide a rounding. So
an interrupted run that goes on writes the file that an uninterrupted one writes.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from videollm.clip import Clip
from videollm.errors import DataError
from videollm.eval.clip_loader import ClipLoader, Loaded
from videollm.eval.conditions import Condition
from videollm.eval.predictions import Prediction, PredictionLog
from videollm.eval.shards import WHOLE, Shard
from videollm.eval.stopwatch import Stopwatch
from videollm.eval.subtitles import place_subtitles
from videollm.eval.task import Example, Task, TaskSpec

__all__ = ["TaskRunner", "cut_batches"]


def cut_batches(examples: Sequence[Example], size: int) -> Iterator[Sequence[Example]]:
    """Yield the batches of a task, the same for every run and shard.

    Args:
        examples: All of them, in their order.
        size: Examples per batch, at least 1.
    """
    for start in range(0, len(examples), size):
        yield examples[start : start + size]


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
        shard: Which batches are this run's.
        num_workers: Clips decoded at once, ahead of the model.
    """

    task: Task
    spec: TaskSpec
    conditions: Sequence[Condition]
    log: PredictionLog
    batch_size: int
    num_frames: int
    size: int
    advance: Callable[[int], None]
    shard: Shard = WHOLE
    num_workers: int = 2

    def batches(self) -> list[Sequence[Example]]:
        """Return the batches of this shard."""
        cut = cut_batches(self.task.examples, self.batch_size)
        return [batch for number, batch in enumerate(cut) if self.shard.owns(number)]

    @property
    def num_answers(self) -> int:
        """Return how many answers there will be."""
        return sum(map(len, self.batches())) * len(self.conditions)

    def run(self, stopwatch: Stopwatch) -> None:
        """Answer everything of this shard that the log does not hold.

        Args:
            stopwatch: Is told what was done.
        """
        waiting: list[Sequence[Example]] = []
        for batch in self.batches():
            if self._missing(batch):
                waiting.append(batch)
            else:
                self.advance(len(batch) * len(self.conditions))
        with ClipLoader(self._load, num_workers=self.num_workers) as loader:
            loader.want(_videos(waiting[0]) if waiting else ())
            for batch, following in pairwise([*waiting, ()]):
                loader.want(_videos(following))
                self._run_batch(batch, loader, stopwatch)
                loader.keep_only(_videos(following))

    def _run_batch(
        self, batch: Sequence[Example], loader: ClipLoader, stopwatch: Stopwatch
    ) -> None:
        started = time.perf_counter()
        loaded = {video: loader.get(video) for video in _videos(batch)}
        stopwatch.waited(time.perf_counter() - started)
        shown: list[tuple[Example, Clip]] = []
        failed: list[tuple[Example, str]] = []
        for example in batch:
            clip, error = loaded[example.video].clip, loaded[example.video].error
            try:
                if clip is not None:
                    shown.append((place_subtitles(example, clip), clip))
            except DataError as caught:
                error = " ".join(str(caught).split())
            if error:
                failed.append((example, error))
        missing = self._missing(batch)
        self.advance(len(batch) * (len(self.conditions) - len(missing)))
        for condition in missing:
            by_name = self._answer(condition, shown, loaded, stopwatch) if shown else {}
            for example, error in failed:
                by_name[example.id] = Prediction.of_failure(
                    example, error, task=self.task.name, condition=condition.name
                )
            self.log.add(by_name[example.id] for example in batch)
            self.advance(len(batch))

    def _load(self, video: str) -> Clip:
        return self.task.load_clip(video, num_frames=self.num_frames, size=self.size)

    def _missing(self, batch: Sequence[Example]) -> list[Condition]:
        return [
            condition
            for condition in self.conditions
            if any((self.task.name, condition.name, one.id) not in self.log for one in batch)
        ]

    def _answer(
        self,
        condition: Condition,
        shown: Sequence[tuple[Example, Clip]],
        loaded: dict[str, Loaded],
        stopwatch: Stopwatch,
    ) -> dict[str, Prediction]:
        started = time.perf_counter()
        examples = [example for example, _ in shown]
        replies = condition.answer(examples, [clip for _, clip in shown])
        stopwatch.answered(
            [(self.task.name, condition.name, example.id) for example in examples],
            time.perf_counter() - started,
            {example.id: loaded[example.video].seconds for example in examples},
        )
        return {
            example.id: Prediction.of(
                example,
                reply,
                self.spec.score(reply.output, example),
                task=self.task.name,
                condition=condition.name,
            )
            for example, reply in zip(examples, replies, strict=True)
        }


def _videos(batch: Sequence[Example]) -> list[str]:
    return list(dict.fromkeys(example.video for example in batch))
