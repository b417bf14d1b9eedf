"""Batches of pairs: the wanted answers' rows first, then the unwanted ones', videos once.

Legend: B pairs, L tokens of the longest row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from videollm.processor import VideoLLMProcessor
from videollm.train.collate import IGNORED, tokenize
from videollm.train.examples import Example

__all__ = ["PairCollator"]


@dataclass(frozen=True, kw_only=True)
class PairCollator:
    """Make a batch of pairs, in the form that TRL's DPOTrainer reads.

    Args:
        processor: Renders chats and turns clips into pixels.
    """

    processor: VideoLLMProcessor

    def __call__(self, examples: list[Example]) -> dict[str, Tensor]:
        """Return the rows and, once for both answers, the videos.

        Args:
            examples: Each with the wanted and the unwanted dialogue.

        Returns:
            input_ids, attention_mask, completion_mask (2 B, L): B rows of wanted answers, then B
            of unwanted ones; completion_mask is 1 on the last answer and its end-of-turn token.
            With videos pixel_values and frame_counts, those of the B pairs in order.
        """
        rows = [
            tokenize(self.processor, example.dialogues[which], example.videos)
            for which in (0, 1)
            for example in examples
        ]
        ids = [row.input_ids for row in rows]
        batch = {
            "input_ids": _pad(ids, self.processor.tokenizer.pad_token_id),
            "attention_mask": _pad([[1] * len(row) for row in ids], 0),
            "completion_mask": _pad([_last_answer(row.labels) for row in rows], 0),
        }
        clips = [clip for example in examples for clip in example.videos]
        if clips:
            pixels = self.processor.pixels(clips)
            batch |= {name: pixels[name] for name in ("pixel_values", "frame_counts")}
        return batch


def _last_answer(labels: Sequence[int]) -> list[int]:
    """Return 1 where the last answer stands; earlier ones belong to the prompt."""
    end = max(place for place, label in enumerate(labels) if label != IGNORED) + 1
    begin = end
    while begin and labels[begin - 1] != IGNORED:
        begin -= 1
    return [0] * begin + [1] * (end - begin) + [0] * (len(labels) - end)


def _pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    length = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])
