"""Ask a language model that has seen no frame what tokens made of words show.

python -m benchmarks.word_targets [--scenes 200] [--output FOLDER]

Alignment teaches the projector to make each token of the words of its region. How these are put
together decides how much of it a language model can read before it is trained. Here the tokens of
a frame with two or three objects are made without any error, in three ways, put before SmolLM2 as
it comes, and asked for: "The colour of the star is", "The red shape is a". It is counted how often
the likeliest of the eight words is the right one, and how often one that the frame shows at all.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.measure import save
from videollm.llm import DEFAULT_LLM, load_language_model, load_tokenizer
from videollm.shapeworld.making import make_scene
from videollm.shapeworld.scene import Scene, SceneObject
from videollm.shapeworld.vocabulary import COLOURS, SHAPES
from videollm.train.scene_targets import region_vocabulary, region_words
from videollm.train.words import word_directions, word_embeddings
from videollm.worlds import WORLDS

GRID, WATCHED = 4, (0.5, 1.0)
"""Regions of a side, and the seconds after the scene's begin that a token tells of."""

OPENING = "<|im_start|>Picture:"
PROMPTS = {
    "colour": "\nQuestion: What colour is the {0.shape}?\nAnswer: The colour of the {0.shape} is",
    "shape": "\nQuestion: Which shape is {0.colour}?\nAnswer: The {0.colour} shape is a",
}
ANSWERS: dict[str, tuple[str, ...]] = {"colour": tuple(COLOURS), "shape": SHAPES}


def main(argv: Sequence[str] | None = None) -> int:
    """Ask, print, write."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    llm = load_language_model(DEFAULT_LLM, dtype=torch.float32, device="cpu")
    results = {"scenes": options.scenes, **ask(llm, load_tokenizer(DEFAULT_LLM), options.scenes)}
    print(results)
    print(save(options.output, "word_targets", results, ["benchmarks.word_targets", *arguments]))
    return 0


@torch.inference_mode()
def ask(llm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, count: int) -> dict[str, Any]:
    """Return for each kind of target and of question the shares right, and of words shown.

    Args:
        llm: As it comes.
        tokenizer: Its own.
        count: Scenes, at least 1; "chance" is what blind guesses among eight words would get.
    """
    embedding = llm.get_input_embeddings()
    targets = kinds_of_targets(embedding, tokenizer)
    scores = {f"{kind} {asked}": np.zeros(2) for kind in targets for asked in PROMPTS}
    num_objects = 0
    for number, (scene, things) in enumerate(itertools.islice(plain_scenes(), count)):
        times = scene.shots[0].begin_seconds + np.array(WATCHED)
        words, _ = region_words(scene, times, grid=GRID, tubelet=2, world=WORLDS["shapes"])
        thing = things[number % len(things)]
        num_objects += len(things)
        for (kind, (mean, directions)), asked in itertools.product(targets.items(), PROMPTS):
            parts = [OPENING, PROMPTS[asked].format(thing)]
            opening, question = (_embed(embedding, tokenizer, part) for part in parts)
            tokens = torch.cat([opening, mean + words[0] @ directions, question])
            logits = llm(inputs_embeds=tokens[None]).logits[0, -1]
            said = max(ANSWERS[asked], key=lambda word: logits[_ids(tokenizer, f" {word}")[0]])
            shown = {getattr(other, asked) for other in things}
            scores[f"{kind} {asked}"] += (said == getattr(thing, asked), said in shown)
    results: dict[str, Any] = {
        name: dict(zip(("right", "shown"), np.round(sums / count, 3).tolist(), strict=True))
        for name, sums in scores.items()
    }
    shown_by_chance = round(num_objects / count / len(SHAPES), 3)
    return {**results, "chance": {"right": 1 / len(SHAPES), "shown": shown_by_chance}}


def kinds_of_targets(
    embedding: torch.nn.Module, tokenizer: PreTrainedTokenizerBase
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return names to (H,) what each token has, and (W, H) what each word adds to it."""
    world = WORLDS["shapes"]
    words = word_embeddings(embedding, tokenizer, region_vocabulary(world))
    assert isinstance(embedding.weight, Tensor)
    mean = embedding.weight.float().mean(dim=0)
    return {
        "sum": (torch.zeros_like(mean), words),
        "apart from the mean": (mean, words - mean),
        "apart from the group": (mean, word_directions(words, mean, world)),
    }


def plain_scenes() -> Iterator[tuple[Scene, Sequence[SceneObject]]]:
    """Yield scenes whose first shot shows two or three unchanging objects that differ."""
    for number in itertools.count():
        scene = make_scene("val", number, 0)
        things = scene.shot_objects(0)
        times = scene.shots[0].begin_seconds + np.array(WATCHED)
        differ = all(len({getattr(t, name) for t in things}) == len(things) for name in ANSWERS)
        seen = all(thing.present(times).all() and thing.change is None for thing in things)
        if 2 <= len(things) <= 3 and differ and seen:
            yield scene, things


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def _embed(embedding: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, text: str) -> Tensor:
    embedded: Tensor = embedding(torch.tensor(_ids(tokenizer, text)))
    return embedded


if __name__ == "__main__":
    sys.exit(main())
