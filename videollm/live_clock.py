"""Media times that always rise, whatever the stamps of a live source do.

A live source's stamps begin anywhere, begin again after a broken connection, and jump when a
camera sets its clock. Where they cannot be believed, the time that passed here takes their place.
"""

from fractions import Fraction

__all__ = ["LiveClock"]

MAX_JUMP_SECONDS = 10.0
"""How far ahead of the time that passed here a stamp may be: buffers come in bursts."""


class LiveClock:
    """Give every frame its media time.

    Args:
        is_endless: Whether a new connection shows what is now; else it begins again at the
            beginning, so that stamps mean the same in every connection.
    """

    def __init__(self, *, is_endless: bool) -> None:
        self.last_seconds: float | None = None
        self._last_wall_seconds = 0.0
        self._is_endless = is_endless
        self._origin: Fraction | None = None
        self._base_seconds = 0.0
        self._is_new = False

    def connect(self) -> None:
        """Expect the first frame of a new connection."""
        self._is_new = True

    def tell(
        self, stamp: Fraction | None, wall_seconds: float, step_seconds: float
    ) -> tuple[float, float] | None:
        """Return a frame's media time, and how long the connection was broken before it.

        Args:
            stamp: The frame's own time in seconds, if it has one.
            wall_seconds: The time here, in seconds.
            step_seconds: Time between frames, for those without a stamp to believe.

        Returns:
            Both in seconds, or None for a frame that was seen in an earlier connection.
        """
        passed = wall_seconds - self._last_wall_seconds
        gap = 0.0
        last = self.last_seconds
        is_first_of_new, self._is_new = self._is_new and last is not None, False
        if last is None:
            self._origin, seconds = stamp, 0.0
        elif is_first_of_new and self._is_endless:
            gap = max(passed, step_seconds)
            seconds = self._rebase(stamp, last + gap)
        elif stamp is None or self._origin is None:
            seconds = last + step_seconds
        else:
            seconds = self._base_seconds + float(stamp - self._origin)
            if not self._is_endless and seconds <= last:
                return None
            is_ahead = seconds > last + max(passed, 0.0) + MAX_JUMP_SECONDS
            if seconds <= last or (is_ahead and self._is_endless):
                seconds = self._rebase(stamp, last + step_seconds)
        self.last_seconds, self._last_wall_seconds = seconds, wall_seconds
        return seconds, gap

    def _rebase(self, stamp: Fraction | None, seconds: float) -> float:
        """Let a stamp mean a time from now on."""
        self._origin, self._base_seconds = stamp, seconds
        return seconds
