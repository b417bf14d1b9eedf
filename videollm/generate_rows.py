"""Several answers at once, each heard of token by token and stopped on its own.

Legend: B rows, L tokens.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import StoppingCriteria, StoppingCriteriaList
from transformers.feature_extraction_utils import BatchFeature
from transformers.generation.streamers import TextStreamer

from videollm.generate import Generation, model_inputs, run_model
from videollm.model import VideoLLMForConditionalGeneration
from videollm.processor import VideoLLMProcessor

__all__ = ["Listener", "RowEnd", "generate_rows"]


class Listener(Protocol):
    """Hear of one answer while it is generated, on the thread that generates."""

    def add(self, text: str) -> None:
        """Take the next piece; it is never empty."""

    def is_over(self) -> bool:
        """Return whether the answer is no longer wanted; asked after every token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowEnd:
    """Say how the answer of a row ended.

    Args:
        num_tokens: Tokens that were generated, the end's own included.
        is_cut: Whether it ran into its longest length.
        first_token: The clock when the first token was there; None where there is none.
    """

    num_tokens: int = 0
    is_cut: bool = False
    first_token: float | None = None


def generate_rows(
    model: VideoLLMForConditionalGeneration,
    processor: VideoLLMProcessor,
    inputs: BatchFeature,
    features: list[Tensor],
    generation: Generation,
    lengths: Sequence[int],
    listeners: Sequence[Listener],
) -> list[RowEnd]:
    """Generate the answers to B prompts together.

    Args:
        model: The model.
        processor: Its processor.
        inputs: The processor's output for the prompts, padded on the left.
        features: Their videos' features, in order.
        generation: How to generate; drawn words are those of one prompt alone only where B is 1.
        lengths: B longest answers, in tokens; they count, not that of `generation`.
        listeners: B listeners.

    Returns:
        B ends.
    """
    ends = generation.to_config(model, processor).eos_token_id
    end_ids = set(ends if isinstance(ends, list) else [ends])
    rows = [
        _Row(processor, length, listener, end_ids)
        for length, listener in zip(lengths, listeners, strict=True)
    ]
    longest = Generation(
        max_new_tokens=max(lengths),
        temperature=generation.temperature,
        seed=generation.seed,
        top_p=generation.top_p,
    )
    arguments = model_inputs(model, inputs, features)
    watch = StoppingCriteriaList([_Rows(rows)])
    run_model(model, processor, arguments, longest, stopping_criteria=watch)
    for row in rows:
        row.finish()
    return [row.end for row in rows]


class _Text(TextStreamer):
    """Turn the tokens of one row into pieces that do not change any more."""

    def __init__(self, processor: VideoLLMProcessor, listener: Listener) -> None:
        super().__init__(processor.tokenizer, skip_special_tokens=True)
        self._listener = listener

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        if text:
            self._listener.add(text)


class _Row:
    def __init__(
        self, processor: VideoLLMProcessor, length: int, listener: Listener, end_ids: set[int]
    ) -> None:
        self.end = RowEnd()
        self.is_done = False
        self._text = _Text(processor, listener)
        self._length = length
        self._listener = listener
        self._end_ids = end_ids

    def take(self, token: int) -> None:
        if self.is_done:
            return
        ended = token in self._end_ids
        number = self.end.num_tokens + 1
        self.end = RowEnd(
            num_tokens=number,
            is_cut=not ended and number >= self._length,
            first_token=self.end.first_token or time.perf_counter(),
        )
        self._text.put(torch.tensor([token]))
        self.is_done = ended or self.end.is_cut
        if self.is_done:
            self.finish()
        self.is_done = self.is_done or self._listener.is_over()

    def finish(self) -> None:
        """Pass on what was held back; nothing the second time."""
        self._text.end()


class _Rows(StoppingCriteria):
    def __init__(self, rows: Sequence[_Row]) -> None:
        self._rows = rows

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:
        for row, token in zip(self._rows, input_ids[:, -1].tolist(), strict=True):
            row.take(token)
        return torch.tensor([row.is_done for row in self._rows], device=input_ids.device)
