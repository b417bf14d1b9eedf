"""One decode worker process as its owner sees it: start it, ask it, stop it, say why it ended."""

import json
import os
import signal
import socket
import subprocess
import sys
import weakref
from dataclasses import asdict
from typing import Any

from videollm.video_channel import Channel
from videollm.video_limits import DecodeLimits

__all__ = ["OUT_OF_MEMORY", "START_SECONDS", "WorkerEnd", "WorkerProcess"]

START_SECONDS = 120.0
"""How long a new process may take to import its libraries."""

END_SECONDS = 5.0
"""How long a process that has hung up may take to end."""

OUT_OF_MEMORY = 77
"""Exit code of a worker that ran into its memory limit."""

# The caller's main module is not imported, and Ctrl+C is the caller's to handle.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
import json, sys
start = json.loads(sys.argv[1])
sys.path[:] = start["path"]
from videollm.video_worker_process import serve
serve(start["descriptor"], start["owner"], start["limits"])
"""


class WorkerEnd(Exception):  # noqa: N818 - what a process comes to is not always an error
    """Say that a worker process is no more.

    Args:
        kind: `time`, `processor`, `memory` or `crash`.
        finding: What happened, as the rest of a sentence.
    """

    def __init__(self, kind: str, finding: str) -> None:
        super().__init__(finding)
        self.kind = kind
        self.finding = finding


class WorkerProcess:
    """Start a process and talk to it; it starts in the background until it is first asked.

    Args:
        limits: What it holds itself to.
    """

    def __init__(self, limits: DecodeLimits) -> None:
        self._limits = limits
        self._is_ready = False
        ours, theirs = socket.socketpair()
        start = {
            "path": sys.path,
            "descriptor": theirs.fileno(),
            "owner": os.getpid(),
            "limits": asdict(limits),
        }
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, json.dumps(start)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        self._channel = Channel(ours)
        self._owner = os.getpid()
        self.stop = weakref.finalize(self, _stop, self._process, self._channel, self._owner)

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        return self._process.pid

    @property
    def is_usable(self) -> bool:
        """Return whether it can be asked: it lives, and belongs to this process."""
        is_ours = self._owner == os.getpid()
        return is_ours and self.stop.alive and self._process.poll() is None

    def ask(
        self, request: dict[str, Any], memory: int | None, *, seconds: float
    ) -> tuple[dict[str, Any], int | None]:
        """Return the answer to a request, and the descriptor that came with it.

        Whatever goes wrong, the process is gone when this raises.

        Args:
            request: The message.
            memory: A descriptor to send along.
            seconds: The longest wait.

        Raises:
            WorkerEnd: The process took too long, or died.
        """
        try:
            if not self._is_ready:
                self._receive(START_SECONDS)
                self._is_ready = True
            self._channel.send(request, memory)
            return self._receive(seconds)
        except BaseException as error:
            end = self._end() if isinstance(error, OSError) else error
            self.stop()
            raise end from None

    def _receive(self, seconds: float) -> tuple[dict[str, Any], int | None]:
        try:
            return self._channel.receive(seconds)
        except TimeoutError:
            raise WorkerEnd("time", f"took more than {seconds:g} s and was stopped") from None
        except EOFError:
            raise self._end() from None

    def _end(self) -> WorkerEnd:
        """Return what the end of the process says."""
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return WorkerEnd("crash", "the decoder crashed on it (it hung up)")
        if code == OUT_OF_MEMORY:
            allowed = f"{self._limits.memory_bytes / 2**20:.0f} MiB"
            return WorkerEnd("memory", f"needs more memory than the {allowed} allowed")
        if code == -signal.SIGXCPU:
            seconds = self._limits.cpu_seconds
            return WorkerEnd("processor", f"needs more than {seconds} s of processor time")
        if code == -signal.SIGKILL:
            reason = "killed from outside, which is what happens when memory runs out"
        elif code < 0:
            reason = signal.Signals(-code).name
        else:
            reason = f"exit code {code}"
        return WorkerEnd("crash", f"the decoder crashed on it ({reason})")


def _stop(process: "subprocess.Popen[bytes]", channel: Channel, owner: int) -> None:
    channel.close()
    if os.getpid() == owner:  # a forked copy of the owner lets go and leaves the process alone
        process.kill()
        process.wait()
