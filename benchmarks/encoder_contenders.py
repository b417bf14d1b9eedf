"""The encoder on clips of growing length: ours streamed and whole, against one kind of layer.

All have the `tiny` preset's width and number of layers, frames of 224 x 224 and random weights.
"""

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import apart, cost_of, interleaved_seconds
from videollm.encoder import VideoMAPConfig, VideoMAPModel, tiny_config

__all__ = [
    "CONTENDERS",
    "Contender",
    "check_streaming",
    "measure_encoder",
    "measure_pace",
    "stream",
]

CHUNK_FRAMES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """One curve of the plot.

    Attributes:
        label: Name in the plot.
        overrides: Fields of the `tiny` preset that differ.
        streamed: Encode in chunks of 8 frames with a carried state, not whole.
        max_frames: Longest clip, where longer ones would take many minutes.
    """

    label: str
    overrides: dict[str, Any]
    streamed: bool = False
    max_frames: int | None = None


CAUSAL = {"scan_mode": "frame_causal", "attention_window": 8}
CONTENDERS: dict[str, Contender] = {
    "streamed": Contender(
        label="VideoMAP frame-causal, streamed by 8", overrides=CAUSAL, streamed=True
    ),
    "causal": Contender(label="VideoMAP frame-causal, whole", overrides=CAUSAL),
    "bidirectional": Contender(label="VideoMAP bidirectional, whole", overrides={}, max_frames=256),
    "M": Contender(label='"M" (VideoMamba), whole', overrides={"layer_pattern": "M"}),
    "T": Contender(label='"T" (ViT), whole', overrides={"layer_pattern": "T"}, max_frames=256),
}


def measure_encoder(name: str, num_frames: int, *, threads: int) -> dict[str, Any]:
    """Return `seconds` and `peak_bytes` (above weights and input) of one clip, in a process apart.

    Args:
        name: One of `CONTENDERS`.
        num_frames: Length of the clip.
        threads: Threads of torch and of our library.
    """
    return apart(_measure, name, num_frames, threads)


def _measure(name: str, num_frames: int, threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    contender = CONTENDERS[name]
    config: VideoMAPConfig = tiny_config(**{"num_frames": num_frames, **contender.overrides})
    model = VideoMAPModel(config)
    model.train(mode=False)
    clip = torch.randn(1, num_frames, 3, 224, 224)
    encode: Callable[[Tensor], object] = model
    if contender.streamed:
        encode = lambda frames: stream(model, frames)  # noqa: E731
    with torch.inference_mode():
        encode(clip[:, :1])  # compiles, loads libraries
        return asdict(cost_of(lambda: encode(clip)))


def measure_pace(counts: tuple[int, ...], *, threads: int) -> dict[str, dict[str, float]]:
    """Return seconds a frame of the frame-causal encoder, streamed and whole, at each length.

    The lengths take turns, so that a slower moment of the machine falls on all of them.

    Args:
        counts: Frames of the clips.
        threads: Threads of torch and of our library.
    """
    return apart(_measure_pace, counts, threads)


@torch.inference_mode()
def _measure_pace(counts: tuple[int, ...], threads: int) -> dict[str, dict[str, float]]:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = VideoMAPModel(tiny_config(**CAUSAL))
    model.train(mode=False)
    clip = torch.randn(1, max(counts), 3, 224, 224)
    stream(model, clip[:, :CHUNK_FRAMES])  # compiles, loads libraries
    works: dict[str, Callable[[], object]] = {}
    for count in counts:
        part = clip[:, :count]
        works[f"streamed {count}"] = functools.partial(stream, model, part)
        works[f"whole {count}"] = functools.partial(model, part)
    seconds = interleaved_seconds(works, repeats=4, enough_seconds=150)
    return {
        kind: {str(count): seconds[f"{kind} {count}"] / count for count in counts}
        for kind in ("streamed", "whole")
    }


def stream(model: VideoMAPModel, clip: Tensor, chunk_frames: int = CHUNK_FRAMES) -> list[Tensor]:
    """Return the features of a clip, encoded chunk by chunk and all kept."""
    state, features = None, []
    for chunk in clip.split(chunk_frames, dim=1):
        part, state = model.encode(chunk, state)
        features.append(part)
    return features


def check_streaming(*, threads: int) -> dict[str, Any]:
    """Return how far streamed features are from the whole clip's, and how large the state is.

    The `tiny` preset at 64 x 64: its sequence is as long as 33 frames of 224 x 224.

    Args:
        threads: Threads of torch and of our library.

    Returns:
        `max_abs_error` over 200 frames by chunk length, and `state_bytes` by frames seen.
    """
    return apart(_check_streaming, threads)


@torch.inference_mode()
def _check_streaming(threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = VideoMAPModel(tiny_config(image_size=64, **CAUSAL))
    model.train(mode=False)
    clip = torch.randn(1, 200, 3, 64, 64)
    whole = model(clip).last_hidden_state
    errors = {}
    for chunk_frames in (1, 3, 8):
        streamed = torch.cat(stream(model, clip, chunk_frames), dim=1).flatten(1, 2)
        errors[str(chunk_frames)] = (streamed - whole).abs().max().item()
    state, sizes = None, {}
    for _ in range(2000 // CHUNK_FRAMES):
        _, state = model.encode(clip[:, :CHUNK_FRAMES], state)
        if state.frames_seen in (8, 2000):
            sizes[str(state.frames_seen)] = state.nbytes
    return {
        "max_abs_error": errors,
        "largest_feature": whole.abs().max().item(),
        "state_bytes": sizes,
    }
