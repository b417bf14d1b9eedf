"""Peak memory of `videollm instruct` on the demo model, and whether it learns in four bits.

python -m benchmarks.instruct_memory [--cases lora,qlora] [--output FOLDER]

Each case runs the recipe `demo_instruct` in a fresh process with a fresh adapter on the demo's
encoder and projector. Memory is the process's resident memory: its peak, what it held when training
began, and of that what the libraries took. Checkpointing can save nothing of the last two, so its
cut is given twice: of what training adds, and of the peak itself. `lora` is the recipe as it stands
(2 clips, 20 questions a step), `large` three times as much. The laws: every peak is under 6 GiB;
checkpointing cuts both by 40 % or more; in four bits the loss falls.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from torch import nn

from benchmarks.measure import apart, forget_peak, resident_bytes, save
from videollm.loading import resolve_model

GIB = 2**30
MAX_PEAK_GIB = 6.0
MIN_CUT = 0.4
SMALL = ["--per_device_train_batch_size", "1", "--questions_per_clip", "4"]
LARGE = ["--per_device_train_batch_size", "6"]
CHECKPOINTED = ["--activation_checkpointing", "true"]
CASES = {
    "lora": (2, []),
    "lora_checkpointed": (2, CHECKPOINTED),
    "large": (2, LARGE),
    "large_checkpointed": (2, [*LARGE, *CHECKPOINTED]),
    "qlora": (20, ["--tuning", "qlora", *SMALL]),
}
"""Steps and further words of each case; enough steps for the peak, and for a loss to fall."""


def main(argv: list[str] | None = None) -> int:
    """Run the cases, print, write; return 1 if a law is broken."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    cases: dict[str, Any] = {}
    for name in options.cases.split(","):
        cases[name] = apart(run_case, name)
        print(name, cases[name], flush=True)
    results = {"cases": cases, **judge(cases)}
    print({key: value for key, value in results.items() if key != "cases"})
    command = ["benchmarks.instruct_memory", *arguments]
    print(save(options.output, "instruct_memory", results, command))
    return 0 if results["laws_hold"] else 1


def judge(cases: dict[str, Any]) -> dict[str, Any]:
    """Return the peak, the cuts by checkpointing, the fall of the loss, and if the laws hold."""
    found: dict[str, Any] = {"peak_gib": max(case["peak_gib"] for case in cases.values())}
    holds = found["peak_gib"] < MAX_PEAK_GIB
    for name in ("lora", "large"):
        if {name, f"{name}_checkpointed"} <= cases.keys():
            plain, less = cases[name], cases[f"{name}_checkpointed"]
            cuts = {
                kind: round(1 - less[f"{kind}_gib"] / plain[f"{kind}_gib"], 3)
                for kind in ("training", "peak")
            }
            found[f"cut_by_checkpointing_{name}"] = cuts
            holds = holds and min(cuts.values()) >= MIN_CUT
    if "qlora" in cases:
        first, last = (cases["qlora"][name] for name in ("first_losses", "last_losses"))
        found["fall_of_loss_in_four_bits"] = round(first - last, 4)
        holds = holds and last < first
    return {**found, "laws_hold": holds}


def run_case(name: str) -> dict[str, Any]:
    """Train in this process and return its memory in GiB and its mean losses.

    Args:
        name: One of `CASES`.

    Returns:
        `peak_gib` of it all; `libraries_gib` before anything was loaded; `resident_gib` when
        training began; `training_gib`, what training added at its peak; `first_losses` and
        `last_losses`, means of a quarter of the steps each.
    """
    from videollm.train import instruct
    from videollm.train.callbacks import read_metrics
    from videollm.train.stage import Run, run_training

    before = resident = 0
    libraries = resident_bytes("VmRSS")
    steps, words = CASES[name]

    def noted(run: Run, model: nn.Module, **options: Any) -> None:
        nonlocal before, resident
        # Weights are mapped from their file: without a look at them they are not resident.
        for parameter in model.parameters():
            parameter.detach().float().sum()
        before, resident = resident_bytes("VmHWM"), resident_bytes("VmRSS")
        forget_peak()
        run_training(run, model, **options)

    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch) / "base"
        shutil.copytree(resolve_model("demo").base, base, ignore=lambda *_: ["adapter"])
        command = ["demo_instruct", "--model", str(base), "--output_dir", f"{scratch}/out"]
        command += ["--max_steps", str(steps), "--logging_steps", "1", "--warmup_steps", "0"]
        command += ["--lr_scheduler_type", "constant", "--save_strategy", "no"]
        command += ["--disable_tqdm", "true", *words]
        with mock.patch("videollm.train.instruct.run_training", noted):
            code = instruct.main(command)
        if code:
            raise RuntimeError(f"{name}: instruct ended with {code}")
        records = read_metrics(Path(scratch) / "out")
    losses = [record["loss"] for record in records if "loss" in record]
    part = max(1, len(losses) // 4)
    peak = resident_bytes("VmHWM")
    return {
        "peak_gib": round(max(before, peak) / GIB, 3),
        "libraries_gib": round(libraries / GIB, 3),
        "resident_gib": round(resident / GIB, 3),
        "training_gib": round((peak - resident) / GIB, 3),
        "first_losses": round(sum(losses[:part]) / part, 4),
        "last_losses": round(sum(losses[-part:]) / part, 4),
    }


if __name__ == "__main__":
    sys.exit(main())
