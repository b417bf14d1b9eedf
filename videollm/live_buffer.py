"""A bounded queue between the thread that decodes and whoever looks.

Legend: H height, W width.
"""

from collections import deque
from dataclasses import dataclass, replace
from threading import Condition

from torch import Tensor

__all__ = ["FrameBuffer", "LiveFrame"]


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class LiveFrame:
    """Hold one picture and its times.

    Args:
        picture: (3, H, W), uint8, RGB, upright and with square pixels.
        media_seconds: When it was shown, since the first frame; always rises.
        wall_seconds: When it was decoded here, since 1970 (Unix time).
        gap_seconds: How long the connection was broken just before it; 0 if it was not.
        num_dropped: Frames that were dropped just before it, because nobody took them in time.
    """

    picture: Tensor
    media_seconds: float
    wall_seconds: float
    gap_seconds: float = 0.0
    num_dropped: int = 0


class FrameBuffer:
    """Pass frames from one thread to another.

    Args:
        max_frames: The most frames to hold, at least 1.
        drops_oldest: Whether the oldest frame gives way to a new one; else the new one waits.
    """

    def __init__(self, max_frames: int, *, drops_oldest: bool) -> None:
        self.num_dropped = 0
        self._max_frames = max_frames
        self._drops_oldest = drops_oldest
        self._frames: deque[LiveFrame] = deque()
        self._num_dropped_before = 0
        self._gap_before = 0.0
        self._is_over = False
        self._error: BaseException | None = None
        self._changed = Condition()

    def put(self, frame: LiveFrame) -> None:
        """Add a frame; after `end` nothing is added."""
        with self._changed:
            while not self._drops_oldest and len(self._frames) >= self._max_frames:
                if self._is_over:
                    return
                self._changed.wait()
            if self._is_over:
                return
            while len(self._frames) >= self._max_frames:
                dropped = self._frames.popleft()
                self._gap_before += dropped.gap_seconds
                self._num_dropped_before += 1
                self.num_dropped += 1
            self._frames.append(frame)
            self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """Let nothing more in; whoever looks gets what is there, and then the error if any."""
        with self._changed:
            if not self._is_over:
                self._is_over, self._error = True, error
            self._changed.notify_all()

    def clear(self) -> None:
        """Let nothing more in, and forget what is there and what went wrong."""
        with self._changed:
            self._is_over, self._error = True, None
            self._frames.clear()
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Return whether within a time there was a first frame, or the end.

        Raises:
            BaseException: What the other thread ended with, if there is no frame.
        """
        with self._changed:
            come = self._changed.wait_for(lambda: self._frames or self._is_over, seconds)
            if not self._frames and self._error is not None:
                raise self._error
        return bool(come)

    def get(self) -> LiveFrame | None:
        """Return the oldest frame as soon as there is one, or None at the end.

        Raises:
            BaseException: What the other thread ended with, after the last frame.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._is_over)
            if not self._frames:
                if self._error is not None:
                    raise self._error
                return None
            frame = self._frames.popleft()
            gap = frame.gap_seconds + self._gap_before
            frame = replace(frame, num_dropped=self._num_dropped_before, gap_seconds=gap)
            self._num_dropped_before, self._gap_before = 0, 0.0
            self._changed.notify_all()
            return frame
