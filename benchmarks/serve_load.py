"""Many clients at once against `videollm serve`: every answer right, and nothing left behind.

    python -m benchmarks.serve_load --clients 50 --seconds 180 --output benchmarks/results

Asks some questions one by one and remembers the answers; then lets clients ask the same for a
while, whole and streamed, a tenth of them leaving in the middle; then waits until the server has
nothing to do. Every answer must be the remembered one, a full queue must say when to come back,
leaving must free the engine, and memory must come back.
"""

import argparse
import asyncio
import base64
import itertools
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.measure import save
from videollm.toyworld import make_scene, render_frames, write_clip

QUESTIONS = (
    "How many shapes are there?",
    "What colour is the largest shape?",
    "Which shape moves?",
    "Is there a circle?",
)
MAX_TOKENS = 24
LEAVING = 0.1
NO_END = 10**9


def make_bodies(folder: Path, num_clips: int = 3) -> list[dict[str, Any]]:
    """Return requests about toy-world clips.

    Args:
        folder: Where the clips go.
        num_clips: How many.
    """
    bodies = []
    for number in range(num_clips):
        path = folder / f"{number}.mp4"
        write_clip(render_frames(make_scene("val", number), size=64, num_frames=16), path, fps=8)
        data = base64.b64encode(path.read_bytes()).decode()
        video = {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{data}"}}
        for question in QUESTIONS:
            content = [video, {"type": "text", "text": question}]
            messages = [{"role": "user", "content": content}]
            bodies.append({"messages": messages, "max_tokens": MAX_TOKENS, "num_frames": 8})
    return bodies


class Load:
    """Clients that ask, and what came of it.

    Args:
        address: Of the server.
        bodies: The requests.
        expected: Their answers.
    """

    def __init__(
        self, address: str, bodies: Sequence[dict[str, Any]], expected: Sequence[str]
    ) -> None:
        self.address = address
        self.counts: Counter[str] = Counter()
        self.wrong: list[tuple[str, str]] = []
        self.free_seconds: list[float] = []
        self._asked = list(zip(bodies, expected, strict=True))

    async def run(self, clients: int, seconds: float, rounds: int = NO_END) -> None:
        """Let clients ask for a while.

        Args:
            clients: How many at once.
            seconds: For how long new questions are asked.
            rounds: The most questions of a client that are not refused.
        """
        until = time.monotonic() + seconds
        limits = httpx.Limits(max_connections=clients + 2)
        async with httpx.AsyncClient(
            base_url=self.address, timeout=httpx.Timeout(600), limits=limits
        ) as client:
            tasks = [self._client(client, number, until, rounds) for number in range(clients)]
            await asyncio.gather(*tasks)

    async def _client(
        self, client: httpx.AsyncClient, number: int, until: float, rounds: int
    ) -> None:
        chance = random.Random(number)
        while time.monotonic() < until and rounds > 0:
            rounds -= 1
            body, expected = chance.choice(self._asked)
            try:
                if chance.random() < LEAVING:
                    rounds += not await self._leave(client, body)
                    continue
                told = await self._ask(client, body, stream=chance.random() < 0.5)
            except httpx.HTTPError as error:
                self.counts[f"broken: {type(error).__name__}"] += 1
                continue
            if isinstance(told, float):
                rounds += 1
                self.counts["refused"] += 1
                await asyncio.sleep(min(told, 2.0) * (0.5 + chance.random()))
            elif told == expected:
                self.counts["right"] += 1
            else:
                self.counts["wrong"] += 1
                self.wrong.append((expected, told))

    async def _ask(
        self, client: httpx.AsyncClient, body: dict[str, Any], *, stream: bool
    ) -> str | float:
        """Return the answer, or the seconds after which to ask again."""
        url = "/v1/chat/completions"
        if not stream:
            answer = await client.post(url, json=body)
            if answer.status_code == 429:
                return float(answer.headers["retry-after"])
            answer.raise_for_status()
            return str(answer.json()["choices"][0]["message"]["content"])
        text = ""
        async with client.stream("POST", url, json={**body, "stream": True}) as answer:
            if answer.status_code == 429:
                return float(answer.headers["retry-after"])
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    text += json.loads(line[6:])["choices"][0]["delta"].get("content", "")
        return text.strip()

    async def _leave(self, client: httpx.AsyncClient, body: dict[str, Any]) -> bool:
        """Leave in the middle of an answer; return whether there was one."""
        long = {**body, "max_tokens": 512, "stream": True, "temperature": 1.5, "seed": 1}
        async with client.stream("POST", "/v1/chat/completions", json=long) as answer:
            if answer.status_code == 429:
                self.counts["refused"] += 1
                return False
            async for _ in answer.aiter_lines():
                break
        self.counts["left"] += 1
        return True

    async def measure_leaving(self, times: int) -> None:
        """Leave alone, some times, and note how soon the engine is free.

        Args:
            times: How often.
        """
        async with httpx.AsyncClient(base_url=self.address, timeout=60) as client:
            for number in range(times):
                await self._leave(client, self._asked[number % len(self._asked)][0])
                left = time.monotonic()
                while await _gauge(client, "running") > 0:
                    await asyncio.sleep(0.01)
                self.free_seconds.append(time.monotonic() - left)


async def _gauge(client: httpx.AsyncClient, name: str) -> float:
    text = (await client.get("/metrics")).text
    found = re.search(rf"^videollm_{name} (\S+)$", text, re.MULTILINE)
    assert found is not None, f"there is no number {name}"
    return float(found[1])


async def _settle(address: str) -> float:
    """Return the server's memory once it has nothing to do, the least of some seconds."""
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        while await _gauge(client, "running") + await _gauge(client, "waiting") > 0:
            await asyncio.sleep(0.1)
        seen = []
        for _ in range(5):
            seen.append(await _gauge(client, "resident_bytes"))
            await asyncio.sleep(0.5)
    return min(seen)


def ask_alone(address: str, bodies: Sequence[dict[str, Any]]) -> list[str]:
    """Return the answers to requests, asked one after the other."""
    url = f"{address}/v1/chat/completions"
    answers = [httpx.post(url, json=body, timeout=600) for body in bodies]
    return [str(a.raise_for_status().json()["choices"][0]["message"]["content"]) for a in answers]


def run_load(
    address: str,
    bodies: Sequence[dict[str, Any]],
    *,
    clients: int,
    seconds: float,
    warm: float,
    rounds: int = NO_END,
) -> dict[str, Any]:
    """Return what came of many clients.

    Args:
        address: Of the server.
        bodies: The requests.
        clients: How many at once.
        seconds: For how long.
        warm: Seconds of the same before memory is looked at for the first time.
        rounds: The most questions of a client that are not refused.
    """
    expected = ask_alone(address, bodies)
    load = Load(address, bodies, expected)
    asyncio.run(Load(address, bodies, expected).run(clients, warm, rounds))
    before = asyncio.run(_settle(address))
    asyncio.run(load.run(clients, seconds, rounds))
    after = asyncio.run(_settle(address))
    counts = dict(sorted(load.counts.items()))
    asyncio.run(load.measure_leaving(5))
    return {
        "clients": clients,
        "seconds": seconds,
        "counts": counts,
        "wrong": load.wrong[:5],
        "resident_mib_before": round(before / 2**20, 1),
        "resident_mib_after": round(after / 2**20, 1),
        "memory_ratio": round(after / before, 4),
        "free_seconds": [round(one, 3) for one in load.free_seconds],
    }


@contextmanager
def server(*words: str) -> Iterator[str]:
    """Run `videollm serve` and yield its address once the model is there."""
    command = [sys.executable, "-m", "videollm.serve.app", "--port", "0", "--no-open", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        if found is None:
            raise SystemExit(f"the server did not start: {line}")
        for _ in itertools.count():
            if httpx.get(f"{found[0]}/healthz", timeout=60).json()["status"] == "ok":
                break
            time.sleep(0.5)
        yield found[0]
    finally:
        process.terminate()
        process.wait(30)


def main() -> None:
    """Run the load and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--queue", type=int, default=8)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    words = ["--model", options.model, "--no-page", "--max-waiting", str(options.queue)]
    with (
        tempfile.TemporaryDirectory() as folder,
        server(*words, "--max-batch", str(options.batch)) as address,
    ):
        found = run_load(
            address,
            make_bodies(Path(folder)),
            clients=options.clients,
            seconds=options.seconds,
            warm=min(20.0, options.seconds / 4),
        )
    record = {
        "model": options.model,
        "queue": options.queue,
        "batch": options.batch,
        **found,
    }
    print(json.dumps(record, indent=2))
    if options.output is not None:
        words = ["benchmarks.serve_load", "--clients", str(options.clients)]
        words += ["--seconds", f"{options.seconds:g}", "--output", "benchmarks/results"]
        save(options.output, "serve_load", record, words)


if __name__ == "__main__":
    main()
