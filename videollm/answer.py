"""An answer: the text with all that is known about it, and its stream of pieces."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from videollm.encoder.kernels import resolve_backend

__all__ = ["Answer", "AnswerRecord", "AnswerStream", "Record"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One answer and how it came about.

    Args:
        answer: The text.
        model: Name of the model.
        frames: The frames that the model saw: `index` among them, and `seconds` in the video.
        visual_tokens: Visual tokens in the prompt.
        timings: Seconds: `decode` (read and resize), `encode` (features), `first_token` and
            `total`, the last two from the call on.
        device: Where the model ran.
        scan_backend: Scan of the encoder's Mamba layers.
        video_backend: What decoded the frames, with its version; `none` if nothing was decoded.
        warnings: What was not in order with the video and how it was repaired.
    """

    answer: str
    model: str
    frames: list[dict[str, float | int]]
    visual_tokens: int
    timings: dict[str, float]
    device: str
    scan_backend: str
    video_backend: str
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values: those that the command line promises.

        `warnings` is there only where there are some.
        """
        fields = asdict(self)
        del fields["video_backend"]
        if not fields["warnings"]:
            del fields["warnings"]
        return fields


class Seen(Protocol):
    """What an answer says of a clip."""

    @property
    def pts_seconds(self) -> Tensor:
        """Times of the frames."""

    @property
    def backend(self) -> str:
        """What decoded them."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was not in order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerRecord:
    """What is known before the text is: becomes the Answer once it is complete.

    Args:
        model: Name of the model.
        device: Where it runs.
        clips: The clips as the model saw them, or what is known of them.
        visual_tokens: Visual tokens in the prompt.
        start: The clock when the question came.
        spans: Seconds that decoding and encoding took.
        marks: Receives "first_token", the clock when the first token was there.
    """

    model: str
    device: torch.device
    clips: Sequence[Seen]
    visual_tokens: int
    start: float
    spans: dict[str, float]
    marks: dict[str, float]

    def finish(self, text: str) -> Answer:
        """Return the answer with this text, finished now."""
        end = time.perf_counter()
        seconds = [second for clip in self.clips for second in clip.pts_seconds.tolist()]
        timings = {
            **self.spans,
            "first_token": self.marks.get("first_token", end) - self.start,
            "total": end - self.start,
        }
        return Answer(
            answer=text.strip(),
            model=self.model,
            frames=[
                {"index": index, "seconds": round(second, 6)}
                for index, second in enumerate(seconds)
            ],
            visual_tokens=self.visual_tokens,
            timings={name: round(value, 4) for name, value in timings.items()},
            device=str(self.device),
            scan_backend=resolve_backend("auto", self.device),
            video_backend=", ".join(sorted({clip.backend for clip in self.clips})) or "none",
            warnings=tuple(word for clip in self.clips for word in clip.warnings),
        )


Whole = TypeVar("Whole", covariant=True)


class Record(Protocol[Whole]):
    """What is known of an answer before its text is."""

    def finish(self, text: str) -> Whole:
        """Return all that is known, with this text."""


class AnswerStream(Iterator[str], Generic[Whole]):
    """The pieces of an answer as they are generated; `close` stops it.

    Once exhausted, `answer` holds all that is known about the answer.
    """

    def __init__(self, pieces: Iterator[str], record: Record[Whole]) -> None:
        self._pieces = pieces
        self._record = record
        self._texts: list[str] = []
        self.answer: Whole | None = None

    def __next__(self) -> str:
        try:
            piece = next(self._pieces)
        except StopIteration:
            if self.answer is None:
                self.answer = self._record.finish("".join(self._texts))
            raise
        self._texts.append(piece)
        return piece

    def close(self) -> None:
        """Stop generating; what was yielded so far stands."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()
        if self.answer is None:
            self.answer = self._record.finish("".join(self._texts))

    def finish(self) -> Whole:
        """Generate the rest and return all that is known about the answer."""
        for _ in self:
            pass
        assert self.answer is not None
        return self.answer
