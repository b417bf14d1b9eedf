"""A model that answers at once or on command, a server in a thread, a patient way to wait."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from videollm.clip import Clip

Gate = Callable[[], None]
LIMIT = 2**20
"""Bytes that a visitor of the chat page may upload."""


class Pace:
    """Let the model say one word at a time: at once, or only when told."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.words = threading.Semaphore(0)

    def __call__(self) -> None:
        while not self.free.wait(0.01):
            if self.words.acquire(timeout=0.01):
                return


class FakeStream:
    """The pieces of one answer; like the real one it knows its costs once it is exhausted."""

    def __init__(self, model: "FakeModel", text: str, frames: int) -> None:
        self.model = model
        self.frames = frames
        self.answer: SimpleNamespace | None = None
        self.closed = False
        self._pieces = iter(text.split(" "))
        with model.lock:
            model.active += 1
            model.most_active = max(model.most_active, model.active)

    def __iter__(self) -> "FakeStream":
        return self

    def __next__(self) -> str:
        self.model.before_piece()
        try:
            return next(self._pieces) + " "
        except StopIteration:
            self.answer = SimpleNamespace(
                frames=[{}] * self.frames,
                visual_tokens=4 * self.frames,
                timings={"first_token": 0.25, "total": 0.5},
            )
            raise

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            with self.model.lock:
                self.model.active -= 1


class FakeModel:
    """Answer every question with itself; `before_piece` runs before each word."""

    device = "cpu"

    def __init__(self, before_piece: Gate = lambda: None) -> None:
        self.before_piece = before_piece
        self.lock = threading.Lock()
        self.active = 0
        self.most_active = 0
        self.calls: list[dict[str, Any]] = []
        self.streams: list[FakeStream] = []
        self.processor = SimpleNamespace(
            tokenizer=lambda text, **options: {"input_ids": text.split()}
        )

    @property
    def last_question(self) -> str:
        return str(self.calls[-1]["question"]) if self.calls else ""

    def chat(self, clip: Clip, question: str, **options: Any) -> FakeStream:
        self.calls.append({"question": question, "num_frames": len(clip), **options})
        turn = 1 + len(options["history"]) // 2
        self.streams.append(FakeStream(self, f"answer {turn} to: {question}", len(clip)))
        return self.streams[-1]


def wait_until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition, or fail."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@contextmanager
def serving(make_app: Callable[[], object]) -> Iterator[str]:
    """Run a web app on a free port of this machine; yield its address."""
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        make_app,  # type: ignore[arg-type]
        factory=True,
        log_level="error",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), 30)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
    assert not thread.is_alive(), "the server did not stop"
