"""Peak memory of `videollm instruct` on the demo model, and whether it learns in four bits.

python -m benchmarks.instruct_memory [--steps 20] [--cases lora,qlora] [--output FOLDER]

Each case runs the recipe `demo_instruct` in a fresh process with a fresh adapter on the demo's
encoder and projector. Memory is the process's resident memory: its peak, and what it held when
training began (libraries, weights and data; none of it can be saved by checkpointing). The
laws: every peak is under 6 GiB; gradient checkpointing cuts what training adds by 40 % or more;
in four bits the loss falls.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.measure import apart, forget_peak, resident_bytes, save
from videollm.loading import resolve_model

GIB = 2**30
MAX_PEAK_GIB = 6.0
MIN_CUT = 0.4
CASES = {
    "lora": [],
    "lora_checkpointed": ["--activation_checkpointing", "true"],
    "qlora": ["--tuning", "qlora"],
    "qlora_checkpointed": ["--tuning", "qlora", "--activation_checkpointing", "true"],
}


def main(argv: list[str] | None = None) -> int:
    """Run the cases, print, write; return 1 if a law is broken."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("words", nargs="*", help="further words for instruct, after --")
    options = parser.parse_args(arguments)
    cases: dict[str, Any] = {}
    for name in options.cases.split(","):
        cases[name] = apart(run_case, name, options.steps, options.words)
        print(name, cases[name], flush=True)
    results = {"steps": options.steps, "cases": cases, **judge(cases)}
    print({key: value for key, value in results.items() if key != "cases"})
    command = ["benchmarks.instruct_memory", *arguments]
    print(save(options.output, "instruct_memory", results, command))
    return 0 if results["laws_hold"] else 1


def judge(cases: dict[str, Any]) -> dict[str, Any]:
    """Return the cuts by checkpointing, the fall of the losses, and whether the laws hold."""
    cuts = {
        name: 1 - cases[f"{name}_checkpointed"]["training_gib"] / cases[name]["training_gib"]
        for name in ("lora", "qlora")
        if {name, f"{name}_checkpointed"} <= cases.keys()
    }
    falls = {name: case["first_losses"] - case["last_losses"] for name, case in cases.items()}
    peaks = [case["peak_gib"] for case in cases.values()]
    return {
        "cut_by_checkpointing": cuts,
        "fall_of_loss": falls,
        "laws_hold": max(peaks) < MAX_PEAK_GIB
        and all(cut >= MIN_CUT for cut in cuts.values())
        and all(fall > 0 for name, fall in falls.items() if name.startswith("qlora")),
    }


def run_case(name: str, steps: int, words: list[str]) -> dict[str, Any]:
    """Train in this process and return its memory in GiB and its mean losses.

    Args:
        name: One of `CASES`.
        steps: Optimizer steps.
        words: Further words of the command line.

    Returns:
        `peak_gib` of it all; `resident_gib` when training began; `training_gib`, what training
        added at its peak; `first_losses` and `last_losses`, means of a quarter of the steps each.
    """
    from videollm.train import instruct
    from videollm.train.callbacks import read_metrics
    from videollm.train.stage import run_training

    before = resident = 0

    def noted(*given: Any, **options: Any) -> None:
        nonlocal before, resident
        before, resident = resident_bytes("VmHWM"), resident_bytes("VmRSS")
        forget_peak()
        run_training(*given, **options)

    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch) / "base"
        shutil.copytree(resolve_model("demo").base, base, ignore=lambda *_: ["adapter"])
        command = ["demo_instruct", "--model", str(base), "--output_dir", f"{scratch}/out"]
        command += ["--max_steps", str(steps), "--logging_steps", "1", "--warmup_steps", "0"]
        command += ["--lr_scheduler_type", "constant", "--save_strategy", "no"]
        command += ["--disable_tqdm", "true", *CASES[name], *words]
        with mock.patch.object(instruct, "run_training", noted):
            code = instruct.main(command)
        if code:
            raise RuntimeError(f"{name}: instruct ended with {code}")
        records = read_metrics(Path(scratch) / "out")
    losses = [record["loss"] for record in records if "loss" in record]
    part = max(1, len(losses) // 4)
    peak = resident_bytes("VmHWM")
    return {
        "peak_gib": round(max(before, peak) / GIB, 3),
        "resident_gib": round(resident / GIB, 3),
        "training_gib": round((peak - resident) / GIB, 3),
        "first_losses": round(sum(losses[:part]) / part, 4),
        "last_losses": round(sum(losses[-part:]) / part, 4),
    }


if __name__ == "__main__":
    sys.exit(main())
