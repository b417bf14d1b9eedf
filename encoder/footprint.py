"""How much memory an encoder needs: an estimate that is a sum of tensors, as the peak is.

What one layer holds is in `layer_footprint.py`; here layers are put together.
"""

import math
from dataclasses import dataclass, fields
from itertools import accumulate

import torch

from videollm.encoder.config import VideoMAPConfig
from videollm.encoder.layer_footprint import Pass, layer_footprints, layer_state_bytes

__all__ = ["MemoryEstimate", "estimate_memory"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryEstimate:
    """Bytes that an encoder holds at its peak, by part.

    Args:
        weight_bytes: Parameters.
        gradient_bytes: Their gradients, as they stand from the second step of an accumulation on.
        input_bytes: `pixel_values`.
        state_bytes: The streaming state, `VideoMAPState.nbytes`.
        activation_bytes: The rest: what layers hold, keep for the way back and return, and the
            state that the next chunk gets.
    """

    weight_bytes: int
    gradient_bytes: int
    input_bytes: int
    state_bytes: int
    activation_bytes: int

    @property
    def total_bytes(self) -> int:
        """All parts together."""
        return sum(getattr(self, field.name) for field in fields(self))


def estimate_memory(
    config: VideoMAPConfig,
    pixel_shape: tuple[int, ...],
    *,
    num_weights: int,
    dtype: torch.dtype,
    training: bool,
    chunk_frames: int | None,
    gradient_checkpointing: bool,
) -> MemoryEstimate:
    """Return the estimate for `pixel_values` of this shape; see `VideoMAPModel.estimate_memory`.

    Raises:
        ValueError: Chunks are asked for in training, or checkpointing outside of it.
    """
    if training and chunk_frames is not None:
        raise ValueError(
            f"chunk_frames is {chunk_frames} and training True; training reads whole clips: "
            "leave chunk_frames None, or see gradient_checkpointing"
        )
    if gradient_checkpointing and not training:
        raise ValueError("gradient_checkpointing is True and training False; it needs training")
    batch, frames, _, height, width = pixel_shape
    num_frames = frames // config.tubelet_size
    at_once = min(num_frames, (chunk_frames or frames) // config.tubelet_size)
    window = config.attention_window if isinstance(config.attention_window, int) else 1
    one_pass = Pass(
        config=config,
        batch=batch,
        num_frames=at_once,
        tokens_per_frame=(height // config.patch_size) * (width // config.patch_size),
        held_frames=min(window - 1, num_frames - at_once),
        dtype=dtype,
    )
    states = [0] * config.num_layers
    features = 0
    if chunk_frames is not None:
        states = layer_state_bytes(one_pass)
        tokens = batch * num_frames * one_pass.tokens_per_frame
        features = tokens * config.hidden_size * dtype.itemsize
    if training:
        peak = peak_of_training(one_pass, gradient_checkpointing=gradient_checkpointing)
    else:
        peak = peak_of_reading(one_pass, states)
    return MemoryEstimate(
        weight_bytes=num_weights * dtype.itemsize,
        gradient_bytes=num_weights * dtype.itemsize if training else 0,
        input_bytes=math.prod(pixel_shape) * dtype.itemsize,
        state_bytes=sum(states),
        activation_bytes=peak + features,
    )


def peak_of_reading(p: Pass, states: list[int]) -> int:
    """Return the peak of a pass without gradients, beside weights, input and the given state.

    It is the stream, what one layer works with and the new states up to that layer, where these
    are most; or the patches and twice the tokens of the embedding.

    Args:
        p: What is read.
        states: Bytes of the new state of every layer.
    """
    c = p.config
    layers = layer_footprints(p)
    embedding = p.tokens * (_patch_bytes(p) + 2 * c.hidden_size * p.act)
    stream = p.tokens * c.hidden_size * p.wide
    held = (
        stream + p.tokens * layer.working + built
        for layer, built in zip(layers, accumulate(states), strict=True)
    )
    return int(max(embedding, *held))


def peak_of_training(p: Pass, *, gradient_checkpointing: bool) -> int:
    """Return the peak of a pass forth and back, beside weights, gradients and input.

    It is the patches, what every layer saves, and the last norm or the way back through a layer,
    where these are most. With gradient checkpointing every layer saves the stream alone, and one
    layer at a time is as without.
    """
    c = p.config
    layers = layer_footprints(p)
    stream, output = c.hidden_size * p.wide, c.hidden_size * p.act
    norm = 2 * stream + output + 3 * stream  # entering, before its weight, output; the way back
    if gradient_checkpointing:
        one = max(layer.saved + layer.returning for layer in layers)
        peak = len(layers) * stream + max(one, norm)
    else:
        saved = list(accumulate(layer.saved for layer in layers))
        backward = (held + layer.returning for held, layer in zip(saved, layers, strict=True))
        peak = max(saved[-1] + norm, *backward)
    return int(p.tokens * (_patch_bytes(p) + peak))


def _patch_bytes(p: Pass) -> int:
    """Return the bytes of one token's pixels."""
    return p.config.num_channels * p.config.tubelet_size * p.config.patch_size**2 * p.act
