"""What happens on a click: calls of the visitor's session, and the parts that then change.

Each handler returns only the parts that it touches. No handler decides anything: what to answer,
to refuse or to forget is decided in `videollm.serve.talk`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from videollm.serve import markup
from videollm.serve.samples import Sample
from videollm.serve.sessions import SessionStore
from videollm.serve.talk import Session
from videollm.serve.turns import Settings, Turn

__all__ = ["Handlers", "Parts"]

UPLOAD_SUGGESTIONS = (
    "What happens in this video?",
    "What is moving?",
    "How many objects are there?",
)

Updates = dict[Any, Any]


@dataclass(frozen=True)
class Parts:
    """Name the components of the page."""

    header: gr.HTML
    player: gr.Video
    samples: gr.HTML
    strip: gr.HTML
    chat: gr.Chatbot
    chips: gr.HTML
    notice: gr.HTML
    question: gr.Textbox
    stop: gr.Button
    retry: gr.Button
    clear: gr.Button
    cost: gr.HTML
    frames: gr.Slider
    length: gr.Slider
    temperature: gr.Slider
    timer: gr.Timer

    @property
    def settings(self) -> list[Any]:
        """Return the inputs of `Settings`, in its order."""
        return [self.frames, self.length, self.temperature]

    @property
    def talk(self) -> list[Any]:
        """Return the outputs that show a session."""
        return [
            self.samples,
            self.strip,
            self.chat,
            self.chips,
            self.notice,
            self.stop,
            self.retry,
            self.clear,
            self.cost,
        ]


class Handlers:
    """Turn what happens on the page into calls of the visitor's session.

    Args:
        sessions: The visitors' talks.
        samples: The clips on offer.
        parts: The components to update.
    """

    def __init__(self, sessions: SessionStore, samples: Sequence[Sample], parts: Parts) -> None:
        self._sessions = sessions
        self._samples = samples
        self._parts = parts

    def refresh(self) -> Updates:
        """Show how the model does; the timer ends once there is nothing to wait for."""
        engine = self._sessions.engine
        line = markup.header(engine.model_name, engine.status, engine.device)
        waiting = engine.status == "loading"
        return {self._parts.header: line, self._parts.timer: gr.Timer(active=waiting)}

    def leave(self, request: gr.Request) -> None:
        """Forget a visitor who closed the page."""
        self._sessions.drop(str(request.session_hash))

    def choose_sample(
        self, frames: float, event: gr.EventData, request: gr.Request
    ) -> Iterator[Updates]:
        """Put a sample clip into the player."""
        sample = self._samples[int(event.index)]
        session = self._session(request)
        steps = session.choose(
            sample.path, title=sample.title, suggestions=sample.questions, num_frames=int(frames)
        )
        player = gr.Video(str(sample.path), autoplay=True, loop=True)
        yield from self._stream(session, steps, {self._parts.player: player})

    def choose_upload(
        self, path: str | None, frames: float, request: gr.Request
    ) -> Iterator[Updates]:
        """Turn to an uploaded file."""
        session = self._session(request)
        video = None if path is None else Path(path)
        steps = session.choose(video, suggestions=UPLOAD_SUGGESTIONS, num_frames=int(frames))
        player = gr.Video(autoplay=False, loop=False)
        yield from self._stream(session, steps, {self._parts.player: player})

    def choose_none(self, request: gr.Request) -> Iterator[Updates]:
        """Turn to no video at all."""
        session = self._session(request)
        yield from self._stream(session, session.choose(None))

    def preview(self, frames: float, request: gr.Request) -> Iterator[Updates]:
        """Show the frames that the first question will look at."""
        session = self._session(request)
        for taken in session.preview(int(frames)):
            part = self._parts.strip if taken else self._parts.notice
            shown = None
            # a question may be answered while this is on its way: what comes last must be true
            while shown != (now := self._show(session)[part]):
                shown = now
                yield {part: shown}
        yield self._nothing()

    def ask(
        self, text: str, frames: float, length: float, temperature: float, request: gr.Request
    ) -> Iterator[Updates]:
        """Answer what was typed; the box is emptied once the question is taken."""
        session = self._session(request)
        settings = Settings(int(frames), int(length), temperature)
        steps = session.ask(text, settings)
        yield from self._stream(session, steps, {self._parts.question: ""})

    def ask_suggestion(
        self,
        frames: float,
        length: float,
        temperature: float,
        event: gr.EventData,
        request: gr.Request,
    ) -> Iterator[Updates]:
        """Answer one of the questions on offer."""
        session = self._session(request)
        # none of them is left while another video is being read; the session says so
        text = (*session.suggestions, "")[min(int(event.index), len(session.suggestions))]
        settings = Settings(int(frames), int(length), temperature)
        yield from self._stream(session, session.ask(text, settings))

    def retry(
        self, frames: float, length: float, temperature: float, request: gr.Request
    ) -> Iterator[Updates]:
        """Ask the last question again."""
        session = self._session(request)
        settings = Settings(int(frames), int(length), temperature)
        yield from self._stream(session, session.retry(settings))

    def clear(self, request: gr.Request) -> Updates:
        """Forget the talk and keep the video."""
        session = self._session(request)
        session.clear()
        return self._show(session)

    def stop(self, request: gr.Request) -> None:
        """End the answer that is on its way; what asked for it shows that."""
        self._session(request).stop()

    def _session(self, request: gr.Request) -> Session:
        return self._sessions.get(str(request.session_hash))

    def _stream(
        self, session: Session, steps: Iterator[bool], first: Updates | None = None
    ) -> Iterator[Updates]:
        """Show what each step has changed, and nothing twice: pictures are heavy.

        What is refused changes the notice and nothing else: the rest of the page belongs to the
        answer that is on its way. `first` goes with the first step that is not.
        """
        # the samples' pictures are only sent where the choice changes
        shown: Updates = {self._parts.samples: self._show(session)[self._parts.samples]}
        more = first or {}
        for taken in steps:
            now = self._show(session)
            if not taken:
                now = {self._parts.notice: now[self._parts.notice]}
            changed = {part: value for part, value in now.items() if shown.get(part) != value}
            shown = {**shown, **now}
            if taken:
                changed, more = {**changed, **more}, {}
            if changed:
                yield changed
        yield self._nothing()

    def _nothing(self) -> Updates:
        """Return the last update of a stream: Gradio repeats it, perhaps after newer ones."""
        return {self._parts.notice: gr.skip()}

    def _show(self, session: Session) -> Updates:
        parts, turns, busy = self._parts, session.turns, session.busy
        paths = [sample.path for sample in self._samples]
        chosen = paths.index(session.wanted) if session.wanted in paths else None
        done = next((turn.done for turn in reversed(turns) if turn.done is not None), None)
        return {
            parts.samples: markup.sample_grid(self._samples, chosen),
            parts.strip: markup.frame_strip(session.strip, bool(turns)),
            parts.chat: [message for turn in turns for message in _messages(turn)],
            parts.chips: markup.suggestion_chips(session.suggestions),
            parts.notice: markup.notice_line(session.notice),
            parts.cost: markup.cost_line(done),
            parts.stop: gr.update(interactive=busy),
            parts.retry: gr.update(interactive=bool(turns)),
            parts.clear: gr.update(interactive=bool(turns)),
        }


def _messages(turn: Turn) -> list[dict[str, str]]:
    answer = turn.answer or turn.waiting
    if not answer:
        answer = "..." if turn.state == "running" else "(no answer)"
    if turn.state == "stopped":
        answer = f"{turn.answer} (stopped)".strip()
    return [
        {"role": "user", "content": turn.question},
        {"role": "assistant", "content": answer},
    ]
