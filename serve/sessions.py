"""The sessions of all open pages, by key, with a cap and an expiry.

What a session holds is the matter of `videollm.serve.talk`.
"""

import threading
import time
from collections.abc import Callable

from videollm.serve.engine import Engine
from videollm.serve.talk import Session

__all__ = ["SessionStore"]


class SessionStore:
    """Keep the sessions of all open pages.

    Args:
        engine: Answers everybody's questions.
        max_sessions: The longest idle one is forgotten beyond this number.
        idle_seconds: A session unused for longer is forgotten.
        clock: Seconds that never fall.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        max_sessions: int = 256,
        idle_seconds: float = 6 * 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine = engine
        self._max_sessions = max_sessions
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[str, tuple[float, Session]] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, key: str) -> Session:
        """Return the session of a page; a new one where it is not known.

        Args:
            key: Names the page; only its owner may know it.
        """
        with self._lock:
            now = self._clock()
            _, session = self._sessions.pop(key, (now, Session(self.engine)))
            self._sessions[key] = (now, session)  # last in order: most recently used
            stale = [
                other
                for place, (other, (used, _)) in enumerate(reversed(self._sessions.items()))
                if place >= self._max_sessions or now - used > self._idle_seconds
            ]
            forgotten = [self._sessions.pop(other)[1] for other in stale]
        for old in forgotten:
            old.stop()
        return session

    def drop(self, key: str) -> None:
        """Forget the session of a page that was closed, and stop its answer.

        Args:
            key: As given to `get`.
        """
        with self._lock:
            _, session = self._sessions.pop(key, (0.0, None))
        if session is not None:
            session.stop()
