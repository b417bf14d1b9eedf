"""The live sessions of all visitors: not too many, forgotten when idle."""

import secrets
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from videollm.closing import Closing
from videollm.serve.live_session import LiveSession
from videollm.serve.waiting import BusyError
from videollm.video import VideoReader

if TYPE_CHECKING:
    from videollm.api import VideoLLM
    from videollm.serve.live_feeds import OpenVideo
    from videollm.streaming import StreamSession

__all__ = ["LiveSessions"]

RETRY_SECONDS = 30


class LiveSessions(Closing):
    """Keep the live sessions of all visitors.

    Args:
        open_video: Opens recordings; those of strangers belong into a `DecodeWorker`.
        max_sessions: The most at once.
        idle_seconds: One that nobody asks or looks at for longer is closed.
        clock: Seconds that never fall.
    """

    def __init__(
        self,
        *,
        open_video: "OpenVideo" = VideoReader.open,
        max_sessions: int = 8,
        idle_seconds: float = 900.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_sessions = max_sessions
        self.idle_seconds = idle_seconds
        self._open = open_video
        self._clock = clock
        self._sessions: dict[str, LiveSession] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._sessions)

    def create(self, model: "VideoLLM", owner: str, **options: int | str) -> LiveSession:
        """Return a new session.

        Args:
            model: Watches and answers.
            owner: Whose it is.
            options: Those of `VideoLLM.stream`.

        Raises:
            BusyError: There are too many.
            RequestError: An option makes no sense.
        """
        return self.adopt(model.stream(**options), owner)

    def adopt(self, stream: "StreamSession", owner: str) -> LiveSession:
        """Return a session that goes on with a stream.

        Args:
            stream: New, or one that was saved.
            owner: Whose it is.

        Raises:
            BusyError: There are too many.
        """
        self.expire()
        with self._lock:
            if len(self._sessions) >= self.max_sessions:
                raise BusyError(
                    f"{len(self._sessions)} streams are being watched and no more than "
                    f"{self.max_sessions} fit: close one, or try again later",
                    RETRY_SECONDS,
                )
            key = f"live-{secrets.token_hex(12)}"
            session = LiveSession(stream, key, owner, open_video=self._open)
            session.used = self._clock()
            self._sessions[key] = session
            return session

    def find(self, key: str, owner: str) -> LiveSession | None:
        """Return a session, or None where the asker has none of this name."""
        self.expire()
        with self._lock:
            session = self._sessions.get(key)
            if session is None or session.owner != owner:
                return None
            session.used = self._clock()
            return session

    def owned(self, owner: str) -> list[LiveSession]:
        """Return the sessions of an owner, oldest first."""
        self.expire()
        with self._lock:
            return [session for session in self._sessions.values() if session.owner == owner]

    def drop(self, session: LiveSession) -> None:
        """Close a session."""
        with self._lock:
            self._sessions.pop(session.key, None)
        session.close()

    def expire(self) -> None:
        """Close the sessions that were idle for too long."""
        with self._lock:
            now = self._clock()
            idle = [one for one in self._sessions.values() if now - one.used > self.idle_seconds]
            for session in idle:
                del self._sessions[session.key]
        for session in idle:
            session.close()

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            sessions = list(self._sessions.values())
            self._sessions.clear()
        for session in sessions:
            session.close()
