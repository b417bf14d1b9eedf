"""What can be asked of the engine: a question about a file, a chat, a moment of a stream.

The core's modules that load transformers are imported on the engine's worker: the page does not
wait for them.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from videollm.frame_options import MAX_FRAMES

if TYPE_CHECKING:
    from videollm.generate import Generation
    from videollm.streaming import StreamSession

__all__ = ["Asked", "Chat", "Exchange", "LiveQuestion", "Media", "Question", "Wish"]

Message = dict[str, Any]


@dataclass(frozen=True)
class Wish:
    """Hold how to answer, as `videollm.generate.Generation` takes it.

    Args:
        max_new_tokens: The longest answer, in tokens, at least 1.
        temperature: 0 always takes the likeliest token; higher values vary the answer.
        seed: Which of the varied answers.
        top_p: Share of the likeliest tokens that are drawn from, above 0 to 1.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    seed: int = 0
    top_p: float = 1.0

    @property
    def generation(self) -> "Generation":
        """The same for the model."""
        from videollm.generate import Generation

        return Generation(**asdict(self))


@dataclass(frozen=True)
class Media:
    """Hold a file and which of its frames the model sees.

    Args:
        path: A video or a picture.
        num_frames: Frames spread evenly, at least 1; None is the model's own number.
        fps: Frames a second instead.
    """

    path: Path
    num_frames: int | None = None
    fps: float | None = None

    def options(self, default_frames: int) -> dict[str, Any]:
        """Return the options of `load_clip`.

        Args:
            default_frames: The model's own number.
        """
        if self.fps is not None:
            return {"fps": self.fps, "max_frames": MAX_FRAMES}
        return {"num_frames": default_frames if self.num_frames is None else self.num_frames}


class Asked(Protocol):
    """What the engine needs to know of a question."""

    @property
    def text(self) -> str:
        """The question itself."""

    @property
    def stop(self) -> Sequence[str]:
        """Words before which the answer ends."""

    @property
    def wish(self) -> Wish:
        """How to answer."""


@dataclass(frozen=True)
class Exchange:
    """Hold a question that was answered.

    Args:
        video: The file that it was about.
        question: The question.
        answer: Its answer.
    """

    video: Path
    question: str
    answer: str


@dataclass(frozen=True)
class Question:
    """Hold everything that one answer about a file depends on.

    A video is shown to the model in the turn that is the first about it, and again where the talk
    comes back to it after another.

    Args:
        video: The file to look at.
        text: The question.
        history: Earlier turns, oldest first.
        num_frames: Frames sampled evenly from the video, at least 1.
        max_new_tokens: The longest answer, in tokens.
        temperature: 0 always takes the likeliest token; higher values vary the answer.
        seed: Which of the varied answers, where temperature is above 0.
        system: The system message; empty is the model's own.
        fps: Frames a second instead of `num_frames`; 0 is not so.
        tokens_per_frame: Visual tokens for each token frame; None is the model's own number.
    """

    video: Path
    text: str
    history: tuple[Exchange, ...] = ()
    num_frames: int = 16
    max_new_tokens: int = 64
    temperature: float = 0.0
    seed: int = 0
    system: str = ""
    fps: float = 0.0
    tokens_per_frame: int | None = None

    stop = ()
    shows_frames = True

    @property
    def wish(self) -> Wish:
        """How to answer."""
        return Wish(self.max_new_tokens, self.temperature, self.seed)

    @property
    def messages(self) -> list[Message]:
        """The chat with its videos, each in the turn that turns to it."""
        from videollm.prompting import check_question

        chat: list[Message] = [{"role": "system", "content": self.system}] if self.system else []
        shown: Path | None = None
        for turn in self.history:
            chat.append(_asking(turn.question, shows=turn.video != shown))
            chat.append({"role": "assistant", "content": turn.answer})
            shown = turn.video
        return [*chat, _asking(check_question(self.text), shows=self.video != shown)]

    @property
    def media(self) -> tuple[Media, ...]:
        """The videos of the chat, in the order in which they are shown; the question's is last."""
        videos = [*(turn.video for turn in self.history), self.video]
        return tuple(
            Media(video, self.num_frames, self.fps or None) for video, _ in groupby(videos)
        )


@dataclass(frozen=True)
class Chat:
    """Hold a chat with any number of videos and pictures.

    Args:
        messages: As `videollm.conversation.Conversation` takes them.
        media: The files of their video parts, in order.
        wish: How to answer.
        stop: Words before which the answer ends, none of them empty.
        tokens_per_frame: As in `Question`.
    """

    messages: Sequence[Message]
    media: tuple[Media, ...] = ()
    wish: Wish = Wish()
    stop: tuple[str, ...] = ()
    tokens_per_frame: int | None = None

    shows_frames = False

    @property
    def text(self) -> str:
        """The last message's words."""
        content = self.messages[-1]["content"] if self.messages else ""
        if isinstance(content, str):
            return content
        return "\n".join(part["text"] for part in content if part["type"] == "text")


@dataclass(frozen=True)
class LiveQuestion:
    """Hold a question about what a stream has shown until now.

    Args:
        session: The stream.
        text: The question.
        wish: How to answer.
        stop: Words before which the answer ends, none of them empty.
    """

    session: "StreamSession"
    text: str
    wish: Wish = Wish()
    stop: tuple[str, ...] = ()


def _asking(text: str, *, shows: bool) -> Message:
    """Return a user's message, with a video before its words or without."""
    if not shows:
        return {"role": "user", "content": text}
    return {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": text}]}
