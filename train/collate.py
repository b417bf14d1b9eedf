"""Packing: one row for each clip, its dialogues side by side behind one shared prefix.

A row is the chat up to the last visual token, then the rest of each dialogue as a segment. A
segment attends to the prefix and to itself, and its positions go on from the prefix, so every
token sees exactly what it would see in a row of its own. Encoding the video once for ten
questions is what makes training affordable.

    row:        prefix | question 1, answer 1 | question 2, answer 2 | padding
    segment:    0 0 0 0 1 1 1 1 1 1 1 1 1 1 1 1 2 2 2 2 2 2 2 2 2 2 2  -1
    position:   0 1 2 3 4 5 6 ...              4 5 6 ...                0

Legend: B rows, L tokens of a row.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from videollm.clip import Clip
from videollm.errors import ModelError, RecipeError
from videollm.processor import VideoLLMProcessor
from videollm.train.answer_spans import render_with_answers
from videollm.train.examples import Dialogue, Example

__all__ = ["IGNORED", "PackingCollator", "TokenizedDialogue", "attention_between", "tokenize"]

logger = logging.getLogger(__name__)

IGNORED = -100
_PREFIX, _PADDING = 0, -1


@dataclass(frozen=True, slots=True)
class TokenizedDialogue:
    """Tokens of one dialogue as it would stand alone.

    Args:
        input_ids: Tokens of the rendered chat.
        labels: The same where an answer is supervised, else -100.
        prefix_length: Tokens up to and including the last visual one.
    """

    input_ids: list[int]
    labels: list[int]
    prefix_length: int


@dataclass(frozen=True, slots=True)
class _Row:
    input_ids: list[int]
    labels: list[int]
    position_ids: list[int]
    segments: list[int]


def tokenize(
    processor: VideoLLMProcessor, dialogue: Dialogue, videos: Sequence[Clip] = ()
) -> TokenizedDialogue:
    """Return the tokens of a dialogue, exactly as the processor renders it, with its labels.

    Supervised are the tokens of each assistant turn up to its end-of-turn token.

    Raises:
        ModelError: The tokenizer does not say where tokens stand in the text, or the chat
            template does not show answers as they are.
    """
    if not processor.tokenizer.is_fast:
        raise ModelError("training needs a fast tokenizer (tokenizer.json): choose another LLM")
    text, spans = render_with_answers(processor, dialogue, videos)
    encoded = processor.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids: list[int] = encoded["input_ids"]
    offsets: list[tuple[int, int]] = encoded["offset_mapping"]
    labels = [IGNORED] * len(ids)
    special = set(processor.tokenizer.all_special_ids)
    for start, end in spans:
        inside = [i for i, (first, last) in enumerate(offsets) if last > start and first < end]
        ends = [i for i in inside if ids[i] in special]
        for i in inside:
            if not ends or i <= ends[-1]:
                labels[i] = ids[i]
    visual = [i for i, token in enumerate(ids) if token == processor.video_token_id]
    return TokenizedDialogue(ids, labels, visual[-1] + 1 if visual else 0)


def attention_between(segments: Tensor) -> Tensor:
    """Return which tokens attend to which, (B, 1, L, L) bool, true = attend.

    Args:
        segments: (B, L), 0 for the prefix, 1 and up for dialogues, -1 for padding. Padding
            attends to itself, since a row of zeros has no softmax.
    """
    length = segments.shape[1]
    query, key = segments[:, :, None], segments[:, None, :]
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    allowed = causal & ((key == query) | (key == _PREFIX)) & (key != _PADDING)
    allowed |= torch.eye(length, dtype=torch.bool, device=segments.device)
    return allowed[:, None]


@dataclass(frozen=True, kw_only=True)
class PackingCollator:
    """Make a batch of examples: one packed row for each.

    Args:
        processor: Renders chats and turns clips into pixels.
        max_length: Longest row in tokens. Dialogues that do not fit any more are left out;
            nothing is cut.
    """

    processor: VideoLLMProcessor
    max_length: int

    def __call__(self, examples: list[Example]) -> dict[str, Tensor]:
        """Return what `VideoLLMForConditionalGeneration.forward` takes.

        Returns:
            input_ids, labels, position_ids (B, L); attention_mask (B, 1, L, L), or (B, L) where
            every row is a single dialogue; with videos pixel_values and frame_counts.

        Raises:
            RecipeError: A dialogue, or its visual tokens, alone exceed `max_length`.
        """
        rows = [self._pack(example) for example in examples]
        pad_id = self.processor.tokenizer.pad_token_id
        segments = _pad([row.segments for row in rows], _PADDING)
        batch = {
            "input_ids": _pad([row.input_ids for row in rows], pad_id),
            "labels": _pad([row.labels for row in rows], IGNORED),
            "position_ids": _pad([row.position_ids for row in rows], 0),
            # The short mask lets attention kernels use that it is causal.
            "attention_mask": attention_between(segments)
            if bool((segments > 1).any())
            else (segments != _PADDING).long(),
        }
        clips = [clip for example in examples for clip in example.videos]
        if clips:
            pixels = self.processor.pixels(clips)
            batch |= {name: pixels[name] for name in ("pixel_values", "frame_counts")}
        return batch

    def _pack(self, example: Example) -> _Row:
        dialogues = [
            tokenize(self.processor, dialogue, example.videos) for dialogue in example.dialogues
        ]
        first, size = dialogues[0], dialogues[0].prefix_length
        if size >= self.max_length:
            raise RecipeError(
                f"max_length: {self.max_length} given; the prefix with the visual tokens alone "
                f"has {size}: raise it, or lower num_frames or tokens_per_frame"
            )
        # Answers between the clips of one dialogue are part of the prefix, and supervised.
        row = _Row(first.input_ids[:size], first.labels[:size], list(range(size)), [_PREFIX] * size)
        for number, dialogue in enumerate(dialogues, start=1):
            assert dialogue.input_ids[:size] == row.input_ids[:size]
            tail = dialogue.input_ids[size:]
            room = self.max_length - len(row.input_ids)
            if len(tail) > room:
                if number == 1:
                    raise RecipeError(
                        f"max_length: {self.max_length} given; a dialogue alone has "
                        f"{size + len(tail)} tokens: raise it, or lower num_frames"
                    )
                logger.warning(
                    "%d of %d dialogues fit into max_length = %d tokens; the others are left out",
                    number - 1,
                    len(dialogues),
                    self.max_length,
                )
                break
            row.input_ids.extend(tail)
            row.labels.extend(dialogue.labels[size : size + len(tail)])
            row.position_ids.extend(range(size, size + len(tail)))
            row.segments.extend([number] * len(tail))
        return row


def _pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    length = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])
