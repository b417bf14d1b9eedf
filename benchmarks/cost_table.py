"""What the full-scale recipes cost, from measured speeds, or estimated where none is given.

python -m benchmarks.cost_table [--measured FILE] [--speed RECIPE=CLIPS_PER_SECOND ...]

A speed is clips that one device learns from in a second, in the recipe itself: views of a clip
count apart. `--measured` reads {"clips_per_second": {RECIPE: SPEED}} from a JSON file. Recipes
without a speed get an estimate: operations counted from the sizes, at 40 % of the 989 TFLOP/s
(dense bf16) of one H100-class GPU. That is what dense Transformers reach at best: scans that wait
for memory and videos that wait to be decoded make real runs many times slower, so an estimate is
the least a run can cost. The test at the end of a run is not included.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks.encoder_flops import classifier_flops, pretraining_flops, vit_flops
from benchmarks.measure import save
from videollm.encoder import VideoMAPPreTrainingConfig, middle_config
from videollm.train.recipe import find_recipe

NUM_SAMPLES = {
    "pretrain_k400_middle": 240_000,
    "pretrain_ssv2_middle": 168_913,
    "finetune_k400": 240_000,
    "finetune_ssv2": 168_913,
    "finetune_breakfast": 1_357,
    "finetune_coin": 9_030,
}
"""Videos of an epoch by recipe: the published training lists, Kinetics as far as still there."""

PEAK_FLOPS = 989e12
UTILISATION = 0.4
NUM_DEVICES = 8
SPELLING = "RECIPE=CLIPS_PER_SECOND, one of " + ", ".join(NUM_SAMPLES) + " and above 0"


def main(argv: list[str] | None = None) -> int:
    """Print the table as Markdown and write it; return the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--measured", type=Path)
    parser.add_argument("--speed", action="append", default=[], help=SPELLING)
    parser.add_argument("--output", type=Path, help="folder for cost_table.json")
    options = parser.parse_args(arguments)
    speeds: dict[str, Any] = {}
    if options.measured is not None:
        speeds = json.loads(options.measured.read_text())["clips_per_second"]
    for given in options.speed:
        name, _, speed = given.partition("=")
        speeds[name] = float(speed or 0)
    if wrong := [name for name, speed in speeds.items() if name not in NUM_SAMPLES or speed <= 0]:
        parser.error(f"speed of {', '.join(wrong)}: give {SPELLING}")
    rows = [
        cost_row(name, clips_per_second=float(speeds[name]), source="measured")
        if name in speeds
        else cost_row(name, clips_per_second=estimated_speed(name), source="estimate")
        for name in NUM_SAMPLES
    ]
    print(as_markdown(rows))
    if options.output is not None:
        print(
            save(
                options.output, "cost_table", {"rows": rows}, ["benchmarks.cost_table", *arguments]
            )
        )
    return 0


def cost_row(name: str, *, clips_per_second: float, source: str) -> dict[str, Any]:
    """Return what a recipe costs at a speed of one device.

    Args:
        name: Of the recipe.
        clips_per_second: Clips that one device learns from in a second.
        source: "measured" or "estimate".
    """
    recipe = load(name)
    clips = recipe["num_train_epochs"] * recipe.get("repeats", 1) * NUM_SAMPLES[name]
    seconds = clips / clips_per_second
    return {
        "recipe": name,
        "epochs": recipe["num_train_epochs"],
        "frames": recipe["num_frames"],
        "clips": clips,
        "tflop_per_clip": clip_flops(name) / 1e12,
        "clips_per_second": clips_per_second,
        "source": source,
        "device_days": seconds / 86400,
        "hours_on_8": seconds / 3600 / NUM_DEVICES,
    }


def estimated_speed(name: str) -> float:
    """Return clips a second of one device at the assumed share of its peak."""
    return UTILISATION * PEAK_FLOPS / clip_flops(name)


def clip_flops(name: str) -> float:
    """Return the operations of learning from one clip with a recipe.

    With activation checkpointing the forward pass runs twice: a third more.
    """
    recipe = load(name)
    num_frames = recipe["num_frames"]
    encoder = middle_config(scan_mode="frame_causal")
    if recipe["stage"] == "classify":
        again = 4 / 3 if recipe.get("activation_checkpointing") else 1.0
        return again * classifier_flops(encoder, num_frames=num_frames)
    config = VideoMAPPreTrainingConfig(
        encoder_config=encoder,
        target_type="features",
        target_dim=768,
        decoder_layers=recipe["decoder_layers"],
        decoder_hidden_size=recipe["decoder_hidden_size"],
        decoder_attention_heads=recipe["decoder_attention_heads"],
    )
    teacher = vit_flops(width=768, num_layers=12, image_size=224, patch_size=16)
    (keep,) = recipe["keep_ratios"]
    return pretraining_flops(config, num_frames=num_frames, keep=keep, teacher_flops=teacher)


def load(name: str) -> dict[str, Any]:
    """Return the values of a shipped recipe."""
    values: dict[str, Any] = yaml.safe_load(find_recipe(name).read_text())
    return values


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table."""
    lines = [
        "| recipe | epochs | frames | million clips | TFLOP a clip | clips/s of one GPU | "
        "GPU-days | hours on 8 GPUs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{row['recipe']}` | {row['epochs']} | {row['frames']} | {row['clips'] / 1e6:.2f} | "
        f"{row['tflop_per_clip']:.2f} | {row['clips_per_second']:.3g} ({row['source']}) | "
        f"{row['device_days']:.3g} | {row['hours_on_8']:.3g} |"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
