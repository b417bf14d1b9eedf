"""What happens on a click: calls of the visitor's session, and the parts that then change.

Each handler returns only the parts that it touches. No handler decides anything: what to answer,
to refuse or to forget is decided in `videollm.serve.talk`.
"""

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from videollm.errors import VideoLLMError
from videollm.serve import markup
from videollm.serve.media_sources import MediaSources
from videollm.serve.parts import Parts
from videollm.serve.samples import NUM_SURPRISES, Sample, make_surprise
from videollm.serve.sessions import SessionStore
from videollm.serve.talk import Session
from videollm.serve.transcript import find_seconds, to_json, to_markdown
from videollm.serve.turns import Notice, Settings, Turn

__all__ = ["Handlers"]

UPLOAD_SUGGESTIONS = (
    "What happens in this video?",
    "What is moving?",
    "How many objects are there?",
)

Updates = dict[Any, Any]
Values = dict[Any, Any]
"""What the page holds, by component."""


class Handlers:
    """Turn what happens on the page into calls of the visitor's session.

    Args:
        sessions: The visitors' talks.
        samples: The clips on offer.
        parts: The components to update.
        sources: Finds the file of an address.
    """

    def __init__(
        self,
        sessions: SessionStore,
        samples: Sequence[Sample],
        parts: Parts,
        sources: MediaSources,
    ) -> None:
        self._sources = sources
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
        self, values: Values, event: gr.EventData, request: gr.Request
    ) -> Iterator[Updates]:
        """Put a sample clip into the player, or a new one behind the last of them."""
        session = self._session(request)
        index = int(event.index)
        try:
            sample = self._samples[index] if index < len(self._samples) else self._surprise()
        except VideoLLMError as error:
            yield {self._parts.notice: markup.notice_line(Notice(str(error), "error"))}
            return
        steps = session.choose(
            sample.path,
            title=sample.title,
            suggestions=sample.questions,
            settings=self._settings(values),
        )
        player = gr.Video(str(sample.path), autoplay=True, loop=True)
        yield from self._stream(session, steps, {self._parts.player: player})

    def choose_upload(self, values: Values, request: gr.Request) -> Iterator[Updates]:
        """Turn to an uploaded or recorded file."""
        session = self._session(request)
        path = values[self._parts.player]
        video = None if path is None else Path(path)
        steps = session.choose(
            video,
            suggestions=UPLOAD_SUGGESTIONS,
            settings=self._settings(values),
        )
        player = gr.Video(autoplay=False, loop=False)
        yield from self._stream(session, steps, {self._parts.player: player})

    def choose_address(self, values: Values, request: gr.Request) -> Iterator[Updates]:
        """Turn to what an address of the web holds."""
        session = self._session(request)
        address = str(values[self._parts.address]).strip()
        yield {self._parts.notice: markup.notice_line(Notice("Fetching the video ..."))}
        try:
            path = self._sources.find(address).path
        except VideoLLMError as error:
            yield {self._parts.notice: markup.notice_line(Notice(str(error), "error"))}
            return
        title = address.rstrip("/").rpartition("/")[2] or address
        steps = session.choose(
            path,
            title=title,
            suggestions=UPLOAD_SUGGESTIONS,
            settings=self._settings(values),
        )
        player = gr.Video(str(path), autoplay=False, loop=False)
        yield from self._stream(
            session, steps, {self._parts.player: player, self._parts.address: ""}
        )

    def choose_none(self, request: gr.Request) -> Iterator[Updates]:
        """Turn to no video at all."""
        session = self._session(request)
        yield from self._stream(session, session.choose(None))

    def preview(self, values: Values, request: gr.Request) -> Iterator[Updates]:
        """Show the frames that the first question will look at."""
        session = self._session(request)
        for taken in session.preview(self._settings(values)):
            part = self._parts.strip if taken else self._parts.notice
            shown = None
            # a question may be answered while this is on its way: what comes last must be true
            while shown != (now := self._show(session)[part]):
                shown = now
                yield {part: shown}
        yield self._nothing()

    def ask(self, values: Values, request: gr.Request) -> Iterator[Updates]:
        """Answer what was typed; the box is emptied once the question is taken."""
        session = self._session(request)
        steps = session.ask(values[self._parts.question], self._settings(values))
        yield from self._stream(session, steps, {self._parts.question: ""})

    def ask_suggestion(
        self, values: Values, event: gr.EventData, request: gr.Request
    ) -> Iterator[Updates]:
        """Answer one of the questions on offer."""
        session = self._session(request)
        # none of them is left while another video is being read; the session says so
        text = (*session.suggestions, "")[min(int(event.index), len(session.suggestions))]
        yield from self._stream(session, session.ask(text, self._settings(values)))

    def retry(self, values: Values, request: gr.Request) -> Iterator[Updates]:
        """Ask the last question again."""
        session = self._session(request)
        yield from self._stream(session, session.retry(self._settings(values)))

    def edit(self, request: gr.Request) -> Updates:
        """Put the last question back into the box."""
        session = self._session(request)
        text = session.take_back()
        return {**self._show(session), self._parts.question: text}

    def as_markdown(self, request: gr.Request) -> str:
        """Return the talk for people."""
        return to_markdown(self._session(request))

    def as_json(self, request: gr.Request) -> str:
        """Return the talk for programs."""
        return to_json(self._session(request))

    def clear(self, request: gr.Request) -> Updates:
        """Forget the talk and keep the video."""
        session = self._session(request)
        session.clear()
        return self._show(session)

    def stop(self, request: gr.Request) -> None:
        """End the answer that is on its way; what asked for it shows that."""
        self._session(request).stop()

    def _surprise(self) -> Sample:
        return make_surprise(self._samples, secrets.randbelow(NUM_SURPRISES))

    def _settings(self, values: Values) -> Settings:
        parts = self._parts
        return Settings(
            num_frames=int(values[parts.frames]),
            max_new_tokens=int(values[parts.length]),
            temperature=values[parts.temperature],
            fps=values[parts.fps] or 0.0,
            system=values[parts.system].strip(),
            tokens_per_frame=int(values[parts.tokens] or 0),
            keep_talk=values[parts.keep_talk],
        )

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
            parts.strip: markup.frame_strip(session.strip, session.has_shown),
            parts.chat: _conversation(turns),
            parts.chips: markup.suggestion_chips(session.suggestions),
            parts.notice: markup.notice_line(session.notice),
            parts.cost: markup.cost_line(done),
            parts.stop: gr.update(interactive=busy),
            parts.retry: gr.update(interactive=bool(turns)),
            parts.clear: gr.update(interactive=bool(turns)),
            parts.edit: gr.update(interactive=bool(turns)),
            parts.save_markdown: gr.update(interactive=bool(turns)),
            parts.save_json: gr.update(interactive=bool(turns)),
            parts.times: markup.time_links(
                find_seconds(turns[-1].answer) if session.has_shown else []
            ),
        }


def _conversation(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """Return the messages of a talk; where it is about several videos, their names as well."""
    several = len({turn.video for turn in turns}) > 1
    messages: list[dict[str, str]] = []
    for before, turn in zip([None, *turns], turns, strict=False):
        if several and (before is None or before.video != turn.video):
            messages.append({"role": "user", "content": f"About {turn.title}:"})
        messages += _messages(turn)
    return messages


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
