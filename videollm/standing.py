"""Standing questions: asked again and again in a stream, heard of when the answer changes."""

from collections.abc import Callable
from dataclasses import dataclass, field

from videollm.errors import RequestError
from videollm.prompting import check_question
from videollm.stream_record import StreamAnswer

__all__ = ["StandingQuestions"]


@dataclass(kw_only=True, slots=True)
class _Standing:
    question: str
    every_seconds: float
    on_change: Callable[[StreamAnswer], None]
    next_seconds: float = float("-inf")
    last_answer: str | None = field(default=None)


class StandingQuestions:
    """Keep the questions, and say which is due."""

    def __init__(self) -> None:
        self._questions: dict[str, _Standing] = {}

    def __len__(self) -> int:
        return len(self._questions)

    def add(
        self, question: str, every_seconds: float, on_change: Callable[[StreamAnswer], None]
    ) -> None:
        """Let a question stand.

        Args:
            question: What to ask.
            every_seconds: How often, in seconds of the stream, above 0.
            on_change: Is given every answer that differs from the one before, the first included.

        Raises:
            RequestError: The question is empty or stands already, or the time is out of range.
        """
        question = check_question(question)
        if question in self._questions:
            raise RequestError(f"{question!r} stands already: take it back first")
        if not 0 < every_seconds < float("inf"):
            raise RequestError(f"every_seconds is {every_seconds}; it is above 0")
        self._questions[question] = _Standing(
            question=question, every_seconds=every_seconds, on_change=on_change
        )

    def remove(self, question: str) -> None:
        """Take a question back.

        Raises:
            RequestError: It does not stand.
        """
        if self._questions.pop(question.strip(), None) is None:
            raise RequestError(f"{question!r} does not stand; there are {list(self._questions)}")

    def check(self, now_seconds: float, answer: Callable[[str], StreamAnswer | None]) -> None:
        """Ask what is due, and pass on the answers that changed.

        Args:
            now_seconds: Time of the last frame.
            answer: Answers a question; None while the model is busy: it is asked again next time.
        """
        for standing in list(self._questions.values()):
            if now_seconds < standing.next_seconds:
                continue
            found = answer(standing.question)
            if found is None:
                continue
            standing.next_seconds = now_seconds + standing.every_seconds
            if found.answer != standing.last_answer:
                standing.last_answer = found.answer
                standing.on_change(found)
