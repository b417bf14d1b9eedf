"""Questions a second of packed rows against one padded question a sample in random order.

python -m benchmarks.packing [--clips 4] [--questions 3] [--texts 6] [--output FOLDER]

The samples are questions about clips of 8, 16, 32 and 64 frames of the toy world, and samples of
text alone. A pass collates each of them once and takes its loss and gradients, a fresh LoRA adapter
on the demo model learning, in three ways:

    padded   a row for each question, its clip encoded for it alone, in random order, `--batch`
             rows at a time, padded to the longest
    packed   the same samples side by side in rows of at most `--row_tokens`
    shared   the questions about a clip behind one prefix, and those samples side by side

Beside it one layer's attention over a row of several samples is timed, there and back: a mask over
the whole row against calls by span, and each of both in float32 and bfloat16.

The ways take turns and the best round of each counts; their mean losses have to agree. In float32
by default, where the arithmetic of attention is the same in all ways.
"""

import argparse
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from benchmarks.measure import interleaved_seconds, save
from videollm.loading import load_base, resolve_model
from videollm.lora import LoraShape, attach_lora
from videollm.model import VideoLLMForConditionalGeneration
from videollm.packing import dense_mask, packed_attention, prepare_packing, spans_tensor
from videollm.processor import VideoLLMProcessor
from videollm.runtime import pick_dtype
from videollm.train.collate import IGNORED, PackingCollator, PaddingCollator
from videollm.train.examples import Example
from videollm.train.lengths import fill_rows, sample_tokens
from videollm.train.parts import keep_evaluating
from videollm.train.toyworld_dialogues import ToyWorldDialogues

FRAMES = (8, 16, 32, 64)
MIN_RATIO = 1.5
ROW = (60, 200, 350, 600, 80)
HEADS, KEY_HEADS, HEAD_SIZE = 9, 3, 64
"""Of the timed attention: tokens of each sample, and the sizes of SmolLM2-135M."""
TOLERANCE = 2e-3
"""Of the mean losses, relative: in float32 they differ by rounding."""


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write; return 1 if packing is not fast enough or the losses differ."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--questions", type=int, default=3, help="of each clip")
    parser.add_argument("--texts", type=int, default=6, help="samples of text alone")
    parser.add_argument("--batch", type=int, default=4, help="padded rows at a time")
    parser.add_argument("--row_tokens", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    model, processor = load_base(
        resolve_model("demo").base, dtype=pick_dtype(options.dtype, torch.device("cpu"))
    )
    samples = draw_samples(
        processor, clips=options.clips, questions=options.questions, texts=options.texts
    )
    results = measure(
        model,
        processor,
        samples,
        batch=options.batch,
        row_tokens=options.row_tokens,
        rounds=options.rounds,
    )
    results = {"dtype": options.dtype, **results, "attention_seconds": attention_seconds()}
    print(results)
    print(save(options.output, "packing", results, ["benchmarks.packing", *arguments]))
    return 0 if results["laws_hold"] else 1


def draw_samples(
    processor: VideoLLMProcessor, *, clips: int, questions: int, texts: int
) -> list[Example]:
    """Return clips of each length in turn with questions about them, then text alone."""
    samples = []
    for number in range(clips):
        world = ToyWorldDialogues(
            "train", num_clips=clips, seed=0, image_size=processor.image_size,
            num_frames=FRAMES[number % len(FRAMES)], questions=questions,
        )  # fmt: skip
        samples.append(world[number])
    for number in range(texts):
        question = {"role": "user", "content": f"Count from 1 to {number % 8 + 2}."}
        answer = ", ".join(str(item + 1) for item in range(number % 8 + 2))
        samples.append(Example((), ((question, {"role": "assistant", "content": answer}),)))
    return samples


@dataclass(slots=True)
class _Way:
    """One way to go through all samples.

    Args:
        collate: Makes a batch.
        batches: What each batch holds.
        implementation: Of the language model's attention.
        tokens: Places computed in a pass, counted while it runs.
        loss: Mean over all supervised tokens.
    """

    collate: Callable[[Sequence[Example]], dict[str, torch.Tensor]]
    batches: list[list[Example]]
    implementation: str
    tokens: int = field(default=0)
    loss: float = field(default=0.0)


def measure(
    model: VideoLLMForConditionalGeneration,
    processor: VideoLLMProcessor,
    samples: Sequence[Example],
    *,
    batch: int,
    row_tokens: int,
    rounds: int,
) -> dict[str, Any]:
    """Return questions a second of each way, the ratios to padded ones, and if the laws hold."""
    plain = model.language_model.config._attn_implementation
    prepare_packing(model.language_model)
    packed = model.language_model.config._attn_implementation
    adapted = attach_lora(model, LoraShape(rank=16)).train()
    keep_evaluating(model.vision_model)
    alone = [Example(item.videos, (one,)) for item in samples for one in item.dialogues]
    random.Random(0).shuffle(alone)
    pad = PaddingCollator(processor=processor, max_length=row_tokens)
    pack = PackingCollator(processor=processor, max_length=row_tokens)
    ways = {
        "padded": _Way(pad, [alone[i : i + batch] for i in range(0, len(alone), batch)], plain),
        "packed": _Way(pack, _rows(processor, alone, row_tokens), packed),
        "shared": _Way(pack, _rows(processor, samples, row_tokens), packed),
    }
    supervised = int((pad(alone)["labels"] != IGNORED).sum())
    seconds = interleaved_seconds(
        {name: partial(_pass, adapted, model, way, supervised) for name, way in ways.items()},
        repeats=rounds,
        enough_seconds=float("inf"),
    )
    ratios = {name: round(seconds["padded"] / value, 3) for name, value in seconds.items()}
    losses = [way.loss for way in ways.values()]
    agree = max(losses) - min(losses) <= TOLERANCE * max(losses)
    return {
        "questions": len(alone),
        "supervised_tokens": supervised,
        "places_computed": {name: way.tokens for name, way in ways.items()},
        "batches": {name: len(way.batches) for name, way in ways.items()},
        "mean_loss": {name: round(way.loss, 6) for name, way in ways.items()},
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "questions_per_second": {
            name: round(len(alone) / value, 3) for name, value in seconds.items()
        },
        "ratio_to_padded": ratios,
        "losses_agree": agree,
        "laws_hold": agree and ratios["shared"] >= MIN_RATIO,
    }


class _Layer(nn.Module):
    """What the library's attention functions ask of a layer."""

    num_key_value_groups = HEADS // KEY_HEADS
    is_causal = True


def attention_seconds() -> dict[str, float]:
    """Return how long one layer of the demo's language model attends over a row, both ways."""
    layer = _Layer()
    ends = [0, *accumulate(ROW)]
    spans = spans_tensor([(start, end, start, start) for start, end in pairwise(ends)])
    mask = dense_mask(spans, ends[-1])
    works: dict[str, Callable[[], object]] = {}
    for dtype in (torch.float32, torch.bfloat16):
        shapes = [(1, heads, ends[-1], HEAD_SIZE) for heads in (HEADS, KEY_HEADS, KEY_HEADS)]
        parts = [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]
        for name, function, given in (
            ("mask", sdpa_attention_forward, mask),
            ("by sample", sdpa_attention_forward, None),
            ("spans", packed_attention, spans),
        ):
            works[f"{name}, {dtype}".replace("torch.", "")] = partial(
                _attend, function, layer, parts, given, ends
            )
    found = interleaved_seconds(works, repeats=3)
    return {name: round(value, 4) for name, value in found.items()}


def _attend(
    function: Callable[..., tuple[torch.Tensor, object]],
    layer: nn.Module,
    parts: Sequence[torch.Tensor],
    mask: torch.Tensor | None,
    ends: Sequence[int],
) -> None:
    """Attend and go back; without a mask each sample by itself, in the type that it has."""
    if mask is not None:
        mixed = function(layer, *parts, mask)[0]
    else:
        mixed = torch.cat(
            [
                function(layer, *(part[:, :, start:end] for part in parts), None)[0]
                for start, end in pairwise(ends)
            ],
            dim=1,
        )
    mixed.sum().backward()


def _rows(
    processor: VideoLLMProcessor, samples: Sequence[Example], row_tokens: int
) -> list[list[Example]]:
    lengths = [sample_tokens(processor, sample) for sample in samples]
    return [[samples[place] for place in row] for row in fill_rows(lengths, row_tokens)]


def _pass(
    adapted: nn.Module, model: VideoLLMForConditionalGeneration, way: _Way, supervised: int
) -> None:
    """Collate all samples and take their gradients."""
    model.language_model.set_attn_implementation(way.implementation)
    way.tokens, way.loss = 0, 0.0
    for examples in way.batches:
        batch = way.collate(examples)
        way.tokens += batch["input_ids"].numel()
        loss = adapted(**batch, num_items_in_batch=supervised).loss
        loss.backward()
        way.loss += float(loss.detach())
    adapted.zero_grad()


if __name__ == "__main__":
    sys.exit(main())
