"""Generation settings, and text from the model as a whole or piece by piece."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    StoppingCriteria,
    StoppingCriteriaList,
    TextIteratorStreamer,
)
from transformers.feature_extraction_utils import BatchFeature

from videollm.errors import RequestError
from videollm.model import VideoLLMForConditionalGeneration
from videollm.processor import VideoLLMProcessor

__all__ = [
    "Generation",
    "generate_batch",
    "model_inputs",
    "run_model",
    "stream_prepared",
    "stream_text",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """How to generate.

    Args:
        max_new_tokens: Longest answer, at least 1.
        temperature: 0 is greedy; above, tokens are drawn.
        seed: Of the drawing.
        top_p: Tokens are drawn from the likeliest that have this share together, above 0 to 1.

    Raises:
        RequestError: A value is out of its range.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    seed: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        if self.max_new_tokens < 1:
            raise RequestError(f"max_new_tokens is {self.max_new_tokens}; it must be at least 1")
        if not 0.0 <= self.temperature <= 5.0:
            raise RequestError(f"temperature is {self.temperature}; it must be from 0 to 5")
        if not 0.0 < self.top_p <= 1.0:
            raise RequestError(f"top_p is {self.top_p}; it must be above 0 and at most 1")

    def to_config(
        self, model: VideoLLMForConditionalGeneration, processor: VideoLLMProcessor
    ) -> GenerationConfig:
        """Return the library's settings, with the model's own end and padding tokens."""
        own = model.generation_config
        tokenizer = processor.tokenizer
        end = own.eos_token_id if own is not None else None
        drawing = {"temperature": self.temperature, "top_p": self.top_p}
        return GenerationConfig(
            max_new_tokens=self.max_new_tokens,
            do_sample=self.temperature > 0,
            **(drawing if self.temperature > 0 else {}),
            eos_token_id=end if end is not None else tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id
            if tokenizer.pad_token_id is not None
            else tokenizer.eos_token_id,
        )


class _Watch(StoppingCriteria):
    """Note when the first token came, and stop when asked to."""

    def __init__(self, marks: dict[str, float]) -> None:
        self.marks = marks
        self.stopped = threading.Event()

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:
        self.marks.setdefault("first_token", time.perf_counter())
        done = self.stopped.is_set()
        return torch.full((input_ids.shape[0],), done, device=input_ids.device)


def model_inputs(
    model: VideoLLMForConditionalGeneration, inputs: BatchFeature, features: list[Tensor]
) -> dict[str, Any]:
    """Return the arguments of `generate` for prompts and their videos' features.

    Args:
        model: The model.
        inputs: The processor's output for the prompts, padded on the left.
        features: Their videos' features, in order.
    """
    tensors = {name: inputs[name].to(model.device) for name in ("input_ids", "attention_mask")}
    shown = {name: inputs[name] for name in ("tokens_per_frame",) if name in inputs}
    return {**tensors, **shown, "video_features": features or None}


def run_model(
    model: VideoLLMForConditionalGeneration,
    processor: VideoLLMProcessor,
    inputs: dict[str, Any],
    generation: Generation,
    **options: Any,
) -> Tensor:
    """Run the library's generate; a drawn answer depends on its own seed alone.

    Args:
        model: The model.
        processor: Its processor.
        inputs: The arguments of `generate` for B prompts.
        generation: How to generate.
        options: Further arguments of `generate`.

    Returns:
        (B, L) token ids: prompts, padded on the left, and answers, padded on the right.
    """
    settings = generation.to_config(model, processor)
    with torch.inference_mode(), torch.random.fork_rng(enabled=generation.temperature > 0):
        if generation.temperature > 0:
            torch.manual_seed(generation.seed)
        output = model.generate(**inputs, generation_config=settings, **options)
    assert isinstance(output, Tensor)
    return output


def generate_batch(
    model: VideoLLMForConditionalGeneration,
    processor: VideoLLMProcessor,
    inputs: BatchFeature,
    features: list[Tensor],
    generation: Generation,
) -> list[str]:
    """Return the answers to B prompts.

    Args:
        model: The model.
        processor: Its processor.
        inputs: The processor's output for the prompts, padded on the left.
        features: Their videos' features, in order.
        generation: How to generate.
    """
    prompts = model_inputs(model, inputs, features)
    output = run_model(model, processor, prompts, generation)
    new = output[:, prompts["input_ids"].shape[1] :]
    texts = processor.tokenizer.batch_decode(new, skip_special_tokens=True)
    return [text.strip() for text in texts]


def stream_text(
    model: VideoLLMForConditionalGeneration,
    processor: VideoLLMProcessor,
    inputs: BatchFeature,
    features: list[Tensor],
    generation: Generation,
    marks: dict[str, float],
) -> Iterator[str]:
    """Yield the answer to one prompt piece by piece; closing the iterator stops the model.

    Args:
        model: The model.
        processor: Its processor.
        inputs: The processor's output for the prompt.
        features: Its videos' features.
        generation: How to generate.
        marks: Receives "first_token", the clock's seconds when the first token was there.
    """
    return stream_prepared(
        model, processor, lambda _: model_inputs(model, inputs, features), generation, marks
    )


def stream_prepared(
    model: VideoLLMForConditionalGeneration,
    processor: VideoLLMProcessor,
    prepare: Callable[[Callable[[], bool]], dict[str, Any]],
    generation: Generation,
    marks: dict[str, float],
) -> Iterator[str]:
    """Yield an answer piece by piece, as `stream_text`, to what is still to be prepared.

    Args:
        model: The model.
        processor: Its processor.
        prepare: Returns the arguments of `generate`, on the thread that generates; it is given a
            function that says whether the answer is no longer wanted.
        generation: How to generate.
        marks: As in `stream_text`.
    """
    streamer = TextIteratorStreamer(processor.tokenizer, skip_prompt=True, skip_special_tokens=True)
    watch = _Watch(marks)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            inputs = prepare(watch.stopped.is_set)
            if watch.stopped.is_set():
                streamer.end()
                return
            run_model(
                model,
                processor,
                inputs,
                generation,
                streamer=streamer,
                stopping_criteria=StoppingCriteriaList([watch]),
            )
        except BaseException as error:  # handed to the consumer's thread below
            failures.append(error)
            streamer.end()

    worker = threading.Thread(target=work, name="videollm-generate", daemon=True)
    worker.start()
    try:
        for piece in streamer:
            if piece:
                yield piece
    finally:
        watch.stopped.set()
        worker.join()
    if failures:
        raise failures[0]
