"""Ask about a long file as about a stream: all of it is looked at, in constant memory.

A part of more than `MAX_FRAMES` frames is long, at the rate that was asked for, else at
`DEFAULT_FPS`: that is 256 s. A number of frames, another policy of sampling or a number of tokens
for each frame is obeyed at any length.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Unpack

import torch
from torch import Tensor

from videollm.answer import Answer, AnswerRecord, AnswerStream
from videollm.clip import Clip
from videollm.frame_options import MAX_FRAMES, FrameOptions
from videollm.generate import Generation
from videollm.live import is_live_source
from videollm.processor import Message
from videollm.sampling_policies import sample_fps
from videollm.stream_record import StreamAnswer
from videollm.streaming import StreamSession
from videollm.video import VideoReader, VideoSource
from videollm.video_cache import source_key

__all__ = ["DEFAULT_FPS", "LongVideos", "Watched", "WatchProgress"]

DEFAULT_FPS = 2.0
_EVERY_FRAME = 2**62
_READ_FRAMES = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchProgress:
    """Hold how far a long video was looked at.

    Args:
        num_frames: Frames seen.
        total_frames: Frames in all.
        tokens_held: Visual tokens in memory.
    """

    num_frames: int
    total_frames: int
    tokens_held: int


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Watched:
    """Hold a long video that was looked at.

    Args:
        session: What is remembered of it.
        pts_seconds: (frames,), the times of all frames seen.
        backend: What decoded them.
        warnings: What was not in order with the video.
        decode_seconds: How long it took to read; 0 if that was for an earlier question.
        encode_seconds: How long it took to encode; likewise.
    """

    session: StreamSession
    pts_seconds: Tensor
    backend: str
    warnings: tuple[str, ...]
    decode_seconds: float
    encode_seconds: float

    def ask(
        self,
        question: str,
        history: Sequence[Message] | None,
        generation: Generation,
        *,
        model: str,
        start: float,
    ) -> AnswerStream[Answer]:
        """Return the answer to a question about all of it.

        Args:
            question: The question.
            history: Earlier turns.
            generation: How to generate.
            model: The model's name.
            start: The clock when the question came.
        """
        asked = time.perf_counter()
        inner = self.session.ask(
            question,
            history=list(history or ()),
            max_new_tokens=generation.max_new_tokens,
            temperature=generation.temperature,
            seed=generation.seed,
        )
        record = AnswerRecord(
            model=model,
            device=self.session.model.device,
            clips=[self],
            visual_tokens=0,
            start=start,
            spans={"decode": self.decode_seconds, "encode": self.encode_seconds},
            marks={},
        )
        return AnswerStream(inner, _WatchedRecord(record=record, inner=inner, asked=asked))


@dataclass(frozen=True, kw_only=True, slots=True)
class _WatchedRecord:
    """What is known of an answer, and the session's own that knows the rest once it is whole."""

    record: AnswerRecord
    inner: AnswerStream[StreamAnswer]
    asked: float

    def finish(self, text: str) -> Answer:
        own = self.inner.answer
        assert own is not None, "the session's answer ends first"
        marks = {"first_token": self.asked + own.timings["first_token"]}
        return replace(self.record, visual_tokens=own.tokens_held, marks=marks).finish(text)


class LongVideos:
    """Look at long videos, and remember the last one for the next question.

    Args:
        begin: Returns a new session; None where the encoder cannot stream, and no video is long.
    """

    def __init__(self, begin: Callable[[], StreamSession] | None) -> None:
        self._begin = begin
        self._key: object = None
        self._last: Watched | None = None

    def watch(
        self,
        video: VideoSource | Clip | None,
        progress: Callable[[WatchProgress], None] | None = None,
        **frames: Unpack[FrameOptions],
    ) -> Watched | None:
        """Return a video as it was watched, or None if it is not long.

        Args:
            video: Anything `VideoReader.open` takes, a clip, or None.
            progress: Is told after every chunk.
            frames: Which frames are wanted.

        Raises:
            VideoError: The video cannot be read.
            RequestError: An option is out of range.
        """
        options = {name: value for name, value in frames.items() if value is not None}
        is_free = not {"num_frames", "sampling", "tokens_per_frame"} & set(options)
        if self._begin is None or video is None or isinstance(video, Clip) or not is_free:
            return None
        if is_live_source(video):
            return None
        key = source_key(video, options)
        if key is not None and key == self._key:
            assert self._last is not None
            return replace(self._last, decode_seconds=0.0, encode_seconds=0.0)
        with VideoReader.open(video) as reader:
            if not math.isfinite(reader.metadata.duration_seconds):
                return None
            part = {"start_seconds": frames.get("start_seconds")}
            part["end_seconds"] = frames.get("end_seconds")
            fps = frames.get("fps") or DEFAULT_FPS
            times = sample_fps(reader.metadata, fps, _EVERY_FRAME, **part)
            if len(times) <= MAX_FRAMES:
                return None
            watched = _watch(reader, times, self._begin(), progress or (lambda _: None))
        self._key, self._last = key, watched
        return watched


def _watch(
    reader: VideoReader,
    times: list[float],
    session: StreamSession,
    progress: Callable[[WatchProgress], None],
) -> Watched:
    decode_seconds, seconds = 0.0, []
    for first in range(0, len(times), _READ_FRAMES):
        start = time.perf_counter()
        clip = reader.read(times[first : first + _READ_FRAMES])
        decode_seconds += time.perf_counter() - start
        session.push(clip.frames, clip.pts_seconds)
        seconds.append(clip.pts_seconds)
        tokens_held = session.stats().tokens_held
        done = min(first + _READ_FRAMES, len(times))
        progress(WatchProgress(num_frames=done, total_frames=len(times), tokens_held=tokens_held))
    return Watched(
        session=session,
        pts_seconds=torch.cat(seconds),
        backend=reader.metadata.backend,
        warnings=reader.metadata.warnings,
        decode_seconds=decode_seconds,
        encode_seconds=session.stats().encode_seconds,
    )
