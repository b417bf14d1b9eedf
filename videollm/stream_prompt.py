"""The prompt of a question about a stream: what is held, with its times, then the words.

Legend: L tokens of a prompt, H LLM width.
"""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from videollm.config import VIDEO_TOKEN
from videollm.errors import RequestError
from videollm.fusion import fuse_visual_tokens
from videollm.memory_entry import MemoryEntry, entries_text
from videollm.model import VideoLLMForConditionalGeneration
from videollm.processor import Message, VideoLLMProcessor
from videollm.prompt_cache import Prompt
from videollm.prompting import build_messages, check_question

__all__ = ["build_prompt", "check_length", "embed_question", "fit_talk", "turn_of"]


@torch.inference_mode()
def build_prompt(
    model: VideoLLMForConditionalGeneration,
    processor: VideoLLMProcessor,
    entries: tuple[MemoryEntry, ...],
    question: str,
    history: Sequence[Message],
    *,
    num_whole: int,
) -> Prompt:
    """Return the prompt of a question.

    Args:
        model: The model.
        processor: Its processor.
        entries: What of the stream is seen.
        question: The question.
        history: Earlier turns.
        num_whole: Token frames that are whole; an entry beyond has no key, as it will change.

    Raises:
        RequestError: The question is empty, or roles do not alternate.
    """
    messages = build_messages(question, history, has_video=True)
    video = entries_text(entries, time_stride=processor.time_stride, placeholder=VIDEO_TOKEN)
    text = processor.render_texts(messages, [video], add_generation_prompt=True)
    input_ids = processor(text)["input_ids"].to(model.device)
    visual = torch.cat([entry.tokens.to(model.device) for entry in entries])
    embeddings = fuse_visual_tokens(
        model.get_input_embeddings(), input_ids, visual, processor.video_token_id
    )
    places = iter(key for entry in entries for key in _entry_keys(entry, num_whole))
    ids = input_ids[0].tolist()
    keys = [next(places) if one == processor.video_token_id else one for one in ids]
    return Prompt(embeddings=embeddings, keys=keys, visual_tokens=len(visual))


def embed_question(
    model: VideoLLMForConditionalGeneration, processor: VideoLLMProcessor, question: str
) -> Tensor:
    """Return a question (H,) in the space of visual tokens: the mean of its words' embeddings.

    Raises:
        RequestError: The question is empty.
    """
    ids = processor(check_question(question))["input_ids"].to(model.device)
    return model.get_input_embeddings()(ids)[0].float().mean(dim=0)


def fit_talk(
    processor: VideoLLMProcessor, talk: Sequence[Message], max_tokens: int
) -> list[Message]:
    """Return the last whole turns, question and answer, of at most so many tokens."""
    kept: list[Message] = []
    for start in range(len(talk) - 2, -1, -2):
        turn = talk[start : start + 2]
        text = "".join(message["content"] for message in turn)
        max_tokens -= processor(text)["input_ids"].shape[1] if text else 0
        if max_tokens < 0:
            break
        kept = [*turn, *kept]
    return kept


def turn_of(question: str, answer: str) -> list[Message]:
    """Return the two messages of one turn."""
    return [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]


def check_length(
    model: VideoLLMForConditionalGeneration, prompt: Prompt, max_new_tokens: int
) -> None:
    """Refuse what is longer than the language model was made for.

    Raises:
        RequestError: It is.
    """
    limit = getattr(model.config.text, "max_position_embeddings", None)
    asked = len(prompt.keys)
    if limit is not None and asked + max_new_tokens > limit:
        raise RequestError(
            f"the prompt has {asked} tokens, {prompt.visual_tokens} of them visual, and the answer "
            f"up to {max_new_tokens}; the language model reads {limit}: lower budget_tokens, "
            "talk_tokens or max_new_tokens, or sample a file with num_frames"
        )


def _entry_keys(entry: MemoryEntry, num_whole: int) -> Sequence[Hashable]:
    if entry.last_frame >= num_whole:
        return [object() for _ in range(entry.num_tokens)]
    return [(entry.first_frame, entry.last_frame, place) for place in range(entry.num_tokens)]
