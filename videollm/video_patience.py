"""How long anything remote is waited for, and a way to end the waiting from another thread."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from videollm.errors import SourceTimeoutError, SourceUnreachableError

__all__ = ["Patience"]

READ_PATIENCE = 3
"""How many times longer than opening a later wait may be. Whoever opens sits and waits, and a
server that is there answers at once; in the midst of a film a lost burst of packets is sent again
after 1, 2 and 4 s, and giving up costs everything read so far."""


class Patience:
    """Bound how long anything remote is waited for, and let another thread end the waiting.

    Args:
        open_seconds: How long opening may take in all, above 0.
    """

    def __init__(self, open_seconds: float) -> None:
        self.open_seconds = open_seconds
        self.read_seconds = READ_PATIENCE * open_seconds
        self._deadline: float | None = None
        self._is_cancelled = False
        self._sockets: set[socket.socket] = set()
        self._lock = threading.RLock()

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Hold everything that happens inside to `open_seconds` in all."""
        self._deadline = time.monotonic() + self.open_seconds
        try:
            yield
        finally:
            self._deadline = None

    def seconds(self, name: str) -> float:
        """Return how long the next wait may be.

        Raises:
            SourceTimeoutError: The time is up.
            SourceUnreachableError: The waiting was ended.
        """
        if self._is_cancelled:
            raise SourceUnreachableError(name, "was closed", "open it again")
        if self._deadline is None:
            return self.read_seconds
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self.late(name)
        return left

    def late(self, name: str) -> SourceTimeoutError:
        """Return the error of a wait that was too long."""
        if self._deadline is None:
            finding = f"sent nothing for {self.read_seconds:g} s"
        else:
            finding = f"no picture within {self.open_seconds:g} s"
        remedy = "try again, allow more with timeout_seconds, or download it and give its path"
        return SourceTimeoutError(name, finding, remedy)

    def watch(self, waiting: socket.socket) -> None:
        """Have a connection cut when the waiting is ended."""
        with self._lock:
            self._sockets.add(waiting)

    def forget(self, waiting: socket.socket) -> None:
        """Undo `watch`."""
        with self._lock:
            self._sockets.discard(waiting)

    def cancel(self) -> None:
        """End every wait at once, now and from now on."""
        self._is_cancelled = True
        with self._lock:
            for waiting in self._sockets:
                with suppress(OSError):
                    waiting.shutdown(socket.SHUT_RDWR)
