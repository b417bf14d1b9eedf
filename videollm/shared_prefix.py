"""Questions about one video answered together: the language model reads the video once.

Legend: B rows, P tokens that all rows begin with, R tokens after them, H LLM width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from videollm.generate import Generation, generate_batch, run_model
from videollm.kv_cache import build_cache, cache_argument
from videollm.model import VideoLLMForConditionalGeneration
from videollm.processor import VideoLLMProcessor
from videollm.prompt_batch import PromptBatch

__all__ = ["common_length", "generate_answers"]


def generate_answers(
    model: VideoLLMForConditionalGeneration,
    processor: VideoLLMProcessor,
    batch: PromptBatch,
    generation: Generation,
) -> list[str]:
    """Return the answers to prompts, greedily; those about the same videos share their prefix.

    Args:
        model: The model.
        processor: Its processor.
        batch: B prompts; what is the same object among its features is the same video.
        generation: How to generate.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for row in range(len(batch.texts)):
        groups.setdefault(tuple(id(item) for item in batch.features_of(row)), []).append(row)
    answers: dict[int, str] = {}
    for videos, members in groups.items():
        if videos and len(members) > 1:
            part = batch.pick(members)
            ids = [processor([text])["input_ids"][0].to(model.device) for text in part.texts]
            length = common_length(ids, model.config.video_token_id)
            if length:
                features = batch.features_of(members[0])
                found = _after_prefix(model, processor, ids, length, features, generation)
                answers |= dict(zip(members, found, strict=True))
    alone = [row for row in range(len(batch.texts)) if row not in answers]
    if alone:
        part = batch.pick(alone)
        inputs = processor(part.texts)
        found = generate_batch(model, processor, inputs, part.features, generation)
        answers |= dict(zip(alone, found, strict=True))
    return [answers[row] for row in range(len(batch.texts))]


def common_length(rows: Sequence[Tensor], video_token_id: int) -> int:
    """Return P, how many tokens rows of ids begin with in common; 0 unless all videos are in it.

    At least one token of each row is left, since its successor is what is asked for.
    """
    shortest = min(len(row) for row in rows) - 1
    first = rows[0]
    alike = torch.stack([row[:shortest] == first[:shortest] for row in rows]).all(dim=0)
    length = int(alike.int().cumprod(0).sum())
    beyond = any(bool((row[length:] == video_token_id).any()) for row in rows)
    return 0 if beyond else length


@torch.inference_mode()
def _after_prefix(
    model: VideoLLMForConditionalGeneration,
    processor: VideoLLMProcessor,
    rows: Sequence[Tensor],
    length: int,
    features: list[Tensor],
    generation: Generation,
) -> list[str]:
    """Return the answers to B prompts with the same video.

    Args:
        model: The model.
        processor: Its processor.
        rows: B prompts' ids without padding.
        length: P.
        features: Of the videos, once.
        generation: How to generate, greedily.
    """
    prefix = model.embed(rows[0][None, :length], video_features=features)
    cache = build_cache("plain", model.config.text)
    model.language_model.get_decoder()(
        inputs_embeds=prefix, use_cache=True, **{cache_argument(): cache}
    )
    cache.batch_repeat_interleave(len(rows))
    # Padding stands between the prefix and a row's own words.
    rest = processor.tokenizer.pad(
        {"input_ids": [row[length:].tolist() for row in rows]},
        padding_side="left",
        return_tensors="pt",
    ).to(model.device)
    mask = rest["attention_mask"]
    embedded = model.embed(rest["input_ids"])
    output = run_model(
        model,
        processor,
        {
            "inputs_embeds": torch.cat((prefix.expand(len(rows), -1, -1), embedded), dim=1),
            "attention_mask": torch.cat((mask.new_ones(len(rows), length), mask), dim=1),
            cache_argument(): cache,
        },
        generation,
    )
    texts = processor.tokenizer.batch_decode(output, skip_special_tokens=True)
    return [text.strip() for text in texts]
