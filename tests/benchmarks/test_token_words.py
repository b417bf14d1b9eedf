"""Reading words off visual tokens: all of what was put in comes out."""

from pathlib import Path

import pytest
import torch

from benchmarks import token_words
from tests.tiny import tiny_videollm
from videollm.shapeworld.vocabulary import FEATURE_GROUPS
from videollm.train.words import WordAlignment


def test_tokens_that_are_sums_of_words_are_read_without_fault(
    tiny_llm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, processor = tiny_videollm(tiny_llm, tubelet_size=2)

    def perfect(alignment: WordAlignment, pixels: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        return wanted.pop()

    plain = token_words.read(model, processor.tokenizer, 4)
    assert all(0 <= group["right"] <= 1 for group in plain.values())
    assert plain["colour"]["regions"] > 20
    collate = token_words.WordCollator.__call__
    wanted: list[torch.Tensor] = []

    def remember(self: token_words.WordCollator, scenes: list) -> dict[str, torch.Tensor]:
        batch = collate(self, scenes)
        wanted.append(batch["words"].flatten(0, 1))
        return batch

    monkeypatch.setattr(token_words.WordCollator, "__call__", remember)
    monkeypatch.setattr(token_words, "taken_apart", perfect)
    found = token_words.read(model, processor.tokenizer, 4)
    assert {group: one["right"] for group, one in found.items()} == dict.fromkeys(
        FEATURE_GROUPS, 1.0
    )
