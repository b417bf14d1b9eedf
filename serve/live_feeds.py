"""What brings frames to a live session: a recording, read in the limited worker, or a camera.

A recording goes in as fast as it can be encoded, with times that go on where the last one ended.
"""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from torch import Tensor

from videollm.live import LiveOptions, LiveStream
from videollm.stream_record import StreamStats
from videollm.video_track import FrameReader

__all__ = ["CameraFeed", "Feed", "OpenVideo", "RecordingFeed"]

Look = Callable[[Tensor, Tensor], None]
OpenVideo = Callable[[Path], AbstractContextManager[FrameReader]]

CHUNK_FRAMES = 16
"""Frames that are read at once; between chunks the worker decodes for others."""

CAMERA_FRAMES = 2
"""Frames of a camera that are looked at together."""


class Feed(Protocol):
    """Whatever brings frames, in a thread of its own."""

    error: BaseException | None
    """Why it ended early."""

    def start(self) -> None:
        """Begin."""

    def is_alive(self) -> bool:
        """Return whether more may come."""

    def stop(self) -> None:
        """Bring no more."""


class RecordingFeed(threading.Thread):
    """Push the frames of a file.

    Args:
        look: Takes frames and their times.
        seen: What was seen before.
        path: The file.
        fps: Frames a second, above 0.
        open_video: Opens it.
        is_paused: Holds the feed while it is set.
        hold: Entered until all is read.
    """

    def __init__(
        self,
        look: Look,
        seen: StreamStats,
        path: Path,
        fps: float,
        *,
        open_video: OpenVideo,
        is_paused: threading.Event,
        hold: AbstractContextManager[None],
    ) -> None:
        super().__init__(name="videollm-feed", daemon=True)
        self.error: BaseException | None = None
        self._look = look
        self._seen = seen
        self._path = path
        self._fps = fps
        self._open = open_video
        self._is_paused = is_paused
        self._hold = hold
        self._stopped = threading.Event()

    def run(self) -> None:
        """Push chunk after chunk."""
        try:
            with self._hold:
                self._push_all()
        except Exception as error:  # told to whoever looks at the session
            self.error = error

    def stop(self) -> None:
        """Push no more."""
        self._stopped.set()
        if self.is_alive():
            self.join(10)

    def _push_all(self) -> None:
        start = _next_seconds(self._seen, self._fps)
        number, count = 0, 1
        while number < count and not self._stopped.is_set():
            if self._is_paused.is_set():
                self._stopped.wait(0.05)
                continue
            with self._open(self._path) as reader:
                metadata = reader.metadata
                is_still = metadata.num_frames == 1
                count = 1 if is_still else max(1, round(metadata.duration_seconds * self._fps))
                numbers = range(number, min(number + CHUNK_FRAMES, count))
                clip = reader.read([place / self._fps for place in numbers])
            self._look(clip.frames, clip.pts_seconds + start)
            number = numbers.stop


class CameraFeed(threading.Thread):
    """Push what a live source shows, at its own pace.

    Args:
        look: Takes frames and their times.
        seen: What was seen before.
        url: The source; the server reaches it itself, so it must be one that is trusted.
        fps: The most frames a second, above 0.
        is_paused: Frames that come while it is set are not looked at.

    Raises:
        VideoError: It cannot be opened.
    """

    def __init__(
        self, look: Look, seen: StreamStats, url: str, fps: float, *, is_paused: threading.Event
    ) -> None:
        super().__init__(name="videollm-feed", daemon=True)
        self.error: BaseException | None = None
        self._look = look
        self._start = _next_seconds(seen, fps)
        self._is_paused = is_paused
        self._stream = LiveStream.open(url, fps, options=LiveOptions())

    def run(self) -> None:
        """Push frame after frame."""
        try:
            for clip in self._stream.clips(CAMERA_FRAMES):
                if not self._is_paused.is_set():
                    self._look(clip.frames, clip.pts_seconds + self._start)
        except Exception as error:  # told to whoever looks at the session
            self.error = error
        finally:
            self._stream.close()

    def stop(self) -> None:
        """Watch no more."""
        self._stream.close()
        if self.is_alive():
            self.join(10)


def _next_seconds(seen: StreamStats, fps: float) -> float:
    """Return where the times of another source begin."""
    return seen.seconds_seen + 1 / fps if seen.frames_seen else 0.0
