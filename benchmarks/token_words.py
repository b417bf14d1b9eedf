"""What visual tokens say before a language model reads them: words, read off by least squares.

python -m benchmarks.token_words --model FOLDER [--clips 192] [--output FOLDER]

A projector that was aligned with words (`objective: words`) puts the sum of the words of a region
into each token. Here each token is taken apart again, and where a region shows one colour, one
shape and so on, it is counted whether that word is the strongest of its group.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from benchmarks.measure import save
from videollm.loading import load_base
from videollm.model import VideoLLMForConditionalGeneration
from videollm.shapeworld.vocabulary import FEATURE_GROUPS
from videollm.train.toyworld_data import WordCollator
from videollm.train.words import WordAlignment
from videollm.worlds import WORLDS

FRAMES, RATES, BATCH = 16, (2.0, 3.0, 4.0), 16
LEAST, OTHERS = 0.3, 0.15
"""A word of a group counts as the one that is shown from the first share on, where no other of the
group has the second."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=192)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    model, processor = load_base(options.model, dtype=torch.float32)
    results = {"clips": options.clips, "groups": read(model, processor.tokenizer, options.clips)}
    print(results)
    named = ["benchmarks.token_words", "--model", options.model.name, "--clips", f"{options.clips}"]
    print(save(options.output, "token_words", results, named))
    return 0


@torch.inference_mode()
def read(
    model: VideoLLMForConditionalGeneration, tokenizer: PreTrainedTokenizerBase, clips: int
) -> dict[str, Any]:
    """Return for each group of words how many regions show one of them, and the share named right.

    Args:
        model: Aligned with the words of the shape world.
        tokenizer: Its language model's.
        clips: How many of `val`.
    """
    world = WORLDS["shapes"]
    alignment = WordAlignment(model, tokenizer, norm_weight=0.0, place_weight=1.0, world=world)
    collate = WordCollator(
        encoder=model.config.vision,
        tokens_per_frame=model.config.tokens_per_frame,
        num_frames=FRAMES,
        world=world,
        frame_rates=RATES,
    )
    right = dict.fromkeys(FEATURE_GROUPS, 0)
    shown = dict.fromkeys(FEATURE_GROUPS, 0)
    for first in range(0, clips, BATCH):
        numbers = range(first, min(first + BATCH, clips))
        batch = collate([world.make_scene("val", number, 0) for number in numbers])
        words = batch["words"].flatten(0, 1)
        found = taken_apart(alignment, batch["pixel_values"], words.shape)
        for group, places in FEATURE_GROUPS.items():
            truth = words[..., places]
            is_one = (truth.amax(-1) > LEAST) & ((truth > OTHERS).sum(-1) == 1)
            agrees = found[..., places].argmax(-1) == truth.argmax(-1)
            right[group] += int(agrees[is_one].sum())
            shown[group] += int(is_one.sum())
    return {
        group: {"regions": shown[group], "right": round(right[group] / max(shown[group], 1), 4)}
        for group in FEATURE_GROUPS
    }


def taken_apart(alignment: WordAlignment, pixels: Tensor, shape: torch.Size) -> Tensor:
    """Return how much of each word is in each token, as (frames, tokens, words)."""
    encoded = alignment.vision_model(pixels).last_hidden_state
    features = encoded.unflatten(1, (shape[0] // len(pixels), -1)).flatten(0, 1)
    projected = alignment.projector(features).float() - alignment.mean
    flat = projected.flatten(0, 1).mT
    return torch.linalg.lstsq(alignment.words.mT, flat).solution.mT.reshape(shape)


if __name__ == "__main__":
    sys.exit(main())
