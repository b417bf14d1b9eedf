"""A question on its way through the engine, and the events that come back.

The engine's worker writes events, the asker reads them from another thread or event loop. A job
ends once, with `Done` or `Failed`; whatever is written after that is dropped.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from videollm.serve.frames import FrameStrip
from videollm.serve.questions import Asked
from videollm.serve.stop_words import StopWords

__all__ = ["Done", "Event", "FailKind", "Failed", "Job", "Piece", "Seen", "Waiting"]

POLL_SECONDS = 0.2
"""How often a waiting asker looks again at its place in the queue."""

FailKind = Literal["request", "video", "time", "model", "server"]


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
        stopped: Whether the asker stopped it before its end; the costs are then unknown.
        frames: Frames that the model saw.
        visual_tokens: Tokens that the video took of the language model's context.
        prompt_tokens: All tokens of the prompt.
        answer_tokens: Tokens of the answer.
        first_token_seconds: From the moment the model had the frames to its first token.
        total_seconds: From the same moment to the end of the answer.
        is_cut: Whether the answer ran into its longest length.
    """

    stopped: bool = False
    frames: int = 0
    visual_tokens: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    first_token_seconds: float = 0.0
    total_seconds: float = 0.0
    is_cut: bool = False


@dataclass(frozen=True)
class Failed:
    """Close an answer that could not be given.

    Args:
        message: One sentence for the asker.
        kind: What is to blame.
    """

    message: str
    kind: FailKind = "server"


Event = Waiting | Seen | Piece | Done | Failed


class Job:
    """One question on its way; iterate it, once, for its events. A listener of its answer.

    Args:
        question: What is asked.
        reason: Returns one sentence that says why the job waits, None while it does not.
        asker: Who asks; the queue is fair among askers.
        longest_seconds: From now to the end of the answer, above 0; then it fails.
        hear: Is given the events, on the worker's thread, in the place of whoever iterates.
        watch: Is given them before.
    """

    def __init__(
        self,
        question: Asked,
        reason: Callable[["Job"], str | None],
        *,
        asker: str = "",
        longest_seconds: float = 600.0,
        hear: Callable[[Event], None] | None = None,
        watch: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.question = question
        self.asker = asker
        self._reason = reason
        self._longest_seconds = longest_seconds
        self._until = time.monotonic() + longest_seconds
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._hear = hear or self._events.put
        self._watch = watch
        self._lock = threading.Lock()
        self._ended = False
        self._stop_words = StopWords(question.stop)

    def __iter__(self) -> Iterator[Event]:
        told: str | None = None
        while True:
            try:
                event = self._events.get(timeout=POLL_SECONDS)
            except queue.Empty:
                reason = self.look()
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

    def look(self) -> str | None:
        """Return why the job waits, None while it does not; ends it if its time is over."""
        self._expire()
        return None if self._ended else self._reason(self)

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
            self._watch(event)
            self._hear(event)
            return True

    def add(self, text: str) -> None:
        """Pass on the next piece of the answer, but nothing from a stop word on.

        Args:
            text: The piece.
        """
        self._pass_on(self._stop_words.add(text))

    def flush(self) -> None:
        """Pass on what looked like the beginning of a stop word and is none."""
        self._pass_on(self._stop_words.rest())

    def is_over(self) -> bool:
        """Return whether nothing more of the answer is wanted."""
        self._expire()
        return self._ended or self._stop_words.found

    @property
    def met_stop_word(self) -> bool:
        """Return whether a stop word ended the answer."""
        return self._stop_words.found

    def stop(self) -> None:
        """End the job now; the worker lets go of it at its next token at the latest."""
        self.emit(Done(stopped=True))

    def _pass_on(self, text: str) -> None:
        if text:
            self.emit(Piece(text))

    def _expire(self) -> None:
        if not self._ended and time.monotonic() > self._until:
            message = (
                f"the answer took longer than the {self._longest_seconds:g} s that one may take: "
                "ask for a shorter one, or again when less is going on"
            )
            self.emit(Failed(message, "time"))
