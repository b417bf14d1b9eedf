"""The life of an adapter that was trained on SmolLM2-135M in four bits, from training to merging.

python -m benchmarks.qlora_life [--steps 20] [--output FOLDER]

Runs `instruct` with tuning: qlora on the demo's encoder and projector, loads the adapter onto the
base in four bits and in full, merges it, and asks each the same held-out questions. The laws: the
loss falls; of the loaded model only linear layers of the language model are quantized; merged and
unmerged give the same logits within rounding and the same answers.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measure import save
from videollm.api import VideoLLM
from videollm.loading import load_base, merge_model, resolve_model
from videollm.lora import load_adapter, unwrap_adapter
from videollm.model import VideoLLMForConditionalGeneration
from videollm.processor import VideoLLMProcessor
from videollm.runtime import configure_logging
from videollm.train import instruct
from videollm.train.arguments import DataArguments
from videollm.train.callbacks import read_metrics
from videollm.train.collate import PackingCollator
from videollm.train.toyworld_dialogues import ToyWorldDialogues

NUM_CLIPS = 4
MAX_DIFFERENCE = 1e-3
"""Of logits merged and unmerged, both in float32, relative to the largest."""


def main(argv: list[str] | None = None) -> int:
    """Train, load, merge, ask, print, write; return 1 if a law is broken."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    configure_logging()
    with tempfile.TemporaryDirectory() as scratch:
        results = {**_train(Path(scratch), options.steps), **_compare(Path(scratch) / "out")}
    results["laws_hold"] = bool(
        results["last_losses"] < results["first_losses"]
        and results["quantized_outside_the_language_model"] == 0
        and results["largest_relative_difference"] < MAX_DIFFERENCE
        and results["answers"]["merged"] == results["answers"]["unmerged"]
    )
    for name, value in results.items():
        print(f"{name}: {value}")
    print(save(options.output, "qlora_life", results, ["benchmarks.qlora_life", *arguments]))
    return 0 if results["laws_hold"] else 1


def _train(scratch: Path, steps: int) -> dict[str, Any]:
    base = scratch / "base"
    shutil.copytree(resolve_model("demo").base, base, ignore=lambda *_: ["adapter"])
    command = ["demo_instruct", "--model", str(base), "--output_dir", str(scratch / "out")]
    command += ["--max_steps", str(steps), "--logging_steps", "1", "--warmup_steps", "0"]
    command += ["--lr_scheduler_type", "constant", "--save_strategy", "no", "--tuning", "qlora"]
    command += ["--per_device_train_batch_size", "1", "--questions_per_clip", "4"]
    if code := instruct.main([*command, "--disable_tqdm", "true"]):
        raise RuntimeError(f"instruct ended with {code}")
    losses = [record["loss"] for record in read_metrics(scratch / "out") if "loss" in record]
    part = max(1, len(losses) // 4)
    return {
        "steps": steps,
        "first_losses": round(sum(losses[:part]) / part, 4),
        "last_losses": round(sum(losses[-part:]) / part, 4),
    }


def _compare(folder: Path) -> dict[str, Any]:
    source = resolve_model(folder)
    assert source.adapter is not None
    answers: dict[str, list[str]] = {}
    scores: dict[str, Tensor] = {}
    outside = 0
    for name in ("four_bits", "unmerged", "merged"):
        if name == "merged":
            model, processor = merge_model(folder, dtype=torch.float32)
        else:
            bits = "nf4" if name == "four_bits" else None
            base, processor = load_base(source.base, dtype=torch.float32, quantization=bits)
            outside += _quantized_outside(base) if bits else 0
            model = unwrap_adapter(load_adapter(base, source.adapter, own_base=True))
        ready: nn.Module = model
        ready.eval()
        answers[name], scores[name] = _ask(model, processor)
    difference = (scores["merged"] - scores["unmerged"]).abs().max()
    return {
        "quantized_outside_the_language_model": outside,
        "largest_relative_difference": float(difference / scores["unmerged"].abs().max()),
        "answers": answers,
        "same_in_four_bits": f"{_same(answers['four_bits'], answers['unmerged'])} of {NUM_CLIPS}",
    }


def _quantized_outside(model: VideoLLMForConditionalGeneration) -> int:
    """Return how many weights of the encoder, the projector and the head are not floating."""
    parts = (model.vision_model, model.projector, model.get_output_embeddings())
    return sum(not item.is_floating_point() for part in parts for item in part.parameters())


@torch.no_grad()
def _ask(
    model: VideoLLMForConditionalGeneration, processor: VideoLLMProcessor
) -> tuple[list[str], Tensor]:
    """Return answers to a question about each held-out clip, and the logits of the right ones."""
    held_out = ToyWorldDialogues(
        "val",
        num_clips=NUM_CLIPS,
        seed=0,
        image_size=processor.image_size,
        num_frames=processor.num_frames,
        questions=1,
    )
    examples = [held_out[number] for number in range(NUM_CLIPS)]
    loaded = VideoLLM(model, processor, name="held out")
    told = []
    for example in examples:
        question = example.dialogues[0][0]["content"][-1]["text"]
        told.append(loaded.ask(example.videos[0], question, max_new_tokens=8).answer)
    collate = PackingCollator(processor=processor, max_length=DataArguments().max_length)
    return told, model(**collate(examples)).logits


def _same(first: list[str], second: list[str]) -> int:
    return sum(one == other for one, other in zip(first, second, strict=True))


if __name__ == "__main__":
    sys.exit(main())
