"""Kill a training run at random moments; what it ends with must not show it.

python -m benchmarks.kill_resume [--recipe tiny_instruct] [--kills 5] [--steps 40] [--seed 0]

Instruction tuning runs once without a break. Then the same command is started, killed with SIGKILL
at any moment after its model was built, and started again, as often as asked for; the last start
is left to finish. Losses and adapter have to be equal bit for bit. Further options go to the
training.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks.measure import save
from videollm.train.callbacks import read_metrics
from videollm.train.recipe import RECIPE_FILE

ADAPTER = Path("adapter/adapter_model.safetensors")
POLL_SECONDS = 0.02


def main(argv: list[str] | None = None) -> int:
    """Run, compare, print, write; return 0 if nothing shows."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--recipe", default="tiny_instruct")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options, further = parser.parse_known_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        results = compare(
            Path(folder),
            [options.recipe, "--save_steps", "1", *further],
            max_steps=options.steps,
            kills=options.kills,
            seed=options.seed,
        )
    print(results)
    print(save(options.output, "kill_resume", results, ["benchmarks.kill_resume", *arguments]))
    return 0 if results["equal"] else 1


def compare(
    folder: Path, command: Sequence[str], *, max_steps: int, kills: int, seed: int
) -> dict[str, Any]:
    """Return how far each killed run came, and whether the end is the uninterrupted one's.

    Args:
        folder: For both runs.
        command: Recipe and options.
        max_steps: Steps of the whole run.
        kills: How often to kill.
        seed: Of the moments.
    """
    whole, killed = folder / "whole", folder / "killed"
    command = [*command, "--max_steps", str(max_steps)]
    start(command, whole).wait()
    seconds = (whole / ADAPTER).stat().st_mtime - begun(whole)
    rng = random.Random(seed)
    steps = []
    for done in range(kills):
        before = begun(killed)
        run = start(command, killed)
        while run.poll() is None and begun(killed) == before:
            time.sleep(POLL_SECONDS)
        left = 1 - _last_step(killed) / max_steps
        # On average what is left is divided evenly among the kills that are left.
        time.sleep(rng.uniform(0, 2 * seconds * left / (kills - done + 1)))
        run.kill()
        if run.wait() == -signal.SIGKILL:
            steps.append(_last_step(killed))
    if start(command, killed).wait():
        raise RuntimeError(f"the last start failed; see {killed / 'log.txt'}")
    losses = [[item.get("loss") for item in read_metrics(run)[:-1]] for run in (whole, killed)]
    adapters = [load_file(run / ADAPTER) for run in (whole, killed)]
    same = adapters[0].keys() == adapters[1].keys() and all(
        torch.equal(value, adapters[1][name]) for name, value in adapters[0].items()
    )
    return {
        "last_step_before_each_kill": steps,
        "max_steps": max_steps,
        "losses": losses[0],
        "adapter_tensors": len(adapters[0]),
        "equal": losses[0] == losses[1] and same,
    }


def start(command: Sequence[str], folder: Path) -> "subprocess.Popen[bytes]":
    """Start the training in a process of its own; its output goes to `log.txt`."""
    folder.mkdir(parents=True, exist_ok=True)
    line = [sys.executable, "-m", "videollm.train.instruct", *command]
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [*line, "--output_dir", str(folder), "--disable_tqdm", "true"],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def _last_step(folder: Path) -> int:
    return max((record["step"] for record in read_metrics(folder)), default=0)


def begun(folder: Path) -> float:
    """Return when the newest start began to train (it writes its recipe then), 0 before any."""
    path = folder / RECIPE_FILE
    return path.stat().st_mtime if path.exists() else 0.0


if __name__ == "__main__":
    sys.exit(main())
