"""The settings of one evaluation: what is asked of whom, and how.

Two runs with equal settings on the same model ask the same questions in the same batches; that
is why an interrupted run may go on only where its settings are the same. Where results are
written is not a setting.
"""

import math
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

from videollm.errors import RequestError
from videollm.eval.shards import WHOLE, Shard
from videollm.memory import MemoryOptions

__all__ = [
    "BASELINES",
    "MODEL_CONDITION",
    "SCORINGS",
    "EvalSettings",
    "RunOptions",
    "reject_unknown",
]

MODEL_CONDITION = "model"
SCORINGS = ("generate", "likelihood")
BASELINES = ("blind", "single_frame", "shuffled", "majority")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSettings:
    """Hold the settings of one evaluation.

    Args:
        model: Name or folder of the model.
        adapter: Folder of a LoRA adapter to load onto it, or None.
        quantization: Of the language model: "nf4" (4 bits), "int8", or None.
        tasks: Names of benchmarks, or paths of a user's own `.jsonl` or `.yaml`; at least one.
        split: Which of a task's splits is asked; None for its own.
        limit: Questions per task, at least 1; None for as many as the task offers (toyworld: 500).
        baselines: Conditions to measure beside the model, any of `BASELINES`.
        families: Question families to keep; empty keeps all.
        questions_per_video: Questions about one clip, at least 1.
        choice_fraction: Share of multiple-choice questions about drawn clips, 0 to 1.
        num_frames: Frames per clip, at least 1; None takes the model's own number.
        fps: Frames a second instead, of tasks that read videos; above 0.
        sampling: Policy for videos, one of `videollm.sampling.POLICIES`; None as `choose_policy`.
        batch_size: Questions answered at once, at least 1.
        max_new_tokens: Longest answer in tokens, at least 1; None for the task's own.
        scoring: "generate" reads the answer from text, "likelihood" takes the likeliest choice.
        minutes: Lengths of the videos of `needle`, in minutes, above 0.
        depths: Places of a needle in videos of each length, from 0 to 100 %, at least 2.
        budget_tokens: Visual tokens that are held of a video that is watched as a stream.
        policies: What becomes of the past of such a video, of
            `videollm.memory_policies.POLICY_NAMES`: the first is the model's, the others stand
            beside it.
        seed: Seed of everything drawn: clips, questions, shuffling, intervals; at least 0.
        mp4: Whether drawn clips are written as H.264 files and read back.
        annotations: Folder that holds the annotation files of benchmarks.
        videos: Folder that holds their videos.
        device: Where the model runs, as `videollm.runtime.pick_device` takes it.
        dtype: In what it computes, as `videollm.runtime.pick_dtype` takes it.

    Raises:
        RequestError: A number is too small, a list is empty, or a baseline is unknown.
    """

    model: str = "demo"
    adapter: str | None = None
    quantization: str | None = None
    tasks: tuple[str, ...] = ("toyworld",)
    split: str | None = None
    limit: int | None = None
    baselines: tuple[str, ...] = BASELINES
    families: tuple[str, ...] = ()
    questions_per_video: int = 5
    choice_fraction: float = 0.0
    num_frames: int | None = None
    fps: float | None = None
    sampling: str | None = None
    batch_size: int = 8
    max_new_tokens: int | None = None
    scoring: str = "generate"
    minutes: tuple[float, ...] = (1.0, 10.0, 60.0)
    depths: int = 5
    budget_tokens: int = MemoryOptions().budget_tokens
    policies: tuple[str, ...] = (MemoryOptions().policy,)
    seed: int = 0
    mp4: bool = False
    annotations: str = "data/annotations"
    videos: str = "data/videos"
    device: str = "auto"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        """Refuse values that no run can have."""
        for option in ("limit", "questions_per_video", "num_frames", "batch_size"):
            self._require_at_least(option, 1)
        self._require_at_least("max_new_tokens", 1)
        self._require_at_least("seed", 0)
        if not 0 <= self.choice_fraction <= 1:
            raise RequestError(f"--choice-fraction {self.choice_fraction} is no share; give 0 to 1")
        if not self.tasks:
            raise RequestError("--tasks names nothing; name at least one task, such as toyworld")
        for option in ("tasks", "families", "baselines", "minutes", "policies"):
            self._refuse_repeats(option)
        self._require_at_least("depths", 2)
        if not self.minutes or not all(0 < length < math.inf for length in self.minutes):
            raise RequestError(f"--minutes {_joined(self.minutes)}: give lengths above 0")
        for policy in self.policies:
            MemoryOptions(budget_tokens=self.budget_tokens, policy=policy)
        if not self.policies:
            raise RequestError("--policies names nothing; name at least one, such as merge")
        for baseline in self.baselines:
            reject_unknown("baseline", baseline, BASELINES)
        reject_unknown("scoring", self.scoring, SCORINGS)
        if self.fps is not None and (self.num_frames is not None or not self.fps > 0):
            raise RequestError(
                f"--fps {self.fps} must be above 0 and goes with no --num-frames; give one of them"
            )

    @property
    def conditions(self) -> tuple[str, ...]:
        """Return the model's own condition and then the baselines, in a fixed order."""
        return (MODEL_CONDITION, *(name for name in BASELINES if name in self.baselines))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON holds them, lists for tuples."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    def _require_at_least(self, option: str, smallest: int) -> None:
        value = getattr(self, option)
        if value is not None and value < smallest:
            flag = f"--{option.replace('_', '-')}"
            raise RequestError(f"{flag} {value} is too small; give at least {smallest}")

    def _refuse_repeats(self, option: str) -> None:
        values: tuple[object, ...] = getattr(self, option)
        for value in values:
            if values.count(value) > 1:
                raise RequestError(f"--{option} names {value} twice; name each once")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Hold what decides how a run goes and not what is predicted.

    Args:
        shard: Which part of the run this process does.
        decode_workers: Clips decoded at once, ahead of the model, at least 1.
        max_failed: Share of a task's items that may fail before the run does, from 0 to 1.
        judge: Address of an OpenAI-compatible endpoint (".../v1"), "self" for the model that is
            evaluated, or None for no judge.
        judge_model: What the endpoint calls the judge.
        judge_seconds: How long it may take over one reply, above 0.

    Raises:
        RequestError: A number is out of its range, or the judge has no model.
    """

    shard: Shard = WHOLE
    decode_workers: int = 2
    max_failed: float = 0.01
    judge: str | None = None
    judge_model: str | None = None
    judge_seconds: float = 60.0

    def __post_init__(self) -> None:
        """Refuse values that no run can have."""
        if self.decode_workers < 1:
            raise RequestError(f"--decode-workers {self.decode_workers} is too small; give 1")
        if not 0 <= self.max_failed <= 1:
            raise RequestError(f"--max-failed {self.max_failed} is no share; give 0 to 1")
        if not self.judge_seconds > 0:
            raise RequestError(f"--judge-seconds {self.judge_seconds} must be above 0")
        if self.judge not in (None, "self"):
            if not str(self.judge).startswith(("http://", "https://")):
                raise RequestError(
                    f"--judge {self.judge} is no address; give http(s)://.../v1, or self"
                )
            if not self.judge_model:
                raise RequestError("--judge needs --judge-model, the name that its server knows")


def _joined(values: tuple[object, ...]) -> str:
    return ",".join(map(str, values))


def reject_unknown(kind: str, name: str, known: tuple[str, ...]) -> None:
    """Refuse a name that is not known, with the nearest ones.

    Args:
        kind: What the name stands for, in the singular ("task").
        name: The name as it was given.
        known: The names that are allowed.

    Raises:
        RequestError: `name` is not in `known`.
    """
    if name in known:
        return
    nearest = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(nearest)}? " if nearest else ""
    raise RequestError(f"unknown {kind} '{name}'; {hint}choose from {', '.join(known)}")
