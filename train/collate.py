"""Packing: samples side by side in one row without padding, dialogues behind a shared prefix.

A sample is the chat up to the last visual token, then the rest of each of its dialogues. A
dialogue attends to the prefix and to itself, and its positions go on from the prefix; the next
sample starts anew. So every token sees exactly what it would see in a row of its own, while a
video is encoded once for all its questions and nothing is computed for padding.

    row:        prefix | question 1, answer 1 | question 2, answer 2 | text, answer
    position:   0 1 2    3 4 5                  3 4 5 6                0 1 2 3

Who sees whom is told by spans, see `videollm.packing`.

Legend: B rows, L tokens of a row, S spans.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from videollm.clip import Clip
from videollm.errors import ModelError, RecipeError
from videollm.packing import Span, spans_tensor
from videollm.processor import VideoLLMProcessor
from videollm.train.answer_spans import render_with_answers
from videollm.train.examples import Dialogue, Example

__all__ = ["IGNORED", "PackingCollator", "PaddingCollator", "TokenizedDialogue", "tokenize"]

logger = logging.getLogger(__name__)

IGNORED = -100


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


@dataclass(slots=True)
class _Row:
    input_ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    position_ids: list[int] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.input_ids)

    def append(
        self, ids: Sequence[int], labels: Sequence[int], position: int, shared: tuple[int, int]
    ) -> None:
        # What is first in a span would be predicted from the end of another.
        assert labels[0] == IGNORED
        self.spans.append((len(self), len(self) + len(ids), *shared))
        self.input_ids.extend(ids)
        self.labels.extend(labels)
        self.position_ids.extend(range(position, position + len(ids)))


@dataclass(frozen=True, kw_only=True)
class PackingCollator:
    """Make a batch of examples: one packed row.

    Args:
        processor: Renders chats and turns clips into pixels.
        max_length: Most tokens of an example. Dialogues that do not fit any more are left out;
            nothing is cut.
    """

    processor: VideoLLMProcessor
    max_length: int

    def __call__(self, items: Sequence[Example | Sequence[Example]]) -> dict[str, Tensor]:
        """Return what `VideoLLMForConditionalGeneration.forward` takes.

        Args:
            items: Examples, or rows of them.

        Returns:
            input_ids, labels, position_ids (1, L); attention_mask (1, 1, S, 4), the spans; with
            videos pixel_values and frame_counts.

        Raises:
            RecipeError: A dialogue, or its visual tokens, alone exceed `max_length`.
        """
        examples = list(_examples(items))
        row = _Row()
        for example in examples:
            self._append(row, example)
        batch = {
            "input_ids": torch.tensor([row.input_ids]),
            "labels": torch.tensor([row.labels]),
            "position_ids": torch.tensor([row.position_ids]),
            "attention_mask": spans_tensor(row.spans),
        }
        return batch | _pixels(self.processor, [clip for item in examples for clip in item.videos])

    def _append(self, row: _Row, example: Example) -> None:
        dialogues = [
            tokenize(self.processor, dialogue, example.videos) for dialogue in example.dialogues
        ]
        first, size, start = dialogues[0], dialogues[0].prefix_length, len(row)
        _check_length(first, self.max_length)
        if len(dialogues) == 1:
            row.append(first.input_ids, first.labels, 0, (start, start))
            return
        if size:
            # Answers between the clips of one dialogue are part of the prefix, and supervised.
            row.append(first.input_ids[:size], first.labels[:size], 0, (start, start))
        for number, dialogue in enumerate(dialogues):
            assert dialogue.input_ids[:size] == first.input_ids[:size]
            tail = dialogue.input_ids[size:]
            if len(row) - start + len(tail) > self.max_length:
                logger.warning(
                    "%d of %d dialogues fit into max_length = %d tokens; the others are left out",
                    number,
                    len(dialogues),
                    self.max_length,
                )
                return
            row.append(tail, dialogue.labels[size:], size, (start, start + size))


@dataclass(frozen=True, kw_only=True)
class PaddingCollator:
    """Make a batch of examples: a row for each dialogue, padded to the longest.

    For language models whose layers cannot tell samples of a row apart. Each dialogue has its
    example's clips to itself, so they are encoded as often as they are asked about.

    Args:
        processor: Renders chats and turns clips into pixels.
        max_length: Most tokens of a row.
    """

    processor: VideoLLMProcessor
    max_length: int

    def __call__(self, items: Sequence[Example | Sequence[Example]]) -> dict[str, Tensor]:
        """Return what `VideoLLMForConditionalGeneration.forward` takes.

        Args:
            items: Examples, or rows of them.

        Returns:
            input_ids, labels, attention_mask (B, L); with videos pixel_values and frame_counts.

        Raises:
            RecipeError: A dialogue exceeds `max_length`.
        """
        rows: list[TokenizedDialogue] = []
        clips: list[Clip] = []
        for example in _examples(items):
            for dialogue in example.dialogues:
                rows.append(tokenize(self.processor, dialogue, example.videos))
                _check_length(rows[-1], self.max_length)
                clips += example.videos
        pad_id = self.processor.tokenizer.pad_token_id
        batch = {
            "input_ids": _pad([row.input_ids for row in rows], pad_id),
            "labels": _pad([row.labels for row in rows], IGNORED),
            "attention_mask": _pad([[1] * len(row.input_ids) for row in rows], 0),
        }
        return batch | _pixels(self.processor, clips)


def _examples(items: Sequence[Example | Sequence[Example]]) -> Iterator[Example]:
    for item in items:
        if isinstance(item, Example):
            yield item
        else:
            yield from item


def _check_length(dialogue: TokenizedDialogue, max_length: int) -> None:
    """Raise if a dialogue alone is too long."""
    if dialogue.prefix_length >= max_length:
        raise RecipeError(
            f"max_length: {max_length} given; the prefix with the visual tokens alone has "
            f"{dialogue.prefix_length}: raise it, or lower num_frames or tokens_per_frame"
        )
    if len(dialogue.input_ids) > max_length:
        raise RecipeError(
            f"max_length: {max_length} given; a dialogue alone has {len(dialogue.input_ids)} "
            "tokens: raise it, or lower num_frames"
        )


def _pixels(processor: VideoLLMProcessor, clips: Sequence[Clip]) -> dict[str, Tensor]:
    if not clips:
        return {}
    pixels = processor.pixels(clips)
    return {name: pixels[name] for name in ("pixel_values", "frame_counts")}


def _pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    length = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])
