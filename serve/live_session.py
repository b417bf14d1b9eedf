"""A live session: one stream, what brings its frames, what is asked of it again and again."""

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

if TYPE_CHECKING:
    from videollm.serve.live_feeds import Feed, OpenVideo
    from videollm.stream_record import StreamAnswer, StreamStats
    from videollm.streaming import StreamSession

__all__ = ["LiveSession"]

MAX_CHANGES = 200
MAX_STANDING = 8
MAX_GAUGE = 240
STEP_SECONDS = 0.25


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
        self.last_frame: Tensor | None = None
        self._ahead = 0.0
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
                self.look,
                self.stream.stats(),
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

        self._begin(
            lambda: CameraFeed(self.look, self.stream.stats(), url, fps, is_paused=self._is_paused)
        )

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
            self.look(frames, pts_seconds)
            return True
        finally:
            self._lock.release()

    def now_seconds(self) -> float:
        """Return the time of what happens now, after everything that was seen."""
        seconds = time.time() - self.created + self._ahead
        seen = self.stream.stats().seconds_seen
        if seconds <= seen:  # a recording was watched quicker than it lasts
            self._ahead += seen - seconds + STEP_SECONDS
            return seen + STEP_SECONDS
        return seconds

    def look(self, frames: Tensor, pts_seconds: Tensor) -> None:
        """Look at the next frames, whoever brings them."""
        self.stream.push(frames, pts_seconds)
        self.last_frame = frames[-1]

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
