"""Live sessions: streams that are watched, asked about at any moment, and forgotten when idle."""

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from videollm.closing import Closing
from videollm.errors import RequestError
from videollm.video import VideoReader

if TYPE_CHECKING:
    from videollm.api import VideoLLM
    from videollm.serve.live_feeds import Feed, OpenVideo
    from videollm.stream_record import StreamAnswer, StreamStats
    from videollm.streaming import StreamSession

__all__ = ["LiveSession", "LiveSessions"]

MAX_CHANGES = 200
MAX_STANDING = 8
MAX_GAUGE = 240


class LiveSession(Closing):
    """Watch one stream for one visitor.

    Args:
        stream: What watches.
        key: Its name.
        owner: Whose it is.
        open_video: Opens recordings.
    """

    def __init__(
        self, stream: "StreamSession", key: str, owner: str, *, open_video: "OpenVideo"
    ) -> None:
        self.stream = stream
        self.key = key
        self.owner = owner
        self.created = time.time()
        self.used = 0.0
        self.changes: deque[dict[str, Any]] = deque(maxlen=MAX_CHANGES)
        self.gauge: deque[tuple[float, int]] = deque(maxlen=MAX_GAUGE)
        self.standing: dict[str, float] = {}
        self._open = open_video
        self._feed: Feed | None = None
        self._is_paused = threading.Event()
        self._lock = threading.Lock()

    @property
    def is_watching(self) -> bool:
        """Return whether something brings frames."""
        return self._feed is not None and self._feed.is_alive()

    @property
    def is_paused(self) -> bool:
        """Return whether what comes is not looked at."""
        return self._is_paused.is_set()

    @property
    def error(self) -> BaseException | None:
        """Return why the last source ended early."""
        return None if self._feed is None else self._feed.error

    def watch_file(self, path: Path, fps: float, hold: AbstractContextManager[None]) -> None:
        """Watch a recording from now on.

        Args:
            path: The file.
            fps: Frames a second, above 0.
            hold: Entered until all is read.

        Raises:
            RequestError: Another source is being watched.
        """
        from videollm.serve.live_feeds import RecordingFeed

        self._begin(
            lambda: RecordingFeed(
                self.stream,
                path,
                fps,
                open_video=self._open,
                is_paused=self._is_paused,
                hold=hold,
            )
        )

    def watch_camera(self, url: str, fps: float) -> None:
        """Watch a live source from now on.

        Args:
            url: A source that is trusted.
            fps: The most frames a second, above 0.

        Raises:
            VideoError: It cannot be opened.
            RequestError: Another source is being watched.
        """
        from videollm.serve.live_feeds import CameraFeed

        self._begin(lambda: CameraFeed(self.stream, url, fps, is_paused=self._is_paused))

    def push(self, frames: Tensor, pts_seconds: Tensor) -> bool:
        """Look at frames that a visitor's own camera sends.

        Args:
            frames: (T, 3, H, W), uint8, RGB.
            pts_seconds: (T,), never falling.

        Returns:
            False where it is paused, or still looks at the last ones: these are left out.

        Raises:
            RequestError: The frames or times make no sense, or another source is being watched.
        """
        if self.is_watching:
            raise RequestError("another source is being watched: stop it first")
        if self.is_paused or not self._lock.acquire(blocking=False):
            return False
        try:
            self.stream.push(frames, pts_seconds)
            return True
        finally:
            self._lock.release()

    def pause(self, wanted: bool) -> None:
        """Look at nothing for a while, or go on."""
        if wanted:
            self._is_paused.set()
        else:
            self._is_paused.clear()

    def stand(self, question: str, every_seconds: float) -> None:
        """Ask a question again and again; `changes` keeps the answers that differ from the last.

        Args:
            question: The question.
            every_seconds: How often, in seconds of the stream.

        Raises:
            RequestError: It is empty, stands already, or is one too many.
        """
        if len(self.standing) >= MAX_STANDING:
            raise RequestError(f"{MAX_STANDING} questions stand already: take one back first")
        self.stream.stand(question, self._note, every_seconds=every_seconds)
        self.standing[question.strip()] = every_seconds

    def take_back(self, question: str) -> None:
        """Ask a standing question no more.

        Raises:
            RequestError: It does not stand.
        """
        self.stream.take_back(question)
        self.standing.pop(question.strip(), None)

    def measure(self) -> "StreamStats":
        """Return the state in numbers, and note the memory for the gauge."""
        stats = self.stream.stats()
        if not self.gauge or self.gauge[-1][0] != stats.seconds_seen:
            self.gauge.append((stats.seconds_seen, stats.tokens_held))
        return stats

    def stop_watching(self) -> None:
        """Let go of the source; what was seen stays."""
        if self._feed is not None:
            self._feed.stop()

    def close(self) -> None:
        """Watch no more."""
        self.stop_watching()

    def _begin(self, make: Callable[[], "Feed"]) -> None:
        with self._lock:
            if self.is_watching:
                raise RequestError("another source is being watched: wait for its end or stop it")
            self._feed = make()
            self._feed.start()

    def _note(self, answer: "StreamAnswer") -> None:
        self.changes.append(
            {
                "at_seconds": answer.at_seconds,
                "question": answer.question,
                "answer": answer.answer,
            }
        )


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
            RequestError: There are too many, or an option makes no sense.
        """
        return self.adopt(model.stream(**options), owner)

    def adopt(self, stream: "StreamSession", owner: str) -> LiveSession:
        """Return a session that goes on with a stream.

        Args:
            stream: New, or one that was saved.
            owner: Whose it is.

        Raises:
            RequestError: There are too many.
        """
        self.expire()
        with self._lock:
            if len(self._sessions) >= self.max_sessions:
                raise RequestError(
                    f"{len(self._sessions)} streams are being watched and no more than "
                    f"{self.max_sessions} fit: close one, or try again later"
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
