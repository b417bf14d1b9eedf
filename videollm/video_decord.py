"""Frames from decord, read strictly forwards.

decord's own seeking counts packets and gives wrong frames where a keyframe is no fresh start
(open groups of pictures, some 4:4:4 H.264), and its frames carry no times. Read one after the other
from the first they are right; going back opens the file anew. It can hang on damaged files: read
untrusted ones with another back end.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from videollm.errors import VideoError
from videollm.video_indexed import refusal
from videollm.video_source import MediaSource
from videollm.video_survey import Survey

__all__ = ["DecordFrames"]


class DecordFrames:
    """One file as decord shows it.

    Args:
        source: Where the bytes come from: a local file.
        video_stream: Must be None; decord takes the best stream.
        survey: What PyAV's packets say.

    Raises:
        VideoError: It is no local file, a stream was chosen, or decord does not open it.
    """

    def __init__(self, source: MediaSource, video_stream: int | None, survey: Survey) -> None:
        self._name = source.name
        if not isinstance(source.location, str) or source.is_remote:
            raise refusal(source.name, "decord", "reads local files only")
        if video_stream is not None:
            raise refusal(source.name, "decord", "cannot choose among video streams")
        self._reader: Any = None
        self._path = source.location.removeprefix("file:")
        self._open()
        self._times = self._frame_times()

    def __len__(self) -> int:
        return len(self._reader)

    def seconds(self, number: int) -> float:
        """Return the time of a frame since the first."""
        return float(self._times[number] - self._times[0])

    def picture(self, number: int) -> Tensor:
        """Return a frame, (3, H, W), uint8, RGB; quickest when the numbers rise.

        Raises:
            VideoError: It does not decode.
        """
        import decord

        if number < self._next:
            self._open()
        try:
            while self._next <= number:
                frame: Any = self._reader.next()
                self._next += 1
        except (decord.DECORDError, StopIteration) as error:
            raise self._failure(f"cannot decode frame {self._next}", error) from None
        is_native = isinstance(frame, decord.ndarray.NDArray)  # else a bridge is set
        pixels = torch.from_numpy(frame.asnumpy() if is_native else np.array(frame))
        return pixels.permute(2, 0, 1)

    def close(self) -> None:
        """Let go of the file."""
        self._reader = None

    def _open(self) -> None:
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        try:
            self._reader = decord.VideoReader(self._path, num_threads=1)
        except (decord.DECORDError, RuntimeError) as error:
            raise self._failure("cannot open it", error) from None
        self._next = 0

    def _frame_times(self) -> Any:  # noqa: ANN401 (decord is not annotated)
        return self._reader.get_frame_timestamp(range(len(self._reader)))[:, 0]

    def _failure(self, finding: str, error: BaseException) -> VideoError:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        # decord's messages begin with the time of day and a place in its sources.
        reason = lines[0].rpartition("] ")[2] or lines[0]
        return refusal(self._name, "decord", f"{finding} ({reason[:120]})")
