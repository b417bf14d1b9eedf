"""A model that answers at once or on command, a server in a thread, a patient way to wait."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

from videollm.conversation import Conversation
from videollm.generate_rows import Listener

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
    """What the model says to one question, and whether it came to its end."""

    def __init__(self, text: str) -> None:
        self.pieces = [f"{word} " for word in text.split(" ")]
        self.finished = False
        self.closed = False


class FakeModel:
    """Answer every question with itself; `before_piece` runs before each word of the answers."""

    device = "cpu"
    name = "fake"

    def __init__(self, before_piece: Gate = lambda: None) -> None:
        self.before_piece = before_piece
        self.lock = threading.Lock()
        self.active = 0
        self.most_active = 0
        self.most_together = 0
        self.calls: list[dict[str, Any]] = []
        self.streams: list[FakeStream] = []
        vision = SimpleNamespace(tubelet_size=1, image_size=16)
        self.config = SimpleNamespace(vision=vision)
        self.processor = SimpleNamespace(num_frames=16)

    @property
    def last_question(self) -> str:
        return str(self.calls[-1]["question"]) if self.calls else ""

    def converse(
        self, conversations: Sequence[Conversation], listeners: Sequence[Listener]
    ) -> list[SimpleNamespace]:
        with self.lock:
            self.active += 1
            self.most_active = max(self.most_active, self.active)
            self.most_together = max(self.most_together, len(listeners))
        streams = [self._begin(conversation) for conversation in conversations]
        try:
            for number in range(1 + max(len(stream.pieces) for stream in streams)):
                self.before_piece()
                for stream, listener in zip(streams, listeners, strict=True):
                    stream.closed = stream.closed or listener.is_over()
                    if stream.closed:
                        continue
                    if number < len(stream.pieces):
                        listener.add(stream.pieces[number])
                    else:
                        stream.finished = stream.closed = True
                if all(stream.closed for stream in streams):
                    break
        finally:
            with self.lock:
                self.active -= 1
        return [self._reply(*pair) for pair in zip(conversations, streams, strict=True)]

    def _begin(self, conversation: Conversation) -> FakeStream:
        *history, last = [one for one in conversation.messages if one["role"] != "system"]
        question = words_of(last)
        call = {
            "question": question,
            "history": [{**turn, "content": words_of(turn)} for turn in history],
            "system": "".join(
                words_of(one) for one in conversation.messages if one["role"] == "system"
            ),
            "num_frames": sum(len(clip) for clip in conversation.clips),
            "videos": [videos_of(one) for one in [*history, last] if one["role"] == "user"],
            "tokens_per_frame": conversation.tokens_per_frame,
            **asdict(conversation.generation),
        }
        self.calls.append(call)
        turn = 1 + sum(one["role"] == "assistant" for one in history)
        self.streams.append(FakeStream(f"answer {turn} to: {question}"))
        return self.streams[-1]

    def _reply(self, conversation: Conversation, stream: FakeStream) -> SimpleNamespace:
        frames = sum(len(clip) for clip in conversation.clips)
        answer = SimpleNamespace(
            frames=[{}] * frames,
            visual_tokens=4 * frames,
            timings={"first_token": 0.25, "total": 0.5},
        )
        return SimpleNamespace(
            answer=answer,
            prompt_tokens=10 + 4 * frames,
            answer_tokens=len(stream.pieces),
            is_cut=len(stream.pieces) > conversation.generation.max_new_tokens,
        )


def words_of(message: dict[str, Any]) -> str:
    """Return the text of a message, without its videos."""
    content = message["content"]
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def videos_of(message: dict[str, Any]) -> int:
    """Return how many videos a message shows."""
    content = message["content"]
    return 0 if isinstance(content, str) else sum(part["type"] == "video" for part in content)


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
