"""How much the API adds to the first token of an answer, against the same call in Python.

    python -m benchmarks.serve_latency --output benchmarks/results

One model in one process answers the same questions about the same file in turn: by
`VideoLLM.chat(stream=True)`, and by the official client over HTTP on this machine. The file is
uploaded once, and both have decoded it before; each asks for the first piece of a streamed answer.
"""

import argparse
import json
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import uvicorn

from benchmarks.measure import save
from videollm import VideoLLM
from videollm.serve.engine import Engine
from videollm.serve.web import create_app
from videollm.toyworld import make_scene, render_frames, write_clip
from videollm.video_worker import DecodeWorker

QUESTION = "How many shapes are there, number {}?"
MAX_TOKENS = 4


@contextmanager
def serving(model: VideoLLM) -> Iterator[str]:
    """Serve a model on a free port of this machine; yield the address."""
    with DecodeWorker() as decoder, socket.create_server(("127.0.0.1", 0)) as listener:
        engine = Engine("demo", lambda: model, decode=decoder.load_clip)
        app = create_app(engine, None)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        engine.settled.wait()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def first_by_python(model: VideoLLM, clip: Path, question: str) -> float:
    """Return the seconds to the first piece, by the Python call."""
    start = time.perf_counter()
    stream = model.chat(clip, question, stream=True, max_new_tokens=MAX_TOKENS, num_frames=16)
    next(iter(stream))
    seconds = time.perf_counter() - start
    assert not isinstance(stream, str)
    stream.close()
    return seconds


def first_by_api(client: openai.OpenAI, file_id: str, question: str) -> float:
    """Return the seconds to the first piece, by the API."""
    video = {"type": "video_url", "video_url": {"url": file_id}}
    content = [video, {"type": "text", "text": question}]
    messages: Any = [{"role": "user", "content": content}]
    start = time.perf_counter()
    stream = client.chat.completions.create(
        model="demo",
        messages=messages,
        stream=True,
        max_tokens=MAX_TOKENS,
        extra_body={"num_frames": 16},
    )
    seconds = 0.0
    for chunk in stream:
        if not seconds and chunk.choices and chunk.choices[0].delta.content:
            seconds = time.perf_counter() - start
    return seconds


def measure(model: VideoLLM, clip: Path, repeats: int) -> dict[str, list[float]]:
    """Return the seconds of both, in turn; the first round is left out.

    Args:
        model: Answers.
        clip: The video.
        repeats: Rounds that count.
    """
    times: dict[str, list[float]] = {"python": [], "api": []}
    with serving(model) as address, openai.OpenAI(base_url=f"{address}/v1", api_key="x") as client:
        file_id = client.files.create(file=(clip.name, clip.read_bytes()), purpose="vision").id
        for number in range(repeats + 1):
            question = QUESTION.format(number)
            by_python = first_by_python(model, clip, question)
            by_api = first_by_api(client, file_id, question)
            if number:
                times["python"].append(by_python)
                times["api"].append(by_api)
    return times


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    model = VideoLLM.from_pretrained(options.model)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        write_clip(render_frames(make_scene("val", 0), size=256, num_frames=64), clip, fps=16)
        times = measure(model, clip, options.repeats)
    medians = {name: statistics.median(found) for name, found in times.items()}
    ratios = [api / python for api, python in zip(times["api"], times["python"], strict=True)]
    record = {
        "model": options.model,
        "median_seconds": {name: round(value, 4) for name, value in medians.items()},
        "ratio": round(statistics.median(ratios), 4),
        "seconds": {name: [round(one, 4) for one in found] for name, found in times.items()},
    }
    print(json.dumps(record, indent=2))
    if options.output is not None:
        words = ["benchmarks.serve_latency", "--repeats", str(options.repeats)]
        words += ["--output", "benchmarks/results"]
        save(options.output, "serve_latency", record, words)


if __name__ == "__main__":
    main()
