"""How many bytes a language model takes, by its config alone: weights, cache, work.

Legend: H width.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.configuration_utils import PreTrainedConfig

__all__ = ["QUANTIZED_BITS", "TextSizes"]

# Bits of a weight of a linear layer, its scales included.
QUANTIZED_BITS = {"nf4": 4.5, "int8": 8.1}


@dataclass(frozen=True, kw_only=True, slots=True)
class TextSizes:
    """Hold the numbers of a language model that sizes follow from.

    Args:
        width: H.
        inner: Width inside an MLP.
        num_layers: Layers.
        num_heads: Heads of queries.
        num_key_value_heads: Heads of keys and values.
        head_size: Width of each.
        vocabulary: Words.
        linear_weights: Weights of linear layers, the head apart: what quantization reaches.
        other_weights: All others.
        itemsize: Bytes of a number.
    """

    width: int
    inner: int
    num_layers: int
    num_heads: int
    num_key_value_heads: int
    head_size: int
    vocabulary: int
    linear_weights: int
    other_weights: int
    itemsize: int

    @classmethod
    def of(cls, config: PreTrainedConfig, dtype: torch.dtype) -> "TextSizes":
        """Return the numbers of a model by its config, counted without memory."""
        values: Any = config
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        head = model.get_output_embeddings()
        linear = sum(
            module.weight.numel()
            for module in model.modules()
            if isinstance(module, nn.Linear) and module is not head
        )
        heads = values.num_attention_heads
        return cls(
            width=values.hidden_size,
            inner=getattr(values, "intermediate_size", 4 * values.hidden_size),
            num_layers=values.num_hidden_layers,
            num_heads=heads,
            num_key_value_heads=getattr(values, "num_key_value_heads", heads),
            head_size=getattr(values, "head_dim", None) or values.hidden_size // heads,
            vocabulary=values.vocab_size,
            linear_weights=linear,
            other_weights=model.num_parameters() - linear,
            itemsize=dtype.itemsize,
        )

    def weight_bytes(self, quantization: str | None) -> int:
        """Return the bytes of all weights; quantization is None, "nf4" or "int8"."""
        bits = QUANTIZED_BITS[quantization] if quantization else 8 * self.itemsize
        return int(self.linear_weights * bits / 8 + self.other_weights * self.itemsize)

    def cache_bytes(self, kind: str) -> int:
        """Return the bytes of one token's keys and values in a cache of a kind."""
        values = 2 * self.num_layers * self.num_key_value_heads * self.head_size
        if kind == "offloaded":  # two layers are on the device at a time
            return values * self.itemsize * 2 // self.num_layers
        bits = {"fp8": 8.0, "quanto": 4.5, "hqq": 4.5}.get(kind, 8.0 * self.itemsize)
        return int(values * bits / 8)

    def reading_bytes(self, prompt: int, read: int) -> int:
        """Return the bytes beside the cache while a chunk of a prompt, or one token, is read.

        They are the embeddings, one layer's keys and values before and after they grow and
        repeated for every head, the hidden states and the inner MLP of the chunk, the mask with
        its scores, and the logits of one token.
        """
        heads = self.num_heads * self.head_size
        layer = prompt * 2 * (2 * self.num_key_value_heads * self.head_size + heads)
        chunk = read * (6 * self.width + 3 * self.inner + 3 * heads)
        embeddings = 2 * prompt * self.width
        mask = 2 * read * prompt
        return (layer + chunk + embeddings + mask) * self.itemsize + 2 * self.vocabulary * 4
