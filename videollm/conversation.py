"""Chats with any number of videos, answered one alone or several at once.

A conversation of one video in its first turn gets the answer of `VideoLLM.chat`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from videollm.answer import Answer, AnswerRecord
from videollm.clip import Clip
from videollm.errors import RequestError
from videollm.frame_options import check_tokens
from videollm.generate import Generation
from videollm.generate_rows import Listener, RowEnd, generate_rows
from videollm.processor import Message

if TYPE_CHECKING:
    from videollm.api import VideoLLM

__all__ = ["Conversation", "Reply", "converse"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Conversation:
    """Hold a chat that waits for its next answer.

    Args:
        messages: As `VideoLLMProcessor.render` takes them; the last is the user's.
        clips: The clips of their video parts, in order.
        generation: How to generate.
        tokens_per_frame: See `videollm.frame_options.FrameOptions`.
    """

    messages: Sequence[Message]
    clips: Sequence[Clip] = ()
    generation: Generation = Generation()
    tokens_per_frame: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """Hold an answer, and what is counted of it.

    Args:
        answer: The answer; its times are counted from the call of `converse`.
        prompt_tokens: All tokens of the prompt.
        answer_tokens: Tokens that were generated.
        is_cut: Whether the answer ran into its longest length.
    """

    answer: Answer
    prompt_tokens: int
    answer_tokens: int
    is_cut: bool


def converse(
    model: "VideoLLM", conversations: Sequence[Conversation], listeners: Sequence[Listener]
) -> list[Reply]:
    """Answer B conversations on the calling thread; several together only greedily and alike.

    Args:
        model: The model.
        conversations: B of them; clips that are the same object are encoded once.
        listeners: B listeners to the answers.

    Raises:
        RequestError: A prompt is longer than the language model reads, a message is malformed,
            or the frames cannot be shown in so many tokens.
    """
    start = time.perf_counter()
    [wanted] = {each.tokens_per_frame for each in conversations}
    tokens_per_frame = check_tokens(wanted, model.config.max_tokens_per_frame)
    features: list[Tensor] = []
    encoded: dict[int, Tensor] = {}
    for clip in (clip for conversation in conversations for clip in conversation.clips):
        if id(clip) not in encoded:
            encoded[id(clip)] = model.encode(clip)
        features.append(encoded[id(clip)])
    spans = {"decode": 0.0, "encode": time.perf_counter() - start}
    texts = [
        model.processor.render(
            each.messages,
            each.clips,
            add_generation_prompt=True,
            tokens_per_frame=tokens_per_frame,
        )
        for each in conversations
    ]
    inputs = model.processor(texts, tokens_per_frame=tokens_per_frame)
    prompt_tokens = inputs["attention_mask"].sum(dim=1).tolist()
    visual_tokens = (inputs["input_ids"] == model.processor.video_token_id).sum(dim=1).tolist()
    for each, asked, visual in zip(conversations, prompt_tokens, visual_tokens, strict=True):
        _check_length(model, asked, visual, each.generation.max_new_tokens)
    heard = [_Heard(listener) for listener in listeners]
    ends = generate_rows(
        model.model,
        model.processor,
        inputs,
        features,
        conversations[0].generation,
        [each.generation.max_new_tokens for each in conversations],
        heard,
    )
    return [
        _reply(model, each, row.text, end, asked, visual, start=start, spans=spans)
        for each, row, end, asked, visual in zip(
            conversations, heard, ends, prompt_tokens, visual_tokens, strict=True
        )
    ]


class _Heard:
    """Keep the text beside passing it on."""

    def __init__(self, listener: Listener) -> None:
        self.text = ""
        self.is_over = listener.is_over
        self._listener = listener

    def add(self, text: str) -> None:
        self.text += text
        self._listener.add(text)


def _check_length(model: "VideoLLM", asked: int, visual: int, max_new_tokens: int) -> None:
    limit = getattr(model.config.text, "max_position_embeddings", None)
    if limit is not None and asked + max_new_tokens > limit:
        raise RequestError(
            f"the prompt has {asked} tokens, {visual} of them visual, and the answer up to "
            f"{max_new_tokens}; the language model reads {limit}: show fewer frames, shorten the "
            "talk, or ask for a shorter answer"
        )


def _reply(
    model: "VideoLLM",
    conversation: Conversation,
    text: str,
    end: RowEnd,
    prompt_tokens: int,
    visual_tokens: int,
    *,
    start: float,
    spans: dict[str, float],
) -> Reply:
    record = AnswerRecord(
        model=model.name,
        device=model.device,
        clips=[model.processor.fit(clip) for clip in conversation.clips],
        visual_tokens=visual_tokens,
        start=start,
        spans=spans,
        marks={} if end.first_token is None else {"first_token": end.first_token},
    )
    return Reply(
        answer=record.finish(text),
        prompt_tokens=prompt_tokens,
        answer_tokens=end.num_tokens,
        is_cut=end.is_cut,
    )
