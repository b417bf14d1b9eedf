"""What `benchmarks.long_video` measures, each in a process of its own.

Videos are quiet ones of the toy world, drawn while they are watched, at 2 frames a second.

Legend: K visual tokens of a token frame, H LLM width.
"""

import os
import statistics
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import forget_peak, resident_bytes
from videollm.api import VideoLLM
from videollm.clip import Clip
from videollm.encoder import VideoMAPModel, demo_config
from videollm.streaming import StreamSession
from videollm.toyworld import make_long_video
from videollm.video import VideoReader

__all__ = [
    "CONTENDERS",
    "ENCODERS",
    "measure_answer",
    "measure_encoder",
    "measure_running",
    "measure_stream",
]

FPS = 2.0
CHUNK_FRAMES = 32
READ_FRAMES = 8
QUESTION = "What colour is the circle?"

CONTENDERS: dict[str, dict[str, Any]] = {
    "merge": {"policy": "merge", "budget_tokens": 2048},
    "fifo": {"policy": "fifo", "budget_tokens": 2048},
    "uniform": {"policy": "uniform", "budget_tokens": 2048},
    "retrieve": {"policy": "retrieve", "budget_tokens": 2048},
    # All of the memory is shown, which can be read before a question comes.
    "merge_all_shown": {"policy": "merge", "budget_tokens": 2048, "shown_tokens": 2048},
    # All tokens of all frames, read at once: what there is without a memory.
    "plain": {"policy": "fifo", "budget_tokens": 2**24, "prefill_tokens": 2**24},
}
"""Name to the options of the session."""

ENCODERS: dict[str, dict[str, Any]] = {
    "streamed": {},
    "vit_per_frame": {"layer_pattern": "T", "scan_mode": "frame_causal", "attention_window": 1},
    "vit_jointly": {"layer_pattern": "T", "scan_mode": "bidirectional", "attention_window": None},
}
"""Name to what differs from the demo's encoder; `streamed` is ours, chunk by chunk."""


def frames_of(num_frames: int) -> Iterator[Clip]:
    """Yield the frames of a quiet video of so many frames."""
    video = make_long_video("quiet", 0, 0, minutes=num_frames / FPS / 60, depths=(0.5,))
    return video.stream(FPS, size=64, chunk_frames=CHUNK_FRAMES)


def load() -> VideoLLM:
    """Return the demo model on the CPU, after one small question, so that all is loaded."""
    model = VideoLLM.from_pretrained("demo", device="cpu")
    session = model.stream(budget_tokens=256)
    clip = next(frames_of(8))
    session.push(clip.frames, clip.pts_seconds)
    session.answer(QUESTION, max_new_tokens=2)
    return model


def measure_stream(num_frames: int, budget_tokens: int, num_pairs: int) -> dict[str, Any]:
    """Return what a stream holds and what a pushed frame costs, from its first to its last.

    The cost at the end is that of the last pushes; beside them, in turns, a session at its start
    (64 to some more frames old) is pushed the same, so that both see the machine alike.

    Args:
        num_frames: Length of the stream, some multiple of 32.
        budget_tokens: Of the memory.
        num_pairs: Pushes that are compared.
    """
    model = load()
    old = model.stream(budget_tokens=budget_tokens)
    young = model.stream(budget_tokens=budget_tokens)
    marks: list[dict[str, int]] = []
    old_seconds: list[float] = []
    young_seconds: list[float] = []
    num_pushes = num_frames // CHUNK_FRAMES
    twins = frames_of(num_frames)
    for number, clip in enumerate(frames_of(num_frames)):
        is_compared = number >= num_pushes - num_pairs
        if number == num_pushes - num_pairs:
            for _ in range(2):  # 64 frames: the state is full
                push(young, next(twins))
        old_seconds.append(push(old, clip))
        stats = old.stats()
        marks.append(
            {
                "frames": stats.frames_seen,
                "tokens": stats.tokens_held,
                "state_bytes": stats.state_bytes,
                "rss_bytes": stats.rss_bytes,
            }
        )
        if is_compared:
            young_seconds.append(push(young, next(twins)))
    at_128 = next(mark for mark in marks if mark["frames"] >= 128)
    before = [mark for mark in marks if mark["frames"] <= num_frames - num_pairs * CHUNK_FRAMES]
    cost = {
        "end": statistics.median(old_seconds[-num_pairs:]) / CHUNK_FRAMES,
        "start": statistics.median(young_seconds) / CHUNK_FRAMES,
    }
    return {
        "frames": marks[-1]["frames"],
        "budget_tokens": budget_tokens,
        "most_tokens": max(mark["tokens"] for mark in marks),
        "state_bytes_from_64": sorted({m["state_bytes"] for m in marks if m["frames"] >= 64}),
        "rss_mib_at_128": round(at_128["rss_bytes"] / 2**20, 1),
        "rss_mib_at_end": round(before[-1]["rss_bytes"] / 2**20, 1),
        "rss_ratio": round(before[-1]["rss_bytes"] / at_128["rss_bytes"], 4),
        "seconds_a_frame": cost,
        "cost_ratio": round(cost["end"] / cost["start"], 4),
        "frames_a_second": round(num_frames / sum(old_seconds), 1),
        "marks": marks[:: max(len(marks) // 60, 1)],
    }


def push(session: StreamSession, clip: Clip) -> float:
    """Return the seconds that a push took."""
    start = time.perf_counter()
    session.push(clip.frames, clip.pts_seconds)
    return time.perf_counter() - start


def measure_answer(contender: str, num_frames: int) -> dict[str, Any]:
    """Return the first token's time and the memory beside the model after so many frames.

    Args:
        contender: One of `CONTENDERS`.
        num_frames: Length of the video.
    """
    model = load()
    if contender == "plain":
        # What the model was made for is refused otherwise; how long it takes does not depend on it.
        model.model.config.text.max_position_embeddings = 2**24
        model.processor.time_stride = 0
    before = resident_bytes("VmRSS")
    forget_peak()
    session = model.stream(**CONTENDERS[contender])
    encode = sum(push(session, clip) for clip in frames_of(num_frames))
    start = time.perf_counter()
    answer = session.answer(QUESTION, max_new_tokens=1)
    again = session.answer("How many shapes are there?", max_new_tokens=1)
    return {
        "frames": num_frames,
        "prompt_tokens": answer.prompt_tokens,
        "visual_tokens": answer.tokens_held,
        "encode_seconds": round(encode, 3),
        "first_token_seconds": answer.timings["first_token"],
        "next_first_token_seconds": again.timings["first_token"],
        "next_reused_tokens": again.reused_tokens,
        "extra_bytes": resident_bytes("VmHWM") - before,
        "cache_bytes": session.stats().cache_bytes,
        "answer_seconds": round(time.perf_counter() - start, 3),
    }


def measure_running(path: str, num_frames: int, budget_tokens: int) -> dict[str, Any]:
    """Return how fast a file is watched, decode included, with one question a minute of it.

    Beside it a memory that is shown whole is given the same tokens; the language model reads it at
    the end, before it is asked.

    Args:
        path: The video.
        num_frames: How many of its frames to watch.
        budget_tokens: Of the memory.
    """
    model = load()
    forget_peak()
    session = model.stream(budget_tokens=budget_tokens)
    ready = model.stream(budget_tokens=budget_tokens, shown_tokens=budget_tokens)
    first_tokens, answers = [], 0.0
    start, worked = time.perf_counter(), cpu_seconds()
    with VideoReader.open(Path(path)) as reader:
        due = 60.0
        # as `videollm ask` and `videollm stream` read a file
        for clip in islice(reader.stream(FPS, READ_FRAMES), num_frames // READ_FRAMES):
            session.push(clip.frames, clip.pts_seconds, others=[ready])
            if float(clip.pts_seconds[-1]) + 1 / FPS >= due:
                due += 60
                answer = session.answer(QUESTION, max_new_tokens=16)
                first_tokens.append(answer.timings["first_token"])
                answers += answer.timings["total"]
    seconds, worked = time.perf_counter() - start, cpu_seconds() - worked
    peak = resident_bytes("VmHWM")
    ready.prepare()
    asked = cpu_seconds()
    prepared = ready.answer(QUESTION, max_new_tokens=1)
    asked = cpu_seconds() - asked
    return {
        "frames": session.stats().frames_seen,
        "budget_tokens": budget_tokens,
        "seconds": round(seconds, 2),
        "frames_a_second": round(session.stats().frames_seen / seconds, 2),
        "cpu_seconds": round(worked, 2),
        "frames_a_cpu_second": round(session.stats().frames_seen / worked, 2),
        "answering_seconds": round(answers, 2),
        "encoding_seconds": round(session.stats().encode_seconds, 2),
        "first_token_seconds": first_tokens,
        "prepared_first_token_seconds": prepared.timings["first_token"],
        "prepared_first_token_cpu_seconds": round(asked, 3),
        "prepared_prompt_tokens": prepared.prompt_tokens,
        "peak_bytes": peak,
    }


def cpu_seconds() -> float:
    """Return the processor time of this process and of those it began that have ended.

    On a machine that others use too it says what the clock does not.
    """
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@torch.inference_mode()
def measure_encoder(name: str, num_frames: int) -> dict[str, Any]:
    """Return seconds and memory beside weights and frames of encoding a video of random pixels.

    Args:
        name: One of `ENCODERS`, of the demo's size with random weights.
        num_frames: Length of the video.
    """
    torch.manual_seed(0)
    model = VideoMAPModel(demo_config(num_frames=num_frames, **ENCODERS[name]))
    model.train(mode=False)
    clip = torch.randn(1, num_frames, 3, 64, 64)
    chunk = num_frames if name == "vit_jointly" else CHUNK_FRAMES

    def encode(pixels: torch.Tensor) -> None:
        state = None
        for part in pixels.split(chunk, dim=1):
            if name == "streamed":
                _, state = model.encode(part, state)
            else:
                model(part)

    encode(clip[:, :2])
    before = resident_bytes("VmRSS")
    forget_peak()
    start = time.perf_counter()
    encode(clip)
    seconds = time.perf_counter() - start
    peak = resident_bytes("VmHWM") - before
    return {"frames": num_frames, "seconds": round(seconds, 3), "peak_bytes": max(peak, 0)}
