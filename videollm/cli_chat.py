"""A conversation about a video in the terminal: streamed answers, three slash commands."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from videollm.errors import VideoLLMError

if TYPE_CHECKING:
    from videollm.api import VideoLLM

__all__ = ["TerminalChat", "read_lines"]

_HELP = "/video PATH chooses a video, /reset forgets what was said, /quit ends"


class TerminalChat:
    """What was said so far about one video, and how to go on.

    Args:
        model: Answers the questions.
        video: What the talk is about; None until `/video` names one.
        options: Passed with every question: `num_frames`, `fps`, `max_new_tokens`.
        check_video: Raises a `VideoLLMError` when a path cannot be read as video.
    """

    def __init__(
        self,
        model: "VideoLLM",
        *,
        video: str | None,
        options: dict[str, Any],
        check_video: Callable[[str], None],
    ) -> None:
        self.model = model
        self.video = video
        self.options = options
        self.history: list[dict[str, str]] = []
        self._check_video = check_video

    def run(self, lines: Iterable[str]) -> None:
        """Answer line after line until they end or one says `/quit`.

        Args:
            lines: What the user types.
        """
        self._tell(_HELP if self.video is not None else f"No video yet. {_HELP}")
        for line in lines:
            words = line.strip()
            if words in ("/quit", "/exit"):
                return
            try:
                self._take(words)
            except VideoLLMError as error:
                self._tell(f"error: {' '.join(str(error).split())}")

    def _take(self, words: str) -> None:
        """Follow one command, or answer one question."""
        command, _, argument = words.partition(" ")
        if not words:
            return
        if command == "/reset":
            self.history = []
            self._tell("forgotten")
        elif command == "/video" and argument.strip():
            path = argument.strip().strip("'\"")
            self._check_video(path)
            self.video, self.history = path, []
            self._tell(f"now about {path}")
        elif command.startswith("/"):
            self._tell(_HELP)
        elif self.video is None:
            self._tell("no video yet: /video PATH chooses one")
        else:
            self._answer(words)

    def _answer(self, question: str) -> None:
        """Print the answer as it comes; Ctrl-C stops it and keeps what was said."""
        pieces: list[str] = []
        stream = self.model.chat(
            self.video, question, history=self.history, stream=True, **self.options
        )
        try:
            for piece in stream:
                pieces.append(piece)
                print(piece, end="", flush=True)
        except KeyboardInterrupt:
            self._tell(" (stopped)")
        finally:
            # A generator's own clean-up ends the generation behind it.
            if hasattr(stream, "close"):
                stream.close()
        print(flush=True)
        self.history = [
            *self.history,
            {"role": "user", "content": question},
            {"role": "assistant", "content": "".join(pieces).strip()},
        ]

    @staticmethod
    def _tell(message: str) -> None:
        """Speak beside the conversation, so that piped answers stay clean."""
        print(message, file=sys.stderr, flush=True)


def read_lines() -> Iterator[str]:
    """Yield what the user types until the end of input, with a prompt in a terminal."""
    interactive = sys.stdin.isatty()
    if interactive:
        # Importing it gives input() line editing and history; not every system has it.
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401
    while True:
        try:
            yield input("> " if interactive else "")
        except EOFError:
            return
