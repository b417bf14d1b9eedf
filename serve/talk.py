"""One person's talk about a video: what was chosen, asked and answered.

A `Session` belongs to one open page. It uses the engine and knows nothing of Gradio: the page
calls a method, then shows what the session holds.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from videollm.errors import VideoLLMError
from videollm.serve.engine import Engine
from videollm.serve.frames import FrameStrip, explain
from videollm.serve.jobs import Done, Event, Failed, Job, Piece, Seen, Waiting
from videollm.serve.questions import Media, Question
from videollm.serve.turns import Notice, Settings, Turn, history

__all__ = ["Session"]

USUAL = Settings()


@dataclass(eq=False)
class Session:
    """One person's talk, about one video at a time.

    Args:
        engine: Answers the questions.
        wanted: The file that was chosen last, even while it is still being read.
        video: The same file once it could be read; None before.
        title: What the video is called on the page.
        suggestions: Questions to offer.
        turns: The talk, oldest first.
        strip: The frames that the model saw, or will see.
        notice: The last thing to tell the user, apart from answers.
    """

    engine: Engine
    wanted: Path | None = None
    video: Path | None = None
    title: str = ""
    suggestions: tuple[str, ...] = ()
    turns: list[Turn] = field(default_factory=list)
    strip: FrameStrip | None = None
    notice: Notice | None = None
    _job: Job | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def busy(self) -> bool:
        """Return whether an answer is on its way."""
        return self._job is not None and not self._job.ended

    @property
    def has_shown(self) -> bool:
        """Return whether the last question was about the video that is chosen now."""
        return bool(self.turns) and self.turns[-1].video == self.video

    def choose(
        self,
        video: Path | None,
        *,
        title: str = "",
        suggestions: tuple[str, ...] = (),
        settings: Settings = USUAL,
    ) -> Iterator[bool]:
        """Turn to another video, or to none; a talk about the last one ends or goes on.

        Args:
            video: The file.
            title: What to call it; its file name by default.
            suggestions: Questions to offer.
            settings: Which of its frames to show, and whether it joins the talk.

        Yields:
            True: Read the session for what is new.
        """
        title = title or (video.name if video else "")
        with self._lock:
            self._turn_to(video, title, joins=settings.keep_talk and video is not None)
        try:
            yield True
            if video is not None and self._read(video, title, suggestions, settings):
                yield True
        finally:
            with self._lock:
                if self.wanted is video:
                    self.wanted = self.video

    def preview(self, settings: Settings) -> Iterator[bool]:
        """Show the frames that the first question will look at.

        Args:
            settings: As chosen.

        Yields:
            Whether the strip is new. Otherwise the notice says why it is not.
        """
        video = self.video
        if video is None or self.has_shown:
            return
        try:
            strip = self.engine.look(_media(video, settings))
        except VideoLLMError as error:
            self.notice = Notice(explain(error), "error")
            yield False
            return
        with self._lock:
            if self.video is not video or self.has_shown:
                return
            self.strip = strip
        yield True

    def ask(self, text: str, settings: Settings, *, again: Turn | None = None) -> Iterator[bool]:
        """Ask a question.

        Args:
            text: The question; an empty one only leaves a hint.
            settings: How to answer.
            again: The last turn, where it is to be replaced.

        Yields:
            Whether the question was taken: read the session for what is new. Otherwise only the
            notice is new.
        """
        with self._lock:
            turn = self._begin(text.strip(), settings, again)
            job = self._job
        yield turn is not None
        if turn is None or job is None:
            return
        try:
            for event in job:
                self._apply(event, turn)
                yield True
        finally:
            # also runs when the page was closed in the middle of the answer
            job.stop()

    def retry(self, settings: Settings) -> Iterator[bool]:
        """Ask the last question again.

        Args:
            settings: How to answer.

        Yields:
            As `ask` does.
        """
        if not self.turns:
            self.notice = Notice("There is no question to ask again yet.")
            yield False
            return
        self.stop()
        last = self.turns[-1]
        yield from self.ask(last.question, settings, again=last)

    def take_back(self) -> str:
        """Take the last question back, to be asked in other words; an answer on its way ends.

        Returns:
            The question; empty where there is none.
        """
        self.stop()
        if not self.turns:
            return ""
        *self.turns, last = self.turns
        return last.question

    def stop(self) -> None:
        """End the answer that is on its way; what came of it stays."""
        if self._job is not None:
            self._job.stop()
        if self.turns and self.turns[-1].state == "running":
            self.turns[-1].state = "stopped"

    def clear(self) -> None:
        """Forget the talk; the video stays."""
        self.stop()
        self.turns = []
        self.notice = None

    def _turn_to(self, video: Path | None, title: str, *, joins: bool) -> None:
        had_talk = bool(self.turns)
        if joins:
            self.stop()
            self.notice = None
        else:
            self.clear()
        self.wanted = video
        self.video, self.title, self.suggestions, self.strip = None, "", (), None
        if not had_talk:
            return
        if joins:
            self.notice = Notice(f"The talk goes on with {title}.")
        elif video is not None:
            self.notice = Notice(f"New video, new talk: {title}.")
        else:
            self.notice = Notice("The video is gone and the talk with it.")

    def _read(
        self, video: Path, title: str, suggestions: tuple[str, ...], settings: Settings
    ) -> bool:
        strip, notice = None, None
        try:
            strip = self.engine.look(_media(video, settings))
        except VideoLLMError as error:
            notice = Notice(explain(error), "error")
        with self._lock:
            # a file that took long to read must not push aside what was chosen after it
            if self.wanted is not video or self.video is not None:
                return False
            if notice is not None:
                self.wanted, self.notice = None, notice
            else:
                self.video, self.title, self.suggestions = video, title, suggestions
                self.strip = strip
            return True

    def _begin(self, text: str, settings: Settings, again: Turn | None) -> Turn | None:
        hint = self._hint(text)
        if hint is not None or self.video is None:
            self.notice = Notice(hint or "")
            return None
        self.notice = None
        earlier = [turn for turn in self.turns if turn is not again]
        attempt = 0 if again is None else again.attempt + 1
        question = Question(
            video=self.video,
            text=text,
            history=history(earlier),
            num_frames=settings.num_frames,
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            seed=attempt,
            system=settings.system,
            fps=settings.fps,
            tokens_per_frame=settings.tokens_per_frame or None,
        )
        try:
            self._job = self.engine.submit(question)
        except VideoLLMError as error:
            self.notice = Notice(explain(error), "error")
            return None
        turn = Turn(text, self.video, self.title, attempt=attempt)
        self.turns = [*earlier, turn]
        return turn

    def _hint(self, text: str) -> str | None:
        if self.busy:
            return "One answer at a time: wait for this one, or stop it."
        if self.video is None and self.wanted is not None:
            return "The video is still being read: ask again in a moment."
        if self.video is None:
            return "Choose a video first: drop a file, or take one of the samples."
        if not text:
            return "Type a question first."
        return None

    def _apply(self, event: Event, turn: Turn) -> None:
        turn.waiting = event.reason if isinstance(event, Waiting) else ""
        if isinstance(event, Seen):
            # what was turned away from must not show its frames beside the next video
            if turn in self.turns and turn.video == self.video:
                self.strip = event.strip
        elif isinstance(event, Piece):
            turn.answer += event.text
        elif isinstance(event, Done):
            turn.done = event
            turn.state = "stopped" if event.stopped else "done"
        elif isinstance(event, Failed):
            turn.answer, turn.state = event.message, "failed"


def _media(video: Path, settings: Settings) -> Media:
    return Media(video, settings.num_frames, settings.fps or None)
