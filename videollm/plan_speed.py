"""How long a stream takes on this machine, measured by configs alone: random weights, real shapes.

The encoder reads two chunks; one layer of the language model reads a prompt and generates, and the
others are taken to be like it.
"""

import copy
import time
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from videollm.encoder.videomap import VideoMAPModel
from videollm.kv_cache import build_cache, cache_argument
from videollm.planning import Plan, PlanRequest

__all__ = ["Speed", "measure_speed"]

_GENERATED = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """Hold times in seconds.

    Args:
        encode_per_minute: For the frames of one minute of video, decoding apart.
        first_token: To read a whole prompt.
        next_token: For every further token; the choice of the word apart.
    """

    encode_per_minute: float
    first_token: float
    next_token: float


@torch.inference_mode()
def measure_speed(request: PlanRequest, plan: Plan, device: torch.device) -> Speed:
    """Return how long it takes here.

    Args:
        request: What is planned.
        plan: Its plan.
        device: Where to measure.
    """
    first_token, next_token = _time_language_model(request, plan, device)
    return Speed(
        encode_per_minute=60 * request.fps * _time_frame(request, device),
        first_token=first_token,
        next_token=next_token,
    )


def _time_frame(request: PlanRequest, device: torch.device) -> float:
    vision = request.config.vision
    tubelet = vision.tubelet_size
    chunk = max(request.options.chunk_frames // tubelet, 1) * tubelet
    encoder: Any = VideoMAPModel(vision)
    encoder.to(device).eval()
    pixels = torch.randn(1, chunk, vision.num_channels, vision.image_size, vision.image_size)
    pixels = pixels.to(device)
    _, state = encoder.encode(pixels, None)
    encoder.encode(pixels, state)  # once more, with the state full, so that all is warm
    _wait(device)
    start = time.perf_counter()
    encoder.encode(pixels, state)
    _wait(device)
    return (time.perf_counter() - start) / chunk


def _time_language_model(
    request: PlanRequest, plan: Plan, device: torch.device
) -> tuple[float, float]:
    config: Any = copy.deepcopy(request.config.text)
    num_layers, config.num_hidden_layers, config.vocab_size = config.num_hidden_layers, 1, 256
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:1]
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(config, name, None)
    model: Any = AutoModelForCausalLM.from_config(config)
    model.to(device, request.dtype).eval()
    decoder, size = model.get_decoder(), request.options.prefill_tokens
    embeddings = torch.randn(1, plan.prompt_tokens, config.hidden_size, device=device)
    embeddings = embeddings.to(request.dtype)
    decoder(inputs_embeds=embeddings[:, : min(size, 64)])
    cache = build_cache("plain", config)
    _wait(device)
    start = time.perf_counter()
    for chunk in embeddings.split(size, dim=1):
        decoder(inputs_embeds=chunk, use_cache=True, **{cache_argument(): cache})
    _wait(device)
    read = time.perf_counter()
    for _ in range(_GENERATED):
        decoder(inputs_embeds=embeddings[:, :1], use_cache=True, **{cache_argument(): cache})
    _wait(device)
    end = time.perf_counter()
    return (read - start) * num_layers, (end - read) * num_layers / _GENERATED


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
