"""Ask about videos that are watched as streams: each once, for all its questions and policies.

A video's frames are drawn, encoded and forgotten; every policy of memory is given the same tokens.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import torch

from videollm.clip import Clip
from videollm.eval.conditions import Condition, Reply, messages_of
from videollm.eval.predictions import Prediction, PredictionLog
from videollm.eval.settings import MODEL_CONDITION, EvalSettings
from videollm.eval.shards import WHOLE, Shard
from videollm.eval.stopwatch import Stopwatch
from videollm.eval.task import Example, StreamedTask, TaskSpec
from videollm.long_video import DEFAULT_FPS

if TYPE_CHECKING:
    from videollm.api import VideoLLM
    from videollm.streaming import StreamSession

__all__ = ["StreamRunner"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRunner:
    """Run one task of streams.

    Args:
        task: Supplies examples and videos.
        spec: Supplies the scoring rule and the names of the conditions.
        model: Who watches.
        settings: Budget and policies.
        baselines: Who answers without watching.
        log: Where predictions go; what it holds already is not written again.
        max_new_tokens: Longest answer in tokens.
        advance: Is told how many answers were dealt with since the last call.
        shard: Which videos are this run's.
    """

    task: StreamedTask
    spec: TaskSpec
    model: "VideoLLM"
    settings: EvalSettings
    baselines: Sequence[Condition]
    log: PredictionLog
    max_new_tokens: int
    advance: Callable[[int], None]
    shard: Shard = WHOLE

    @property
    def num_answers(self) -> int:
        """Return how many answers there will be."""
        return sum(map(len, self.batches())) * len(self.spec.conditions_of(self.settings))

    def batches(self) -> list[Sequence[Example]]:
        """Return the questions of this shard, those about one video together."""
        videos = groupby(self.task.examples, key=lambda example: example.video)
        return [tuple(own) for number, (_, own) in enumerate(videos) if self.shard.owns(number)]

    def run(self, stopwatch: Stopwatch) -> None:
        """Answer everything of this shard that the log does not hold.

        Args:
            stopwatch: Is told what was done.
        """
        names = self.spec.conditions_of(self.settings)
        for examples in self.batches():
            missing = [name for name in names if self._is_missing(name, examples)]
            self.advance(len(examples) * (len(names) - len(missing)))
            started = time.perf_counter()
            sessions = self._watch(examples[0].video, missing)
            watched = time.perf_counter() - started
            stopwatch.waited(watched)
            for name in missing:
                self._ask(name, examples, sessions.get(name), stopwatch, watched)
                self.advance(len(examples))

    def _is_missing(self, condition: str, examples: Sequence[Example]) -> bool:
        return any((self.task.name, condition, one.id) not in self.log for one in examples)

    def _watch(self, video: str, conditions: Sequence[str]) -> "dict[str, StreamSession]":
        """Return what each policy of memory holds of a video at its end."""
        policies = self.settings.policies
        sessions = {
            name: self.model.stream(
                budget_tokens=self.settings.budget_tokens,
                policy=policies[0] if name == MODEL_CONDITION else name,
            )
            for name in conditions
            if name == MODEL_CONDITION or name in policies
        }
        first, *others = sessions.values() or [None]
        if first is not None:
            fps = self.settings.fps or DEFAULT_FPS
            for clip in self.task.stream(video, fps=fps, size=self.model.processor.image_size):
                first.push(clip.frames, clip.pts_seconds, others=[one for one in others if one])
        return sessions

    def _ask(
        self,
        condition: str,
        examples: Sequence[Example],
        session: "StreamSession | None",
        stopwatch: Stopwatch,
        watched_seconds: float,
    ) -> None:
        started = time.perf_counter()
        if session is None:
            baseline = next(one for one in self.baselines if one.name == condition)
            replies = baseline.answer(examples, [_NO_CLIP] * len(examples))
        else:
            replies = [self._answer(session, example) for example in examples]
        stopwatch.answered(
            [(self.task.name, condition, example.id) for example in examples],
            time.perf_counter() - started,
            {example.id: watched_seconds / len(examples) for example in examples},
        )
        self.log.add(
            Prediction.of(
                example,
                reply,
                self.spec.score(reply.output, example),
                task=self.task.name,
                condition=condition,
            )
            for example, reply in zip(examples, replies, strict=True)
        )

    def _answer(self, session: "StreamSession", example: Example) -> Reply:
        answer = session.answer(
            example.question, history=messages_of(example), max_new_tokens=self.max_new_tokens
        )
        return Reply(answer.answer, ())


_NO_CLIP = Clip(torch.zeros(1, 3, 1, 1, dtype=torch.uint8), torch.zeros(1, dtype=torch.float64))
"""Stands for a video where it is not looked at."""
