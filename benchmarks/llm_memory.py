"""Memory of training a large VideoLLM on one GPU, from its config alone: no weights are loaded.

The model is built on the meta device and its parameters counted. What a layer keeps for the way
back is counted too: the tensors that autograd saves when layers of the true size run there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AttentionInterface,
    AutoModelForCausalLM,
    LlamaConfig,
    PretrainedConfig,
    Qwen3Config,
)

from videollm.config import VideoLLMConfig
from videollm.encoder import middle_config
from videollm.encoder.config import VideoMAPConfig
from videollm.encoder.footprint import estimate_memory
from videollm.lora import LoraShape, attach_lora
from videollm.model import VideoLLMForConditionalGeneration

__all__ = ["LANGUAGE_MODELS", "Memory", "estimate", "linear_parameters", "text_config", "vision"]

LANGUAGE_MODELS: dict[str, tuple[type[PretrainedConfig], dict[str, Any]]] = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": (
        LlamaConfig,
        {
            "vocab_size": 49_152,
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "tie_word_embeddings": True,
        },
    ),
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": (
        LlamaConfig,
        {
            "vocab_size": 49_152,
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 24,
            "num_attention_heads": 32,
            "tie_word_embeddings": True,
        },
    ),
    "Qwen/Qwen3-4B": (
        Qwen3Config,
        {
            "vocab_size": 151_936,
            "hidden_size": 2560,
            "intermediate_size": 9728,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "tie_word_embeddings": True,
        },
    ),
    "Qwen/Qwen3-8B": (
        Qwen3Config,
        {
            "vocab_size": 151_936,
            "hidden_size": 4096,
            "intermediate_size": 12_288,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
        },
    ),
}
"""The published sizes of the demo's and the recipes' language models."""

_COUNTED = "counted"

NF4_BYTES = 0.5 + 0.127 / 8
"""Of a weight: half a byte, and 0.127 bits of scales that are quantized too (QLoRA, section 3)."""

LEARNING_BYTES = 12
"""Of a float32 weight that learns, besides itself: its gradient and the two means of AdamW."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Bytes that a process holds at its peak, by part; not what the libraries themselves take.

    Attributes:
        weights: All of them, in the formats that they have.
        learning: Gradients and the optimizer's means.
        kept: What layers keep for the way back, with activation checkpointing.
        head: Logits of supervised positions and their gradients.
        encoder: What the frozen encoder holds while it reads; over before the rest begins.
    """

    weights: int
    learning: int
    kept: int
    head: int
    encoder: int

    @property
    def gib(self) -> float:
        """The peak in GiB."""
        return (self.weights + self.learning + max(self.kept + self.head, self.encoder)) / 2**30


def vision() -> VideoMAPConfig:
    """Return the encoder that the recipes start from."""
    return middle_config(scan_mode="frame_causal")


def text_config(name: str, **changes: Any) -> PretrainedConfig:
    """Return the config of a recipe's language model, with changed fields."""
    kind, sizes = LANGUAGE_MODELS[name]
    return kind(**{**sizes, **changes})


def linear_parameters(model: nn.Module) -> int:
    """Return the weights of a language model's linear layers, its head left out."""
    return sum(
        item.weight.numel()
        for name, item in model.named_modules()
        if isinstance(item, nn.Linear) and "lora_" not in name and "lm_head" not in name
    )


def estimate(
    recipe: dict[str, Any],
    *,
    name: str,
    num_tokens: int,
    num_answer: int,
    encoder: VideoMAPConfig | None = None,
    dtype: torch.dtype = torch.bfloat16,
) -> Memory:
    """Return the memory of a recipe of `align` or `instruct` on one GPU that holds all weights.

    Args:
        recipe: Its values.
        name: Of the language model.
        num_tokens: Of a sample.
        num_answer: Of them, supervised.
        encoder: Its encoder, that of the recipes by default.
        dtype: Of the language model.
    """
    encoder = encoder or vision()
    rows, frames = recipe["per_device_train_batch_size"], recipe["num_frames"]
    text = text_config(name)
    with torch.device("meta"):
        model = VideoLLMForConditionalGeneration(
            VideoLLMConfig(
                vision_config=encoder,
                text_config=text,
                tokens_per_frame=49,
                video_token_id=text.vocab_size - 1,
            )
        )
    layers = linear_parameters(model.language_model)
    others = sum(item.numel() for item in model.language_model.parameters()) - layers
    part_bytes = 4 * sum(
        item.numel() for part in (model.vision_model, model.projector) for item in part.parameters()
    )
    learning = sum(item.numel() for item in model.projector.parameters())
    is_adapted = recipe["stage"] == "instruct"
    if is_adapted:
        attach_lora(model, LoraShape(rank=recipe["lora_rank"], alpha=recipe["lora_alpha"]))
        learning = sum(item.numel() for item in model.parameters() if item.requires_grad)
        part_bytes += 4 * learning
    adapter = recipe if is_adapted else None
    layer_bytes = NF4_BYTES if recipe.get("tuning") == "qlora" else dtype.itemsize
    frozen = estimate_memory(
        encoder,
        (rows, frames, 3, encoder.image_size, encoder.image_size),
        num_weights=0,
        dtype=torch.float32,
        training=False,
        chunk_frames=None,
        gradient_checkpointing=False,
    )
    return Memory(
        weights=round(layer_bytes * layers + dtype.itemsize * others + part_bytes),
        learning=LEARNING_BYTES * learning,
        kept=_kept(recipe, name, (rows, num_tokens), adapter, dtype),
        # In its own format once, then float32: logits, their logarithms, the gradient.
        head=(dtype.itemsize + 3 * 4) * rows * num_answer * text.vocab_size,
        encoder=frozen.total_bytes,
    )


def _kept(
    recipe: dict[str, Any],
    name: str,
    shape: tuple[int, int],
    adapter: dict[str, Any] | None,
    dtype: torch.dtype,
) -> int:
    """Return the bytes kept for the way back: the inputs of all layers, and all of one."""
    text = text_config(name)
    kept = dtype.itemsize * text.num_hidden_layers * shape[0] * shape[1] * text.hidden_size
    kept += _kept_by_a_layer(name, shape, adapter, dtype)
    if recipe.get("tuning") == "qlora":  # the layer at work, unpacked there and back
        kept += 2 * max(text.intermediate_size, text.vocab_size // 8) * text.hidden_size
    return kept


def _kept_by_a_layer(
    name: str, shape: tuple[int, int], adapter: dict[str, Any] | None, dtype: torch.dtype
) -> int:
    """Return the bytes that one layer saves for the way back: those of two less those of one."""
    one, two = (_kept_by_layers(name, shape, adapter, dtype, count) for count in (1, 2))
    return two - one


def _kept_by_layers(
    name: str,
    shape: tuple[int, int],
    adapter: dict[str, Any] | None,
    dtype: torch.dtype,
    num_layers: int,
) -> int:
    config = text_config(name, num_hidden_layers=num_layers, vocab_size=8, pad_token_id=0)
    AttentionInterface.register(_COUNTED, _attend)
    with torch.device("meta"), _counting_saved() as saved:
        model: nn.Module = AutoModelForCausalLM.from_config(
            config, dtype=dtype, attn_implementation=_COUNTED
        )
        model.requires_grad_(False)
        if adapter is not None:
            model = _with_lora(model, adapter)
        own = {id(item.untyped_storage()) for item in model.parameters()}
        embedded = torch.zeros(*shape, config.hidden_size, dtype=dtype, requires_grad=True)
        model(inputs_embeds=embedded, use_cache=False, logits_to_keep=1)
    return sum(size for key, size in saved.items() if key not in own)


class _Attend(torch.autograd.Function):
    """What attention in one kernel saves, without its work."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:  # noqa: ANN401
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out)
        return out


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: object, **kwargs: object
) -> tuple[Tensor, None]:
    out: Tensor = _Attend.apply(query, key, value)  # type: ignore[no-untyped-call]
    return out.transpose(1, 2), None


def _with_lora(model: nn.Module, adapter: dict[str, Any]) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=adapter["lora_rank"],
        lora_alpha=adapter["lora_alpha"],
        lora_dropout=adapter.get("lora_dropout", 0.0),
        target_modules="all-linear",
    )
    adapted: nn.Module = get_peft_model(model, config, autocast_adapter_dtype=False)
    return adapted.train()


@contextmanager
def _counting_saved() -> Iterator[dict[int, int]]:
    """Count the bytes of each storage that autograd saves."""
    saved: dict[int, int] = {}
    held: list[Any] = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        held.append(storage)
        saved[id(storage)] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield saved
