"""Start a module of the tests on two processes."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from videollm.train.recipe import find_recipe

ROOT = Path(__file__).resolve().parents[2]
ACCELERATE = find_recipe("tiny_pretrain").parent / "accelerate"
MAX_SECONDS = 300


def launch(worker: str, task: object, environment: Mapping[str, str] | None = None) -> None:
    """Run `python -m WORKER TASK` twice, as one run; no process is left over, whatever happens.

    Args:
        worker: Module.
        task: Handed over as JSON.
        environment: Variables to add.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "accelerate.commands.launch"]
    command += ["--config_file", str(ACCELERATE / "cpu_2.yaml"), "--main_process_port", port]
    command += ["-m", worker, json.dumps(task)]
    started = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        told, _ = started.communicate(timeout=MAX_SECONDS)
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
            started.communicate()
    assert started.returncode == 0, told
