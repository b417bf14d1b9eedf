"""From a question and its history to the messages of one chat with one video."""

from collections.abc import Sequence

from videollm.errors import RequestError
from videollm.processor import Message

__all__ = ["build_messages", "check_question"]


def check_question(question: str) -> str:
    """Return the question without outer white space.

    Raises:
        RequestError: Nothing is left.
    """
    stripped = question.strip()
    if not stripped:
        raise RequestError("the question is empty: ask something, for example 'What happens?'")
    return stripped


def build_messages(
    question: str, history: Sequence[Message] | None, *, has_video: bool
) -> list[Message]:
    """Return the chat's messages with the video in the first user turn.

    Args:
        question: The new question.
        history: Earlier turns, {"role": "user" | "assistant", "content": text}, user first,
            in turns.
        has_video: Put the video part into the first user turn.

    Raises:
        RequestError: The question is empty, or roles do not alternate.
    """
    turns = [*(history or ()), {"role": "user", "content": check_question(question)}]
    for index, turn in enumerate(turns):
        expected = ("user", "assistant")[index % 2]
        if turn.get("role") != expected:
            raise RequestError(
                f"turn {index} of the history has role {turn.get('role')!r}, expected "
                f"{expected!r}: turns go user, assistant, user, ..."
            )
    messages = [{"role": turn["role"], "content": turn["content"]} for turn in turns]
    if has_video:
        messages[0]["content"] = [
            {"type": "video"},
            {"type": "text", "text": messages[0]["content"]},
        ]
    return messages
