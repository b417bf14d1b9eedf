"""What a stream will need, by configs alone: frames, tokens, bytes by part.

Nothing is loaded: parameters are counted on models without memory, the rest is the arithmetic of
the tensors that are held. `videollm.plan_speed` measures how long it takes.

Legend: K tokens per frame, H LLM width.
"""

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch

from videollm.config import VideoLLMConfig
from videollm.encoder.videomap import VideoMAPModel
from videollm.errors import RequestError
from videollm.kv_cache import CACHE_KINDS
from videollm.llm_sizes import QUANTIZED_BITS, TextSizes
from videollm.projector import build_projector
from videollm.stream_record import StreamOptions

__all__ = ["Plan", "PlanRequest", "Setting", "fitting_settings", "make_plan"]

GIB = 2**30
# What one merged entry's time ("12.0s-19.5s:") takes at one token a character, and the words
# around the video: system prompt, question, turns.
LABEL_TOKENS = 12
CHAT_TOKENS = 64
# A context of the driver and the library's kernels.
CUDA_CONTEXT_BYTES = GIB // 2
_BUDGETS = tuple(2**power for power in range(15, 6, -1))


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanRequest:
    """What is to be planned.

    Args:
        config: Encoder, projector and language model.
        options: How the stream is watched.
        duration_seconds: How long it is.
        fps: Frames looked at in a second.
        dtype: Of the language model.
        quantization: Of its linear layers: None, "nf4" or "int8".
        device_type: "cpu" or "cuda".
        frame_height: Of the source, in pixels.
        frame_width: Likewise.
        max_new_tokens: Longest answer.
        runtime_bytes: What a process holds before any model is there; on the CPU.

    Raises:
        RequestError: A value is out of its range.
    """

    config: VideoLLMConfig
    options: StreamOptions = field(default_factory=StreamOptions)
    duration_seconds: float = 3600.0
    fps: float = 2.0
    dtype: torch.dtype = torch.float32
    quantization: str | None = None
    device_type: str = "cpu"
    frame_height: int = 720
    frame_width: int = 1280
    max_new_tokens: int = 64
    runtime_bytes: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be planned."""
        for name in ("duration_seconds", "fps"):
            if not 0 < getattr(self, name) < math.inf:
                raise RequestError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.quantization not in (None, *QUANTIZED_BITS):
            raise RequestError(f"quantization is {self.quantization!r}; choose nf4 or int8")
        if self.options.kv_cache not in CACHE_KINDS:
            raise RequestError(
                f"kv_cache is {self.options.kv_cache!r}; it is one of {', '.join(CACHE_KINDS)}"
            )
        config = self.config
        self.options.memory.check_room(config.tokens_per_frame, config.text.hidden_size)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a stream needs.

    Args:
        num_frames: Frames looked at in all.
        all_tokens: Visual tokens of all of them, as they would be without a memory.
        held_tokens: Those held, at most.
        prompt_tokens: Tokens of a prompt at most, times and words included.
        context_tokens: What the language model was made for; None if its config does not say.
        parts: Bytes by part, on the device that runs the model.
        host_parts: Bytes beside it, in host memory; on the CPU they are in `parts`.
        plain_cache_bytes: The language model's cache if it read all tokens of all frames.
    """

    num_frames: int
    all_tokens: int
    held_tokens: int
    prompt_tokens: int
    context_tokens: int | None
    parts: dict[str, int]
    host_parts: dict[str, int]
    plain_cache_bytes: int

    @property
    def total_bytes(self) -> int:
        """All parts on the device together."""
        return sum(self.parts.values())

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "total_bytes": self.total_bytes}


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One way to fit.

    Args:
        quantization: Of the language model.
        kv_cache: Its cache.
        budget_tokens: The most that fits.
        total_bytes: What it needs then.
    """

    quantization: str | None
    kv_cache: str
    budget_tokens: int
    total_bytes: int


def make_plan(request: PlanRequest) -> Plan:
    """Return what a stream needs.

    Args:
        request: What is to be planned.
    """
    return _plan(request, _Sizes.of(request))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sizes:
    """What does not depend on how much is remembered: counted once."""

    text: TextSizes
    encoder: dict[str, int]

    @classmethod
    def of(cls, request: PlanRequest) -> "_Sizes":
        text = TextSizes.of(request.config.text, request.dtype)
        return cls(text=text, encoder=_encoder_parts(request))


def _plan(request: PlanRequest, sizes: _Sizes) -> Plan:
    config, options, text = request.config, request.options, sizes.text
    tubelet, per_frame = config.vision.tubelet_size, config.tokens_per_frame
    num_frames = max(math.ceil(request.duration_seconds * request.fps - 1e-6), 1)
    all_tokens = math.ceil(num_frames / tubelet) * per_frame
    held = min(all_tokens, options.memory.budget_tokens)
    prompt = held + held // per_frame * LABEL_TOKENS + CHAT_TOKENS + options.talk_tokens
    read = min(options.prefill_tokens, prompt)
    cache = (prompt + request.max_new_tokens) * text.cache_bytes(options.kv_cache)
    parts = {
        **sizes.encoder,
        "language_model": text.weight_bytes(request.quantization),
        "memory": held * text.width * 4,
        "cache": cache,
        "reading": text.reading_bytes(prompt, read),
    }
    host = {"frames": _frame_bytes(request)}
    if options.memory.policy == "retrieve":
        whole = all_tokens * text.width * 4 + all_tokens // per_frame * text.width * 4
        host["bank"] = min(whole, int(options.memory.bank_mib * 2**20))
    if request.device_type == "cpu":
        parts |= {**host, "runtime": request.runtime_bytes}
        host = {}
    else:
        parts["runtime"] = CUDA_CONTEXT_BYTES
    return Plan(
        num_frames=num_frames,
        all_tokens=all_tokens,
        held_tokens=held,
        prompt_tokens=prompt,
        context_tokens=getattr(config.text, "max_position_embeddings", None),
        parts=parts,
        host_parts=host,
        plain_cache_bytes=(all_tokens + CHAT_TOKENS) * text.cache_bytes("plain"),
    )


def fitting_settings(request: PlanRequest, memory_bytes: int) -> list[Setting]:
    """Return for each number format the largest budget that fits, those that cost least first.

    Args:
        request: What is to be planned; its own quantization is not weakened.
        memory_bytes: What there is.
    """
    sizes = _Sizes.of(request)
    formats = [request.quantization] if request.quantization else [None, "int8", "nf4"]
    found = []
    for quantization in formats:
        for kv_cache in dict.fromkeys((request.options.kv_cache, "fp8")):
            setting = _largest(request, sizes, memory_bytes, quantization, kv_cache)
            if setting is not None:
                found.append(setting)
    return found


def _largest(
    request: PlanRequest,
    sizes: _Sizes,
    memory_bytes: int,
    quantization: str | None,
    kv_cache: str,
) -> Setting | None:
    memory = request.options.memory
    for budget in _BUDGETS:
        if budget < memory.recent_frames * request.config.tokens_per_frame:
            return None
        options = replace(
            request.options, kv_cache=kv_cache, memory=replace(memory, budget_tokens=budget)
        )
        plan = _plan(replace(request, options=options, quantization=quantization), sizes)
        reads = plan.prompt_tokens + request.max_new_tokens
        if plan.context_tokens is not None and reads > plan.context_tokens:
            continue
        if plan.total_bytes <= memory_bytes:
            return Setting(
                quantization=quantization,
                kv_cache=kv_cache,
                budget_tokens=budget,
                total_bytes=plan.total_bytes,
            )
    return None


def _encoder_parts(request: PlanRequest) -> dict[str, int]:
    config = request.config
    chunk = request.options.chunk_frames
    with torch.device("meta"):
        encoder = VideoMAPModel(config.vision)
        projector = build_projector(config)
    chunk = max(chunk // config.vision.tubelet_size, 1) * config.vision.tubelet_size
    # Four chunks, so that the state is full; of their input one chunk is there at a time.
    estimate = encoder.estimate_memory(4 * chunk, chunk_frames=chunk, dtype=torch.float32)
    return {
        "encoder": estimate.weight_bytes,
        "projector": 4 * sum(weight.numel() for weight in projector.parameters()),
        "state": estimate.state_bytes,
        "encoding": estimate.activation_bytes + estimate.input_bytes // 2,
    }


def _frame_bytes(request: PlanRequest) -> int:
    """Return the bytes of decoded frames: a chunk twice, those that wait, the decoder's own."""
    one = 3 * request.frame_height * request.frame_width
    return one * (2 * min(request.options.chunk_frames, 16) + 8 + 8)
