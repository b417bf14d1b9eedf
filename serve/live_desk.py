"""What happens on the Live tab: one stream for each visitor, watched, asked, saved, restored."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import torch

from videollm.errors import VideoLLMError
from videollm.serve import markup, markup_live
from videollm.serve.api_live import watch
from videollm.serve.frames import encode_picture, explain
from videollm.serve.jobs import Failed, Piece
from videollm.serve.live_session import LiveSession
from videollm.serve.questions import LiveQuestion
from videollm.serve.service import Service
from videollm.serve.turns import Notice

__all__ = ["LiveDesk", "LiveParts"]

Updates = dict[Any, Any]
URL_FPS = 2.0


@dataclass(frozen=True)
class LiveParts:
    """Name the components of the tab."""

    camera: gr.Image
    address: gr.Textbox
    view: gr.HTML
    gauge: gr.HTML
    pause: gr.Button
    save: gr.Button
    restore: gr.UploadButton
    end: gr.Button
    saved: gr.File
    chat: gr.Chatbot
    notice: gr.HTML
    question: gr.Textbox
    standing: gr.Textbox
    every: gr.Number
    changes: gr.HTML
    timer: gr.Timer


class LiveDesk:
    """Turn what happens on the tab into calls of the visitor's stream.

    Args:
        service: Has the streams.
        parts: The components to update.
    """

    def __init__(self, service: Service, parts: LiveParts) -> None:
        self._service = service
        self._parts = parts

    def see(self, frame: "np.ndarray | None", request: gr.Request) -> Updates:
        """Look at a frame of the visitor's camera; one that comes too early is left out."""
        if frame is None:
            return self._say("")
        try:
            session = self._session(request)
            picture = torch.from_numpy(np.array(frame[..., :3])).permute(2, 0, 1)
            seconds = torch.tensor([session.now_seconds()], dtype=torch.float64)
            session.push(picture[None], seconds)
        except VideoLLMError as error:
            return self._say(explain(error), "error")
        return self._say("")

    def watch(self, address: str, request: gr.Request) -> Updates:
        """Watch what an address shows."""
        try:
            session = self._session(request)
            session.stop_watching()
            watch(self._service, session, address.strip(), URL_FPS)
        except VideoLLMError as error:
            return self._say(str(error), "error")
        return {**self._say("Watching."), self._parts.pause: "Pause"}

    def refresh(self, request: gr.Request) -> Updates:
        """Show how the stream does."""
        session = self._find(request)
        if session is None:
            return {self._parts.gauge: markup_live.gauge(None, ())}
        stats = session.measure()
        frame = session.last_frame if session.is_watching else None
        picture = None if frame is None else encode_picture(frame, 240)
        return {
            self._parts.view: markup_live.view(picture),
            self._parts.gauge: markup_live.gauge(stats, tuple(session.gauge)),
            self._parts.changes: self._changes(session),
        }

    def ask(self, text: str, talk: list[dict[str, Any]], request: gr.Request) -> Iterator[Updates]:
        """Answer a question about what was seen until now."""
        parts = self._parts
        session = self._find(request)
        if session is None or not text.strip():
            yield self._say("Watch something first, then type a question.")
            return
        try:
            question = LiveQuestion(session.stream, text.strip())
            job = self._service.engine.submit(question, asker=session.owner)
        except VideoLLMError as error:
            yield self._say(explain(error), "error")
            return
        at = session.stream.stats().seconds_seen
        asked = [*talk, {"role": "user", "content": f"{text.strip()}  ({at:.1f} s)"}]
        answer = ""
        yield {parts.chat: asked, parts.question: "", **self._say("")}
        try:
            for event in job:
                if isinstance(event, Piece):
                    answer += event.text
                elif isinstance(event, Failed):
                    answer = event.message
                shown = {"role": "assistant", "content": answer or "..."}
                yield {parts.chat: [*asked, shown]}
        finally:
            # also runs when the page was closed in the middle of the answer
            job.stop()

    def stand(self, text: str, every: float | None, request: gr.Request) -> Updates:
        """Ask a question again and again."""
        try:
            self._session(request).stand(text, every or 5.0)
        except VideoLLMError as error:
            return self._say(explain(error), "error")
        return {self._parts.standing: "", **self._say("")}

    def take_back(self, event: gr.EventData, request: gr.Request) -> Updates:
        """Ask a standing question no more."""
        session = self._find(request)
        if session is None:
            return self._say("")
        standing = list(session.standing)
        if int(event.index) < len(standing):
            session.take_back(standing[int(event.index)])
        return {self._parts.changes: self._changes(session), **self._say("")}

    def pause(self, request: gr.Request) -> Updates:
        """Look at nothing for a while, or go on."""
        session = self._find(request)
        if session is None:
            return self._say("There is nothing to pause yet.")
        session.pause(not session.is_paused)
        return {self._parts.pause: "Go on" if session.is_paused else "Pause", **self._say("")}

    def save(self, request: gr.Request) -> Updates:
        """Write the stream to a file, to go on with it another time."""
        session = self._find(request)
        if session is None or not session.stream.stats().frames_seen:
            return self._say("There is nothing to save yet.")
        path = self._service.store.new_path("stream.safetensors")
        try:
            session.stream.save(path)
        except VideoLLMError as error:
            return self._say(explain(error), "error")
        return {self._parts.saved: gr.File(str(path), visible=True), **self._say("Saved.")}

    def restore(self, path: str, request: gr.Request) -> Updates:
        """Go on with a saved stream."""
        try:
            stream = self._service.engine.model.load_stream(Path(path))
            old = self._find(request)
            if old is not None:
                self._service.live.drop(old)
            self._service.live.adopt(stream, _owner(request))
        except VideoLLMError as error:
            return self._say(explain(error), "error")
        return {self._parts.pause: "Pause", **self._say("Restored.")}

    def end(self, request: gr.Request) -> Updates:
        """Forget what was seen; a camera that is on begins another stream."""
        self.leave(request)
        return {
            self._parts.chat: [],
            self._parts.pause: "Pause",
            **self._say("What was seen is forgotten."),
        }

    def leave(self, request: gr.Request) -> None:
        """Forget the stream of a visitor who closed the page."""
        for session in self._service.live.owned(_owner(request)):
            self._service.live.drop(session)

    def _find(self, request: gr.Request) -> LiveSession | None:
        owned = self._service.live.owned(_owner(request))
        return self._service.live.find(owned[0].key, owned[0].owner) if owned else None

    def _session(self, request: gr.Request) -> LiveSession:
        found = self._find(request)
        return found or self._service.live.create(self._service.engine.model, _owner(request))

    def _changes(self, session: LiveSession) -> str:
        return markup_live.change_list(session.standing, tuple(session.changes))

    def _say(self, text: str, kind: str = "info") -> Updates:
        notice = Notice(text, "error" if kind == "error" else "info") if text else None
        return {self._parts.notice: markup.notice_line(notice)}


def _owner(request: gr.Request) -> str:
    return f"page:{request.session_hash}"
