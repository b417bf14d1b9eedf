"""A job's events on the server's event loop, and as server-sent events.

Whoever reads them leaves by closing the connection: the job is stopped within `POLL_SECONDS`.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any

from fastapi import Request

from videollm.serve.jobs import POLL_SECONDS, Done, Event, Failed, Job

__all__ = ["DONE", "KEEP_ALIVE", "Hearing", "sse"]

DONE = "data: [DONE]\n\n"
KEEP_ALIVE = ": waiting\n\n"
QUIET_SECONDS = 10.0
"""After so much silence a sign of life is sent: proxies cut silent connections."""


class Hearing:
    """Carry the events of one job from the engine's worker to this event loop.

    Args:
        request: Of whoever asked.
        ask: Puts the question; is given what is to hear the events, and returns the job.
    """

    def __init__(self, request: Request, ask: Callable[[Callable[[Event], None]], Job]) -> None:
        self._request = request
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self.job = ask(self._hear)

    def _hear(self, event: Event) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody hears any more
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def events(
        self, first_seconds: float | None = None
    ) -> AsyncGenerator[Event | None, None]:
        """Yield what happens, None when nothing has for a while; the job ends with the iterator.

        Args:
            first_seconds: How soon to yield None for the first time; `QUIET_SECONDS` by default.
        """
        quiet_until = time.monotonic() + (QUIET_SECONDS if first_seconds is None else first_seconds)
        try:
            while True:
                try:
                    event = await asyncio.wait_for(self._events.get(), POLL_SECONDS)
                except TimeoutError:
                    self.job.look()
                    if await self._request.is_disconnected():
                        return
                    if time.monotonic() > quiet_until:
                        quiet_until = time.monotonic() + QUIET_SECONDS
                        yield None
                    continue
                yield event
                quiet_until = time.monotonic() + QUIET_SECONDS
                if isinstance(event, Done | Failed):
                    return
        finally:
            self.job.stop()


def sse(data: dict[str, Any]) -> str:
    """Return one server-sent event."""
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"
