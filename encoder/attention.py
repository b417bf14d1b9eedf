"""The attention mixer: all tokens of a clip, or a causal window of frames with bounded state.

In the window, the keys of frame t are one stretch of memory, and those of frame t + 1 the same
stretch one frame later. All windows are therefore one strided view: nothing is copied, masked or
looped over, and every attention function that the library knows can read it.

Legend: B batch, T token frames, N patches per frame, L tokens, D width, H heads, K head size,
W attention window in frames.
"""

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from videollm.encoder.config import VideoMAPConfig
from videollm.encoder.embed import RotaryTime
from videollm.encoder.mamba import TokenGrid
from videollm.encoder.state import AttentionState

__all__ = ["AttentionMixer", "eager_attention"]


def eager_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    **kwargs: Any,
) -> tuple[Tensor, Tensor]:
    """Return attention by its definition, and its weights (B, H, queries, keys).

    The form that every other implementation is held to; arguments and the layout of the result
    (B, queries, H, K) are those of the library's attention functions.
    """
    scores = query @ key.transpose(2, 3) * scaling
    precise = torch.promote_types(scores.dtype, torch.float32)
    weights = scores.softmax(dim=-1, dtype=precise).to(value.dtype)
    return (weights @ value).transpose(1, 2), weights


class AttentionMixer(nn.Module):
    """Attend by frames through the attention function that the config names.

    In frame-causal mode the tokens of frame t attend to all tokens of frames t - W + 1 to t.

    Args:
        config: Sizes, `scan_mode`, `attention_window` and `temporal_position`, and the library's
            `attn_implementation`: "sdpa" (the default), "eager", or "flash_attention_2" and its
            successors where they are installed.
    """

    def __init__(self, config: VideoMAPConfig) -> None:
        super().__init__()
        self.config = config
        self.num_heads = config.num_attention_heads
        self.window = config.attention_window if isinstance(config.attention_window, int) else None
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.head_size = config.hidden_size // config.num_attention_heads
        self.rotary: RotaryTime | None = None
        if config.temporal_position == "rotary":
            self.rotary = RotaryTime(self.head_size, config.rotary_theta)

    def forward(
        self, hidden_BLD: Tensor, grid: TokenGrid, state: AttentionState | None
    ) -> tuple[Tensor, AttentionState | None]:
        """Return the mixed tokens (B, L, D) and, for a given state, the next one."""
        query, key, value = rearrange(
            self.qkv(hidden_BLD), "b l (three h k) -> three b h l k", three=3, h=self.num_heads
        )
        query, key = self._rotate(query, grid), self._rotate(key, grid)
        if self.window is None:
            return self.out_proj(self._attend(query, key, value).flatten(2)), None
        value = value.contiguous()  # as windows need it; a view would hold query and key as well
        if state is None:
            return self.out_proj(self._attend_window(query, key, value, grid)), None
        next_state = AttentionState(
            key=self._shift(state.key, key, grid), value=self._shift(state.value, value, grid)
        )
        held = min(grid.first_frame, self.window - 1)
        key, value = (
            torch.cat([past[:, :, self.window - 1 - held :].flatten(2, 3).to(new.dtype), new], 2)
            for past, new in ((state.key, key), (state.value, value))
        )
        return self.out_proj(self._attend_window(query, key, value, grid)), next_state

    def _rotate(self, part_BHLK: Tensor, grid: TokenGrid) -> Tensor:
        """Turn by the time of each frame; a prefix stands at time 0, which turns nothing."""
        if self.rotary is None:
            return part_BHLK
        prefix, frames = part_BHLK.tensor_split([grid.num_prefix], dim=2)
        by_frame = frames.unflatten(2, (grid.num_frames, grid.tokens_per_frame))
        turned = self.rotary(by_frame, grid.first_frame).flatten(2, 3)
        return torch.cat([prefix, turned], dim=2) if grid.num_prefix else turned

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend without a mask, (B, H, queries, K) over (B, H, keys, K): (B, queries, H, K)."""
        function = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention
        )
        scaling = self.head_size**-0.5
        mixed, _ = function(self, query, key, value, None, scaling=scaling, is_causal=False)
        return mixed

    def _attend_window(self, query: Tensor, key: Tensor, value: Tensor, grid: TokenGrid) -> Tensor:
        """Attend from each frame of query to the W frames that end with it: (B, T * N, D).

        Keys may begin before the queries. The first frames of a video, with fewer than W to see,
        go one by one; for all others the frame takes the place of the head in one call.
        """
        assert self.window is not None
        tokens = grid.tokens_per_frame
        held = key.shape[2] // tokens - grid.num_frames
        early = min(grid.num_frames, self.window - 1 - held)
        outputs = []
        for frame in range(early):
            own = query[:, :, frame * tokens : (frame + 1) * tokens]
            seen = (held + frame + 1) * tokens
            outputs.append(self._attend(own, key[:, :, :seen], value[:, :, :seen])[:, None])
        if early < grid.num_frames:
            keys, values = (
                part.flatten(0, 1).unfold(1, self.window * tokens, tokens).transpose(2, 3)
                for part in (key, value)
            )
            queries = query.flatten(0, 1).unflatten(1, (-1, tokens))[:, early:]
            mixed = self._attend(queries, keys, values)
            outputs.append(rearrange(mixed, "(b h) n t k -> b t n h k", h=self.num_heads))
        return rearrange(torch.cat(outputs, dim=1), "b t n h k -> b (t n) (h k)")

    def _shift(self, past: Tensor, new: Tensor, grid: TokenGrid) -> Tensor:
        """Return the last W - 1 frames (B, H, W - 1, N, K) of past and new ones, in order.

        Writing in place at a position would spare nothing: the given state stays as it was, so
        the next one is a copy of this size in any case.
        """
        size = past.shape[2]
        kept = new.unflatten(2, (-1, grid.tokens_per_frame))[:, :, max(0, grid.num_frames - size) :]
        return torch.cat([past[:, :, kept.shape[2] :].to(new.dtype), kept], dim=2)

    def initial_state(self, hidden_BLD: Tensor, tokens_per_frame: int) -> AttentionState:
        """Return the state before the first frame for inputs like hidden (B, L, D)."""
        assert self.window is not None
        batch = hidden_BLD.shape[0]
        shape = (batch, self.num_heads, self.window - 1, tokens_per_frame, self.head_size)
        dtype = self.qkv.weight.dtype
        return AttentionState(
            key=hidden_BLD.new_zeros(shape, dtype=dtype),
            value=hidden_BLD.new_zeros(shape, dtype=dtype),
        )
