"""Answers in the form of OpenAI's chat completions: whole, or piece by piece."""

import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from fastapi import Response
from fastapi.responses import JSONResponse, StreamingResponse

from videollm.serve.api_errors import ApiError, explain_failure
from videollm.serve.api_events import DONE, KEEP_ALIVE, Hearing, sse
from videollm.serve.jobs import Done, Event, Failed, Piece

__all__ = ["answer_response"]

FIRST_SECONDS = 15.0
"""How long the status of a stream is held back, so that an early failure has its own."""

CLOSED_BY_CLIENT = 499

Events: TypeAlias = AsyncGenerator[Event | None, None]


async def answer_response(
    hearing: Hearing,
    model: str,
    *,
    stream: bool,
    usage: bool,
    hold: AbstractContextManager[None],
) -> Response:
    """Return the answer of a job.

    Args:
        hearing: Its events.
        model: The model's name.
        stream: Piece by piece, as server-sent events.
        usage: Whether a stream ends with the counts.
        hold: Entered already; left when the answer is over.
    """
    form = _Form(model)
    events = hearing.events(FIRST_SECONDS)
    is_handed_on = False
    try:
        head = await _head(events)
        if isinstance(head, Failed):
            raise explain_failure(head)
        if stream:
            is_handed_on = True
            body = _stream(form, head, events, usage, hold)
            headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
            return StreamingResponse(body, media_type="text/event-stream", headers=headers)
        return await _whole(form, head, events)
    finally:
        if not is_handed_on:
            await events.aclose()
            hold.__exit__(None, None, None)


async def _head(events: Events) -> Event | None:
    """Return the first thing that happens; None where it takes long or the asker has left."""
    return await anext(events, None)


async def _whole(form: "_Form", head: Event | None, events: Events) -> Response:
    text = ""
    async for event in _after(head, events):
        if isinstance(event, Piece):
            text += event.text
        elif isinstance(event, Failed):
            raise explain_failure(event)
        elif isinstance(event, Done):
            if event.stopped:
                raise _stopping()
            return JSONResponse(form.whole(text.strip(), event))
    return Response(status_code=CLOSED_BY_CLIENT)


async def _stream(
    form: "_Form",
    head: Event | None,
    events: Events,
    usage: bool,
    hold: AbstractContextManager[None],
) -> AsyncIterator[str]:
    try:
        yield sse(form.chunk({"role": "assistant", "content": ""}, counts=usage))
        async for event in _after(head, events):
            if event is None:
                yield KEEP_ALIVE
            elif isinstance(event, Piece):
                yield sse(form.chunk({"content": event.text}, counts=usage))
            elif isinstance(event, Failed):
                yield sse(explain_failure(event).body)
                yield DONE
            elif isinstance(event, Done) and event.stopped:
                yield sse(_stopping().body)
                yield DONE
            elif isinstance(event, Done):
                yield sse(form.chunk({}, finish=form.finish(event), counts=usage))
                if usage:
                    yield sse({**form.chunk({}), "choices": [], "usage": form.usage(event)})
                yield DONE
    finally:
        await events.aclose()
        hold.__exit__(None, None, None)


async def _after(head: Event | None, events: Events) -> AsyncIterator[Event | None]:
    yield head
    if not isinstance(head, Done | Failed):
        async for event in events:
            yield event


def _stopping() -> ApiError:
    return ApiError(503, "the server is stopping: ask again once it is back")


class _Form:
    """The frame around an answer."""

    def __init__(self, model: str) -> None:
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())
        self._model = model

    def chunk(
        self, delta: dict[str, str], *, finish: str | None = None, counts: bool = False
    ) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        head = self._head("chat.completion.chunk")
        return {**head, "choices": [choice], **({"usage": None} if counts else {})}

    def whole(self, text: str, done: Done) -> dict[str, Any]:
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": self.finish(done),
        }
        head = self._head("chat.completion")
        return {**head, "choices": [choice], "usage": self.usage(done)}

    def finish(self, done: Done) -> str:
        return "length" if done.is_cut else "stop"

    def usage(self, done: Done) -> dict[str, Any]:
        return {
            "prompt_tokens": done.prompt_tokens,
            "completion_tokens": done.answer_tokens,
            "total_tokens": done.prompt_tokens + done.answer_tokens,
            "prompt_tokens_details": {
                "cached_tokens": 0,
                "visual_tokens": done.visual_tokens,
                "frames": done.frames,
            },
        }

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "system_fingerprint": None,
        }
