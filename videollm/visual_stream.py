"""The eyes of a stream: frames in, a bounded visual memory out.

Here are the encoder's state, the memory and the frames that do not make a token frame yet. One
thread may take frames in while others look; every look sees a moment between two chunks.

Legend: T token frames, K tokens per frame, H LLM width.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from videollm.clip import Clip
from videollm.encoder.state import VideoMAPState
from videollm.errors import RequestError
from videollm.memory import MemoryOptions, VisualMemory
from videollm.memory_entry import MemoryEntry
from videollm.model import VideoLLMForConditionalGeneration
from videollm.processor import VideoLLMProcessor

SHOWN_CLIPS = 3
"""How many times the frames that a model is usually shown it may be shown of a long stream."""

__all__ = ["Look", "Progress", "VisualStream"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Hold how far a stream has come.

    Args:
        state: The encoder's state; None before the first token frame.
        pending: (frames, 3, size, size), the last frames, fewer than a tubelet.
        pending_seconds: Their times.
        frames_seen: Frames taken in, the pending ones included.
        last_seconds: Time of the last; 0 before the first.
    """

    state: VideoMAPState | None
    pending: Tensor
    pending_seconds: tuple[float, ...]
    frames_seen: int
    last_seconds: float

    @property
    def state_bytes(self) -> int:
        """Bytes of the encoder's state."""
        return 0 if self.state is None else self.state.nbytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """Hold what there is to see at one moment.

    Args:
        entries: In order of time, within the budget.
        progress: How far the stream had come.
    """

    entries: tuple[MemoryEntry, ...]
    progress: Progress


class VisualStream:
    """Encode frames as they come and remember them.

    Args:
        model: The model; its encoder must be frame-causal.
        processor: Its processor.
        options: What to remember.
        chunk_frames: The most frames that are encoded at once.

    Raises:
        RequestError: The encoder cannot stream, or the budget or the bank is too small.
    """

    def __init__(
        self,
        model: VideoLLMForConditionalGeneration,
        processor: VideoLLMProcessor,
        options: MemoryOptions,
        *,
        chunk_frames: int,
    ) -> None:
        vision = model.config.vision
        if vision.scan_mode != "frame_causal":
            raise RequestError(
                f"the model's encoder is {vision.scan_mode}: a stream needs a frame_causal one"
            )
        options.check_room(model.config.tokens_per_frame, model.config.text.hidden_size)
        self._model, self._processor = model, processor
        self._chunk_frames = chunk_frames
        self.memory = VisualMemory(
            options.budget_tokens,
            options.recent_frames,
            options.policy,
            shown_tokens=_shown_tokens(model, processor, options),
            bank_mib=options.bank_mib,
            bank_path=options.bank_path,
        )
        size = processor.image_size
        self.progress = Progress(
            state=None,
            pending=torch.empty(0, vision.num_channels, size, size),
            pending_seconds=(),
            frames_seen=0,
            last_seconds=0.0,
        )
        self.lock = threading.Lock()

    def check(self, frames: Tensor, pts_seconds: Sequence[float] | Tensor) -> Clip:
        """Return frames and their times as a clip that may be taken in next.

        Raises:
            RequestError: They are no clip, or a time goes backwards.
        """
        try:
            clip = Clip(frames, torch.as_tensor(pts_seconds, dtype=torch.float64))
        except (AttributeError, TypeError, ValueError) as error:
            raise RequestError(f"push: {error}") from error
        first, last = float(clip.pts_seconds[0]), self.progress.last_seconds
        if self.progress.frames_seen and first < last:
            raise RequestError(
                f"times go backwards: {first:g} s after {last:g} s: push frames in order, or begin "
                "another session"
            )
        return clip

    @torch.inference_mode()
    def take(self, clip: Clip, others: Sequence["VisualStream"] = ()) -> None:
        """Encode frames and remember them; what was taken in before stays if this fails.

        Args:
            clip: The frames.
            others: Those of the same model that have seen the same frames and remember these too,
                without encoding them again.

        Raises:
            RequestError: One of the others is of another model or has seen other frames.
        """
        if any(not self._is_abreast(other) for other in others):
            raise RequestError(
                "sessions that share what is encoded are of one model and have seen the same "
                "frames: push to all of them together from the beginning"
            )
        tubelet = self._processor.tubelet_size
        for start in range(0, len(clip), self._chunk_frames):
            part = slice(start, start + self._chunk_frames)
            new = self._processor.frame_pixels(clip.frames[part])
            before = self.progress
            pixels = torch.cat([before.pending, new])
            seconds = [*before.pending_seconds, *clip.pts_seconds[part].tolist()]
            whole = len(pixels) // tubelet * tubelet
            tokens, state = self._encode(pixels[:whole], before.state)
            spans = [
                (seconds[first], seconds[first + tubelet - 1]) for first in range(0, whole, tubelet)
            ]
            after = Progress(
                state=state,
                pending=pixels[whole:].clone(),
                pending_seconds=tuple(seconds[whole:]),
                frames_seen=before.frames_seen + len(new),
                last_seconds=seconds[-1],
            )
            for one in (self, *others):
                with one.lock:
                    one.memory.add(tokens, spans)
                    one.progress = after

    @torch.inference_mode()
    def look(self, query: Callable[[], Tensor]) -> Look:
        """Return what there is to see now.

        A last frame whose tubelet is not whole is seen with its last picture repeated, as it is
        at the end of a clip.

        Args:
            query: Returns the question (H,), in the space of the tokens.
        """
        asked = query()
        with self.lock:
            entries = self.memory.view(asked, self._pending_entry())
            return Look(entries=entries, progress=self.progress)

    def _is_abreast(self, other: "VisualStream") -> bool:
        mine, its = self.progress, other.progress
        seen = (mine.frames_seen, mine.last_seconds) == (its.frames_seen, its.last_seconds)
        return seen and other is not self and other._model is self._model

    def _pending_entry(self) -> MemoryEntry | None:
        now = self.progress
        if not now.pending_seconds:
            return None
        missing = self._processor.tubelet_size - len(now.pending)
        pixels = torch.cat([now.pending, now.pending[-1:].expand(missing, -1, -1, -1)])
        tokens, _ = self._encode(pixels, now.state)
        return MemoryEntry(
            tokens=tokens[0],
            first_frame=self.memory.num_frames,
            last_frame=self.memory.num_frames,
            start_seconds=now.pending_seconds[0],
            end_seconds=now.pending_seconds[-1],
        )

    def _encode(
        self, pixels: Tensor, state: VideoMAPState | None
    ) -> tuple[Tensor, VideoMAPState | None]:
        """Return tokens (T, K, H) of whole token frames, and the encoder's state after them."""
        if not len(pixels):
            config = self._model.config
            return pixels.new_empty(0, config.tokens_per_frame, config.text.hidden_size), state
        encoder = self._model.vision_model
        features, state = encoder.encode(pixels[None].to(encoder.device), state)
        return self._model.project(features[0]), state


def _shown_tokens(
    model: VideoLLMForConditionalGeneration, processor: VideoLLMProcessor, options: MemoryOptions
) -> int:
    """Return how many tokens are shown once not everything fits the budget."""
    if options.shown_tokens is not None:
        return options.shown_tokens
    usual = processor.num_frames // processor.tubelet_size
    return max(SHOWN_CLIPS * usual, 2 * options.recent_frames) * model.config.tokens_per_frame
