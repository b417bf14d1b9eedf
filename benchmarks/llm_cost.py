"""Memory and hours of the recipes that train large language models, and how far to trust them.

python -m benchmarks.llm_cost [--measure] [--speed RECIPE=SAMPLES_PER_SECOND ...] [--output FOLDER]

Memory is that of `benchmarks.llm_memory`. Hours follow from operations counted from the sizes at
40 % of a GPU's peak, as in `cost_table`; a speed measured on a GPU (samples a second) is put in
with `--speed`, and its row is marked so. Decoding videos is not in it. `--measure` trains a
VideoLLM of the demo's size here, LoRA with activation checkpointing as the recipes have it: its
operations a second are set beside those of plain matrix products in the same process, and what it
adds to the memory of a process of its own beside the estimate.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.cost_table import UTILISATION
from benchmarks.encoder_flops import encoder_flops
from benchmarks.llm_memory import estimate, linear_parameters, text_config, vision
from benchmarks.measure import RESULTS, apart, forget_peak, resident_bytes, save
from videollm.config import VideoLLMConfig
from videollm.encoder import demo_config
from videollm.encoder.config import VideoMAPConfig
from videollm.heap import return_large_blocks
from videollm.lora import LoraShape, attach_lora, unwrap_adapter
from videollm.model import VideoLLMForConditionalGeneration
from videollm.train.recipe import find_recipe

MODELS = {
    "smollm2_1_7b": "HuggingFaceTB/SmolLM2-1.7B-Instruct",
    "qwen3_4b": "Qwen/Qwen3-4B",
    "qwen3_8b": "Qwen/Qwen3-8B",
}
TEXT_TOKENS = {"align": 550, "instruct": 250}
"""Tokens of a sample beside the visual ones, assumed: times, question, and an answer."""
ANSWER_TOKENS = {"align": 400, "instruct": 100}
PEAK_FLOPS = 989e12
NUM_DEVICES = 8
SMALL = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""The language model whose training is measured."""

SPEED_TOKENS, MEMORY_TOKENS = (256, 128), (768, 256)
"""Visual and other tokens of the sample that is measured."""

SMALL_RECIPE: dict[str, Any] = {
    "stage": "instruct",
    "per_device_train_batch_size": 1,
    "lora_rank": 16,
    "lora_alpha": 32,
}


def main(argv: list[str] | None = None) -> int:
    """Print the table as Markdown, write it with measurements; return the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--measure", action="store_true", help="train a small one here")
    parser.add_argument("--speed", action="append", default=[], help="RECIPE=SAMPLES_PER_SECOND")
    parser.add_argument("--output", type=Path, default=Path(RESULTS))
    options = parser.parse_args(arguments)
    speeds = {
        name: float(speed) for name, _, speed in (item.partition("=") for item in options.speed)
    }
    rows = [
        cost_row(f"{stage}_{key}", tuning, speeds)
        for key in MODELS
        for stage, tuning in (("align", ""), ("instruct", "lora"), ("instruct", "qlora"))
    ]
    print(as_markdown(rows))
    if options.measure:
        found = {"speed": measure_speed(), "memory": apart(measure_memory), "rows": rows}
        print(found["speed"], found["memory"])
        print(save(options.output, "llm_cost", found, ["benchmarks.llm_cost", *arguments]))
    return 0


def cost_row(recipe_name: str, tuning: str, speeds: dict[str, float]) -> dict[str, Any]:
    """Return what a recipe costs.

    Args:
        recipe_name: A shipped one.
        tuning: "lora" or "qlora", empty for align.
        speeds: Samples a second of one GPU by recipe, where they were measured.
    """
    recipe: dict[str, Any] = yaml.safe_load(find_recipe(recipe_name).read_text())
    stage = recipe["stage"]
    recipe["tuning"] = tuning
    name = MODELS[recipe_name.removeprefix(f"{stage}_")]
    visual = recipe["max_visual_tokens"]
    memory = estimate(
        recipe,
        name=name,
        num_tokens=visual + TEXT_TOKENS[stage],
        num_answer=ANSWER_TOKENS[stage],
    )
    flops = sample_flops(
        text_config(name),
        vision(),
        num_frames=recipe["num_frames"],
        num_tokens=visual + TEXT_TOKENS[stage],
        num_answer=ANSWER_TOKENS[stage],
    )
    batch = recipe["per_device_train_batch_size"] * recipe["gradient_accumulation_steps"]
    samples = recipe["max_steps"] * batch * NUM_DEVICES
    speed = speeds.get(recipe_name, UTILISATION * PEAK_FLOPS / flops)
    return {
        "recipe": recipe_name,
        "tuning": tuning,
        "gib": memory.gib,
        "parts_gib": {part: getattr(memory, part) / 2**30 for part in memory.__slots__},
        "samples": samples,
        "tflop_per_sample": flops / 1e12,
        "samples_per_second": speed,
        "source": "measured" if recipe_name in speeds else "estimate",
        "hours_on_8": samples / speed / NUM_DEVICES / 3600,
    }


def sample_flops(
    text: Any,  # noqa: ANN401 - any language model's config
    encoder: VideoMAPConfig,
    *,
    num_frames: int,
    num_tokens: int,
    num_answer: int,
) -> float:
    """Return the operations of learning from one sample beside frozen weights, checkpointed.

    The language model runs forwards twice and backwards once, there towards inputs only; a frozen
    encoder runs forwards once. What an adapter adds is left out: 1 to 3 % of it.
    """
    with torch.device("meta"):
        model = VideoLLMForConditionalGeneration(
            VideoLLMConfig(vision_config=encoder, text_config=text, video_token_id=1)
        )
    heads = text.num_attention_heads * getattr(text, "head_dim", 0)
    layers = 2.0 * linear_parameters(model.language_model) * num_tokens
    # Causal: half of all products of queries with keys, and of weights with values.
    layers += text.num_hidden_layers * 2.0 * heads * num_tokens**2
    head = 2.0 * text.vocab_size * text.hidden_size * num_answer
    return 3 * layers + 2 * head + encoder_flops(encoder, num_frames=num_frames)


def measure_speed() -> dict[str, Any]:
    """Return the speed of training a small VideoLLM, and its share of the machine's peak."""
    step = _small_training(SPEED_TOKENS)
    flops = sample_flops(
        text_config(SMALL),
        demo_config(),
        num_frames=_num_frames(SPEED_TOKENS[0]),
        num_tokens=sum(SPEED_TOKENS),
        num_answer=ANSWER_TOKENS["instruct"],
    )
    square = torch.randn(2048, 2048)
    peak = 2 * 2048**3 / _best_seconds(lambda: torch.mm(square, square), 5)
    seconds = _best_seconds(step, 4)
    return {
        "seconds_per_sample": seconds,
        "tokens_per_second": sum(SPEED_TOKENS) / seconds,
        "gflop_per_sample": flops / 1e9,
        "gflops": flops / seconds / 1e9,
        "matrix_product_gflops": peak / 1e9,
        "share_of_peak": flops / seconds / peak,
    }


def measure_memory() -> dict[str, float]:
    """Return the MiB that training adds to a small VideoLLM's weights, and the estimate."""
    return_large_blocks()
    step = _small_training(MEMORY_TOKENS)
    before = resident_bytes("VmRSS")
    step()  # the optimizer has its means from now on
    forget_peak()
    step()
    estimated = estimate(
        {**SMALL_RECIPE, "num_frames": _num_frames(MEMORY_TOKENS[0])},
        name=SMALL,
        num_tokens=sum(MEMORY_TOKENS),
        num_answer=ANSWER_TOKENS["instruct"],
        encoder=demo_config(),
        dtype=torch.float32,
    )
    measured = (resident_bytes("VmHWM") - before) / 2**20
    expected = 1024 * estimated.gib - estimated.weights / 2**20
    return {
        "measured_mib": measured,
        "estimated_mib": expected,
        "estimate_over_measured": expected / measured,
    }


def _num_frames(num_visual: int) -> int:
    return num_visual // 16 * demo_config().tubelet_size


def _small_training(num_tokens: tuple[int, int]) -> Callable[[], None]:
    """Return a step of LoRA with activation checkpointing on one sample of a small VideoLLM.

    Args:
        num_tokens: Visual and other tokens.
    """
    torch.manual_seed(0)
    encoder = demo_config()
    config = VideoLLMConfig(
        vision_config=encoder,
        text_config=text_config(SMALL),
        tokens_per_frame=16,
        video_token_id=1,
    )
    shape = LoraShape(rank=SMALL_RECIPE["lora_rank"], alpha=SMALL_RECIPE["lora_alpha"])
    model = attach_lora(VideoLLMForConditionalGeneration(config), shape)
    model.train()
    unwrap_adapter(model).activation_checkpointing_enable()
    model.enable_input_require_grads()
    visual, others = num_tokens
    ids = torch.full((1, visual + others), 2)
    ids[:, :visual] = 1
    labels = ids.clone()
    labels[:, : -ANSWER_TOKENS["instruct"]] = -100
    pixels = torch.zeros(1, _num_frames(visual), 3, encoder.image_size, encoder.image_size)
    learning = [item for item in model.parameters() if item.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-4)

    def step() -> None:
        model(input_ids=ids, labels=labels, pixel_values=pixels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _best_seconds(work: Any, repeats: int) -> float:  # noqa: ANN401 - any call
    times = []
    for _ in range(repeats + 1):  # the first warms up
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table."""
    lines = [
        "| recipe | tuning | GiB of each GPU | million samples | TFLOP a sample | "
        "samples/s of one GPU | hours on 8 GPUs |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{row['recipe']}` | {row['tuning'] or 'projector'} | {row['gib']:.0f} | "
        f"{row['samples'] / 1e6:.2f} | {row['tflop_per_sample']:.0f} | "
        f"{row['samples_per_second']:.1f} ({row['source']}) | {row['hours_on_8']:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
