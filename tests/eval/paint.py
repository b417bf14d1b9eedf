"""A benchmark of grey clips and a model that answers at once, for tests of the runner."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import torch
from torch import nn

from videollm.clip import Clip
from videollm.eval.open_ended import score_open_answer
from videollm.eval.settings import EvalSettings
from videollm.eval.task import Example, TaskSpec

WORDS = ("red", "blue", "left", "right", "")


class PaintTask:
    """Clips whose frame t is a grey of its own, and three questions about each."""

    name = "paint"

    def __init__(self, settings: EvalSettings) -> None:
        families = [f for f in SPEC.families if f in (settings.families or SPEC.families)]
        self.examples: Sequence[Example] = [
            Example(
                id=f"{number}",
                family=families[number % len(families)],
                video=f"clip{number // 3}",
                question=f"{SPEC.split_of(settings)} question {number}?",
                answer=WORDS[(number * 7 + settings.seed) % 4],
                aliases=("crimson",) if number % 2 else (),
            )
            for number in range(settings.limit or 10)
        ]

    def describe_clips(self) -> Mapping[str, object]:
        return {"source": "paint"}

    def load_clip(self, video: str, *, num_frames: int, size: int) -> Clip:
        number = int(video.removeprefix("clip"))
        greys = (torch.arange(num_frames) + 20 * number) % 256
        frames = greys[:, None, None, None].expand(-1, 3, size, size).to(torch.uint8)
        return Clip(frames.contiguous(), torch.arange(num_frames, dtype=torch.float64) / 4 + number)

    def majority_answers(self) -> Mapping[str, str]:
        return {"colour": "red", "motion": "left"}


SPEC = TaskSpec(
    name="paint",
    splits=("val", "test_iid"),
    families=("colour", "motion"),
    build=PaintTask,
    score=score_open_answer,
    default_split="test_iid",
    average="families",
)


def sum_up(clip: Clip) -> int:
    """Return a number that depends on every frame and on their order."""
    return int(clip.frames[:, 0, 0, 0].long() @ torch.arange(1, len(clip) + 1))


class FakeModel:
    """Answer from what is shown and from who else is in the batch; remember every call.

    An answer that depends on its whole batch, as padding makes a real one, shows whether an
    interrupted run asks the same batches again.
    """

    def __init__(self, *, fail_at: int | None = None, weight: float = 1.0) -> None:
        self.calls: list[tuple[list[Clip | None], list[str]]] = []
        self.fail_at = fail_at
        self.device = torch.device("cpu")
        self.model = nn.Sequential(nn.Linear(2, 2, bias=False))
        nn.init.constant_(self.model[0].weight, weight)
        self.config = SimpleNamespace(to_dict=lambda: {"hidden_size": 2})
        self.processor = SimpleNamespace(
            num_frames=6, image_size=4, render=lambda messages, *_, **__: str(messages)
        )

    def batch(
        self,
        videos: list[Clip | None],
        questions: list[str],
        *,
        max_new_tokens: int = 32,
        batch_size: int = 8,
    ) -> list[str]:
        if len(self.calls) == self.fail_at:
            raise KeyboardInterrupt
        self.calls.append((videos, questions))
        company = sum(map(len, questions))
        shown = [
            0 if v is None else int(v.frames[:, 0, 0, 0].to(int) @ torch.arange(len(v)))
            for v in videos
        ]
        return [
            f"The {WORDS[(company + value + len(question)) % len(WORDS)]}"
            for value, question in zip(shown, questions, strict=True)
        ]


class Silence:
    """A progress that adds up what it hears."""

    def __init__(self) -> None:
        self.total = 0
        self.done = 0

    def begin(self, total: int) -> None:
        self.total = total

    def advance(self, count: int) -> None:
        self.done += count
