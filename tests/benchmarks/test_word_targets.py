"""Tokens made of words: what a language model reads off them is counted, and words stay apart."""

from pathlib import Path

import torch

from benchmarks.word_targets import ask, kinds_of_targets, plain_scenes
from videollm.llm import load_language_model, load_tokenizer
from videollm.shapeworld.vocabulary import FEATURE_GROUPS


def test_shares_are_counted_and_chance_is_named(tiny_llm: Path) -> None:
    llm = load_language_model(str(tiny_llm), dtype=torch.float32, device="cpu")
    results = ask(llm, load_tokenizer(str(tiny_llm)), 4)
    chance = results.pop("chance")
    assert chance["right"] == 1 / 8
    assert 2 / 8 <= chance["shown"] <= 3 / 8
    assert len(results) == 6
    assert all(0 <= score["right"] <= score["shown"] <= 1 for score in results.values())


def test_scenes_are_plain() -> None:
    for _, (scene, things) in zip(range(5), plain_scenes(), strict=False):
        assert len({thing.colour for thing in things}) == len(things) == len(scene.shot_objects(0))


def test_words_of_a_group_add_nothing_that_all_of_them_share(tiny_llm: Path) -> None:
    embedding = load_language_model(
        str(tiny_llm), dtype=torch.float32, device="cpu"
    ).get_input_embeddings()
    targets = kinds_of_targets(embedding, load_tokenizer(str(tiny_llm)))
    mean, directions = targets["apart from the group"]
    for group in FEATURE_GROUPS.values():
        torch.testing.assert_close(directions[group].mean(dim=0), torch.zeros_like(mean))
    plain = targets["apart from the mean"][1]
    first, second = 0, 1
    torch.testing.assert_close(directions[first] - directions[second], plain[first] - plain[second])
