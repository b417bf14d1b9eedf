"""All stages of a model of the shape world, from nothing; see `train_shapes.sh`.

    python scripts/train_shapes.py [--quick] [FOLDER]

A GPU is used where there is one, and bfloat16 where it is the faster format. The seconds that each
stage took are appended to FOLDER/times.tsv.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml

from videollm.runtime import pick_dtype
from videollm.train.recipe import shipped_recipes

QUICK: dict[str, tuple[str, ...]] = {
    "answers": ("--limit", "32"),
    "pretrain": ("--max_steps", "200", "--warmup_steps", "20"),
    "align": ("--max_steps", "80"),
    "accounts": ("--max_steps", "140"),
    "instruct": ("--max_steps", "60", "--warmup_steps", "10"),
}
"""What the quick form changes of each stage."""

Stage = tuple[str, list[str]]


def stages(runs: Path, *, quick: bool) -> list[Stage]:
    """Return the names of all stages, in order, and what `python -m` runs for each."""
    has_gpu = torch.cuda.is_available()
    bf16 = pick_dtype("auto", "cuda" if has_gpu else "cpu") is torch.bfloat16
    answers = runs / "general.jsonl"
    own = {
        "pretrain": ["--bf16", str(bf16)],
        "align": ["--encoder", f"{runs}/shapes_pretrain/encoder"],
        "accounts": ["--model", f"{runs}/shapes_align"],
        "instruct": ["--model", f"{runs}/shapes_accounts", "--mixture", mixture(answers)],
    }
    asked = ["videollm.train.general_answers", "--output", str(answers)]
    made: list[Stage] = [("answers", asked)]
    for name, options in own.items():
        recipe = f"shapes_{name}"
        stage = "instruct" if name == "accounts" else name
        words = [f"videollm.train.{stage}", recipe, "--output_dir", f"{runs}/{recipe}"]
        made.append((name, [*words, "--use_cpu", str(not has_gpu), *options]))
    if quick:
        made = [(name, [*words, *QUICK[name]]) for name, words in made]
        words = ["videollm", "eval", "--model", f"{runs}/shapes_instruct", "--tasks", "shapeworld"]
        words += ["--limit", "200", "--baselines", "blind", "--output", f"{runs}/quick_eval"]
        made.append(("eval", words))
    return made


def mixture(answers: Path) -> str:
    """Return the mixture of the last stage as JSON, with the language model's own answers."""
    recipe = yaml.safe_load(shipped_recipes()["shapes_instruct"].read_text(encoding="utf-8"))
    recipe["mixture"]["text"]["data_path"] = str(answers)
    return json.dumps(recipe["mixture"])


def main(argv: Sequence[str] | None = None) -> int:
    """Run all stages; return the exit code of the one that failed, or 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a few minutes of every stage")
    parser.add_argument("folder", nargs="?", type=Path, help="default: runs, or runs/quick")
    options = parser.parse_args(argv)
    runs: Path = options.folder or Path("runs/quick" if options.quick else "runs")
    runs.mkdir(parents=True, exist_ok=True)
    for name, words in stages(runs, quick=options.quick):
        start = time.monotonic()
        code = subprocess.run([sys.executable, "-m", *words]).returncode
        if code:
            return code
        line = f"{name}\t{time.monotonic() - start:.0f} s"
        print(line, flush=True)
        with (runs / "times.tsv").open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
