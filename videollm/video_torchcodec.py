"""Frames from torchcodec, each checked by the time it carries.

torchcodec runs on the FFmpeg of the machine, which may be older than PyAV's.
"""

import io
from typing import Any

from torch import Tensor

from videollm.errors import VideoError
from videollm.video_indexed import refusal
from videollm.video_source import MediaSource
from videollm.video_survey import Survey

__all__ = ["TorchcodecFrames"]


class TorchcodecFrames:
    """One file as torchcodec shows it.

    Args:
        source: Where the bytes come from: a local file, or bytes.
        video_stream: Chosen already, by the survey.
        survey: What PyAV's packets say.

    Raises:
        VideoError: It is a remote source, or torchcodec does not open it.
    """

    def __init__(self, source: MediaSource, video_stream: int | None, survey: Survey) -> None:
        if source.is_remote:
            raise refusal(source.name, "torchcodec", "is not used for remote sources")
        self._source = source
        self._stream_index = survey.stream_index
        self._may_jump = bool(survey.timing.key_seconds)
        self._seconds: dict[int, float] = {}
        self._decoder: Any = None
        self._open()

    def __len__(self) -> int:
        return len(self._decoder)

    def seconds(self, number: int) -> float | None:
        """Return the time since the first frame of a frame that was decoded, else None."""
        if number not in self._seconds:
            return None
        return self._seconds[number] - self._seconds[0]

    def picture(self, number: int) -> Tensor:
        """Return a frame, (3, H, W), uint8, RGB.

        Raises:
            VideoError: It does not decode.
        """
        if self._may_jump:
            return self._decode(number)
        if number < self._next:
            self._open()
        picture = self._first
        while self._next <= number:
            picture = self._decode(self._next)
        return picture

    def close(self) -> None:
        """Let go of the file."""
        self._decoder = None

    def _open(self) -> None:
        from torchcodec.decoders import VideoDecoder

        location = self._source.location
        if isinstance(location, str):
            given: Any = location.removeprefix("file:")
        else:
            given = location.getvalue() if isinstance(location, io.BytesIO) else self._read()
        try:
            self._decoder = VideoDecoder(
                given, stream_index=self._stream_index, device="cpu", num_ffmpeg_threads=1
            )
        except (RuntimeError, ValueError) as error:
            raise self._failure("cannot open it", error) from None
        # Decoders learn from the first frame how to read the others: jump only after it.
        self._next = 0
        self._first = self._decode(0)

    def _read(self) -> bytes:
        handle = self._source.handle()
        assert not isinstance(handle, str), "a path is opened by the decoder"
        return handle.read(self._source.size_bytes or 0)

    def _decode(self, number: int) -> Tensor:
        try:
            frame = self._decoder.get_frame_at(number)
        except (RuntimeError, IndexError, ValueError) as error:
            raise self._failure(f"cannot decode frame {number}", error) from None
        self._seconds[number] = float(frame.pts_seconds)
        self._next = number + 1
        return frame.data

    def _failure(self, finding: str, error: Exception) -> VideoError:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        # Its messages begin with a function and a place in its sources.
        reason = lines[0].rpartition(", ")[2] if ".cpp:" in lines[0] else lines[0]
        return refusal(self._source.name, "torchcodec", f"{finding} ({reason[:120]})")
