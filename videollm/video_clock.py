"""The time of every decoded frame, and how late a frame may begin and still count as at a time.

Stamps are believed wherever they rise. A frame without one comes a step after the frame before
it. One that does not come after the frame before it is put behind it: by half a step where it
lags less than a step, so that the stamps that follow stay right, else by a step.
"""

from fractions import Fraction

from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from videollm.video_notes import Notes
from videollm.video_timing import seconds_of
from videollm.video_track import TIME_TOLERANCE_SECONDS

__all__ = ["Clock", "rounding_seconds"]

MAX_ROUNDING_SECONDS = 0.0009


def rounding_seconds(time_base: Fraction, step_seconds: float) -> float:
    """Return how late a frame may begin and count as at a requested time, in seconds.

    Stamps are whole ticks, and Matroska's tick is a millisecond: at 30 frames per second the third
    frame is stamped 0.067, after 2 / 30. The allowance is a little under a tick, and under 1 ms.

    Args:
        time_base: Seconds per tick of a stamp.
        step_seconds: Usual distance between frames.
    """
    rounding = min(0.9 * float(time_base), MAX_ROUNDING_SECONDS, step_seconds / 4)
    return rounding + TIME_TOLERANCE_SECONDS


class Clock:
    """Give every frame of a pass its time: by its stamp, or a repaired one.

    Args:
        time_base: Seconds per tick of a stamp.
        origin_ticks: Stamp of the video's first frame; None if that has none.
        step_seconds: Distance to the frame before, for a frame without a usable stamp.
        decode_timed: Whether the stamp of decoding is the one to use.
        notes: Receives word of repairs.
    """

    def __init__(
        self,
        time_base: Fraction,
        origin_ticks: int | None,
        *,
        step_seconds: float,
        decode_timed: bool,
        notes: Notes,
    ) -> None:
        self._time_base = time_base
        self._origin_ticks = origin_ticks
        self._step_seconds = step_seconds
        self._decode_timed = decode_timed
        self._notes = notes
        self._last_seconds: float | None = None
        self.tolerance_seconds = rounding_seconds(time_base, step_seconds)

    def seconds(self, frame: VideoFrame) -> float:
        """Return the time of the next frame of the pass; it always rises."""
        last = self._last_seconds
        seconds = self._stamped(frame)
        if seconds is None or (last is not None and seconds <= last):
            seconds = self._repaired(seconds, last)
        self._last_seconds = seconds
        return seconds

    def _repaired(self, stamped: float | None, last: float | None) -> float:
        if last is None:
            return 0.0
        if stamped is None:
            sentence = f"frames have no time, as after {last:.2f} s; each follows by one step"
            self._notes.add("stamps", sentence)
            return last + self._step_seconds
        sentence = f"the times of frames do not rise, as after {last:.2f} s"
        self._notes.add("order", f"{sentence}; these frames follow by half a step or one")
        is_near = last - stamped < self._step_seconds
        return last + self._step_seconds / (2 if is_near else 1)

    def packet_seconds(self, packet: "Packet[VideoStream]") -> float:
        """Return the time of a packet, or that of the last frame if it has none."""
        seconds = self._stamped(packet)
        return seconds if seconds is not None else self._last_seconds or 0.0

    def ticks(self, seconds: float) -> int:
        """Return the last stamp at or before a time."""
        origin = self._origin_ticks or 0
        return origin + int((seconds + self.tolerance_seconds) / self._time_base)

    def jump(self) -> None:
        """Forget the last time: the next frame may come from anywhere."""
        self._last_seconds = None

    def _stamped(self, item: "VideoFrame | Packet[VideoStream]") -> float | None:
        ticks = item.dts if self._decode_timed else item.pts
        if ticks is None or self._origin_ticks is None:
            return None
        return seconds_of(ticks - self._origin_ticks, self._time_base)
