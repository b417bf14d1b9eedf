"""Turn what the instruct stage wrote into a checkpoint to release: fp16, portable, small.

    python scripts/release_demo.py runs/demo_instruct checkpoints/demo

The language model's weights are not part of it: its name is (`text_model` in config.json).
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

MAX_BYTES = 30 * 1000 * 1000
ADAPTER = "adapter"
PLAIN_FILES = (
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)


def write_half(source: Path, target: Path) -> None:
    """Write the tensors of a safetensors file in fp16, its header as it is."""
    with safe_open(source, framework="pt") as file:
        tensors = {name: file.get_tensor(name).to(torch.float16) for name in file.keys()}  # noqa: SIM118
        save_file(tensors, target, metadata=file.metadata())
    target.chmod(0o644)


def forget_places(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config without the paths of the machine that wrote it."""
    kept = {name: value for name, value in config.items() if name != "_name_or_path"}
    return {
        name: forget_places(value) if isinstance(value, dict) else value
        for name, value in kept.items()
    }


def write_json(value: dict[str, Any], target: Path) -> None:
    """Write a config as transformers does."""
    target.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def release(source: Path, target: Path) -> int:
    """Write the checkpoint and return its bytes; a model card already there stays."""
    (target / ADAPTER).mkdir(parents=True, exist_ok=True)
    for name in PLAIN_FILES:
        shutil.copyfile(source / name, target / name)
    write_half(source / "model.safetensors", target / "model.safetensors")
    weights = f"{ADAPTER}/adapter_model.safetensors"
    write_half(source / weights, target / weights)
    config = json.loads((source / "config.json").read_text())
    write_json(forget_places(config), target / "config.json")
    adapter = json.loads((source / ADAPTER / "adapter_config.json").read_text())
    write_json(
        adapter | {"base_model_name_or_path": ".."}, target / ADAPTER / "adapter_config.json"
    )
    return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="folder that the instruct stage wrote")
    parser.add_argument("target", type=Path, help="folder of the checkpoint to release")
    options = parser.parse_args()
    if not (options.source / ADAPTER / "adapter_config.json").is_file():
        print(f"error: {options.source} holds no adapter: run instruct first", file=sys.stderr)
        return 2
    size = release(options.source, options.target)
    print(f"{options.target}: {size / 1e6:.1f} MB")
    if size > MAX_BYTES:
        print(f"error: more than {MAX_BYTES / 1e6:.0f} MB: lower the LoRA rank", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
