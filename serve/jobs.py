"""A question on its way through the engine, and the events that come back.

The engine's worker writes events, the asker reads them from another thread. A job ends once,
with `Done` or `Failed`; whatever is written after that is dropped.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from videollm.serve.frames import FrameStrip

__all__ = ["Done", "Event", "Failed", "Job", "Piece", "Question", "Seen", "Waiting"]

POLL_SECONDS = 0.2
"""How often a waiting asker looks again at its place in the queue."""


@dataclass(frozen=True)
class Question:
    """Hold everything that one answer depends on.

    Args:
        video: The file to look at.
        text: The question.
        history: Earlier turns, oldest first, as role and content.
        num_frames: Frames sampled evenly from the video, at least 1.
        max_new_tokens: The longest answer, in tokens.
        temperature: 0 always takes the likeliest token; higher values vary the answer.
        seed: Which of the varied answers, where temperature is above 0.
    """

    video: Path
    text: str
    history: tuple[dict[str, str], ...] = ()
    num_frames: int = 16
    max_new_tokens: int = 64
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Waiting:
    """Say why nothing comes yet.

    Args:
        reason: One sentence for the asker.
    """

    reason: str


@dataclass(frozen=True)
class Seen:
    """Show the frames that the model is given.

    Args:
        strip: The frames with their times.
    """

    strip: FrameStrip


@dataclass(frozen=True)
class Piece:
    """Carry the next piece of the answer.

    Args:
        text: To be appended to what came before.
    """

    text: str


@dataclass(frozen=True)
class Done:
    """Close an answer and say what it cost.

    Args:
        stopped: Whether it was stopped before its end; the costs are then unknown.
        frames: Frames that the model saw.
        visual_tokens: Tokens that the video took of the language model's context.
        answer_tokens: Tokens of the answer.
        first_token_seconds: From the moment the model had the frames to its first token.
        total_seconds: From the same moment to the end of the answer.
    """

    stopped: bool = False
    frames: int = 0
    visual_tokens: int = 0
    answer_tokens: int = 0
    first_token_seconds: float = 0.0
    total_seconds: float = 0.0


@dataclass(frozen=True)
class Failed:
    """Close an answer that could not be given.

    Args:
        message: One sentence for the asker.
    """

    message: str


Event = Waiting | Seen | Piece | Done | Failed


class Job:
    """One question on its way; iterate it, once, for its events.

    Args:
        question: What is asked.
        reason: Returns one sentence that says why the job waits, None while it does not.
    """

    def __init__(self, question: Question, reason: Callable[["Job"], str | None]) -> None:
        self.question = question
        self._reason = reason
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._ended = False

    def __iter__(self) -> Iterator[Event]:
        told: str | None = None
        while True:
            try:
                event = self._events.get(timeout=POLL_SECONDS)
            except queue.Empty:
                reason = self._reason(self)
                if reason is not None and reason != told:
                    told = reason
                    yield Waiting(reason)
                continue
            yield event
            if isinstance(event, Done | Failed):
                return

    @property
    def ended(self) -> bool:
        """Return whether the last event has been written."""
        return self._ended

    def emit(self, event: Event) -> bool:
        """Write an event for the asker.

        Args:
            event: What happened.

        Returns:
            False where the job had already ended: the event is dropped and work can stop.
        """
        with self._lock:
            if self._ended:
                return False
            self._ended = isinstance(event, Done | Failed)
            self._events.put(event)
            return True

    def stop(self) -> None:
        """End the job now; the worker lets go of it at its next piece at the latest."""
        self.emit(Done(stopped=True))
