"""Train a small SigLIP on single pictures of the toy world and sentences about them.

It stands in for CLIP where no published one is at hand: what it learns, it learns from pairs of
one picture and one sentence that names what is in it and where. No sentence tells of motion, and
no pair holds more than one moment, so a student that knows how things move has it from the video.

python -m benchmarks.toy_teacher --output FOLDER [--steps 1200] [--seed 0]
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import SiglipConfig, SiglipModel, get_cosine_schedule_with_warmup

from videollm.toyworld.render import object_positions, object_presence, render_frames
from videollm.toyworld.scene import CLIP_SECONDS, Scene, make_scene
from videollm.toyworld.vocabulary import COLOURS, SHAPES, SIZES
from videollm.transforms import preprocess_frames

PLACES = (("top", "middle", "bottom"), ("west", "centre", "east"))
WORDS = ("<pad>", ",", *COLOURS, *SHAPES, *SIZES, *PLACES[0], *PLACES[1])
SENTENCE = 24
IMAGE_SIZE = 64
PATCH_SIZE = 8


def main(argv: list[str] | None = None) -> int:
    """Train the model and write it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    torch.manual_seed(options.seed)
    model = SiglipModel(_config())
    with torch.no_grad():  # the paper's start (arXiv 2303.15343, section 3); the library's is 1, 0
        model.logit_scale.fill_(math.log(10.0))
        model.logit_bias.fill_(-10.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = get_cosine_schedule_with_warmup(optimizer, options.steps // 20, options.steps)
    model.train()
    for step in range(options.steps):
        pictures, sentences = draw_pairs(options.seed, step, options.batch)
        loss = model(input_ids=sentences, pixel_values=pictures, return_loss=True).loss
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)
    pictures, sentences = draw_pairs(options.seed, options.steps, 256)
    print(f"the right sentence of 256: {100 * retrieval(model.eval(), pictures, sentences):.1f} %")
    model.vision_model.save_pretrained(options.output)
    return 0


def _config() -> SiglipConfig:
    shared = {"hidden_size": 96, "intermediate_size": 384, "num_attention_heads": 3}
    return SiglipConfig(
        vision_config={
            **shared,
            "num_hidden_layers": 4,
            "image_size": IMAGE_SIZE,
            "patch_size": PATCH_SIZE,
        },
        text_config={
            **shared,
            "num_hidden_layers": 2,
            "vocab_size": len(WORDS),
            "max_position_embeddings": SENTENCE,
            "projection_size": 96,
        },
    )


def draw_pairs(seed: int, step: int, batch: int) -> tuple[Tensor, Tensor]:
    """Return pictures (B, 3, S, S) and the words (B, SENTENCE) of their sentences."""
    rng = np.random.default_rng([seed, step])
    pictures, sentences = [], []
    for index in range(batch):
        scene = make_scene("train", 1_000_000 + step * batch + index, seed)
        moment = np.array([rng.uniform(0.0, CLIP_SECONDS)])
        frame = render_frames(scene, size=IMAGE_SIZE, times=moment).frames
        pictures.append(preprocess_frames(frame, IMAGE_SIZE)[0])
        sentences.append(describe(scene, moment, rng))
    return torch.stack(pictures), torch.tensor(sentences)


def describe(scene: Scene, moment: np.ndarray, rng: np.random.Generator) -> list[int]:
    """Return the words of what is there at one moment, in any order, padded to SENTENCE."""
    places, present = object_positions(scene, moment)[0], object_presence(scene, moment)[0]
    words: list[str] = []
    for index in rng.permutation(len(scene.objects)):
        if present[index]:
            thing = scene.objects[index]
            x, y = (int(np.clip(3 * value, 0, 2)) for value in places[index])
            words += [thing.size, thing.colour, thing.shape, PLACES[0][y], PLACES[1][x], ","]
    numbers = [WORDS.index(word) for word in words][:SENTENCE]
    return numbers + [0] * (SENTENCE - len(numbers))


@torch.no_grad()
def retrieval(model: SiglipModel, pictures: Tensor, sentences: Tensor) -> float:
    """Return the share of pictures whose own sentence fits best, in [0, 1]."""
    scores = model(input_ids=sentences, pixel_values=pictures).logits_per_image
    return float((scores.argmax(dim=1) == torch.arange(len(pictures))).float().mean())


if __name__ == "__main__":
    sys.exit(main())
