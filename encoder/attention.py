"""The attention mixer: all tokens of a clip, or a causal window of frames with bounded state.

Legend: B batch, T token frames, N patches per frame, L tokens, D width, H heads, K head size,
W attention window in frames.
"""

import torch
from einops import rearrange
from torch import Tensor, nn

from videollm.encoder.config import VideoMAPConfig
from videollm.encoder.embed import RotaryTime
from videollm.encoder.mamba import TokenGrid
from videollm.encoder.state import AttentionState

__all__ = ["AttentionMixer"]

# Tokens of keys gathered at once in the windowed form; bounds its memory, not its result.
_GATHERED_TOKENS = 1 << 15


class AttentionMixer(nn.Module):
    """Attend by frames through torch's scaled_dot_product_attention.

    In frame-causal mode the tokens of frame t attend to all tokens of frames t - W + 1 to t.

    Args:
        config: Sizes, `scan_mode`, `attention_window` and `temporal_position`.
    """

    def __init__(self, config: VideoMAPConfig) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.window = config.attention_window if isinstance(config.attention_window, int) else None
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)
        head_size = config.hidden_size // config.num_attention_heads
        self.rotary: RotaryTime | None = None
        if config.temporal_position == "rotary":
            self.rotary = RotaryTime(head_size, config.rotary_theta)

    def forward(
        self, hidden_BLD: Tensor, grid: TokenGrid, state: AttentionState | None
    ) -> tuple[Tensor, AttentionState | None]:
        """Return the mixed tokens (B, L, D) and, for a given state, the next one."""
        query, key, value = rearrange(
            self.qkv(hidden_BLD), "b l (three h k) -> three b l h k", three=3, h=self.num_heads
        )
        if self.rotary is not None:
            frame_index = grid.frame_index(hidden_BLD.device)
            query, key = self.rotary(query, frame_index), self.rotary(key, frame_index)
        if self.window is None:
            mixed = nn.functional.scaled_dot_product_attention(
                *(part.transpose(1, 2) for part in (query, key, value))
            )
            return self.out_proj(rearrange(mixed, "b h l k -> b l (h k)")), None
        by_frame = "b (t n) h k -> b h t n k"
        query, key, value = (
            rearrange(part, by_frame, t=grid.num_frames) for part in (query, key, value)
        )
        past = state if state is not None else self._empty_state(key)
        key = torch.cat([past.key.to(key.dtype), key], dim=2)
        value = torch.cat([past.value.to(value.dtype), value], dim=2)
        mixed = self.out_proj(self._windowed(query, key, value, grid))
        if state is None:
            return mixed, None
        kept = key.shape[2] - (self.window - 1)
        return mixed, AttentionState(
            key=key[:, :, kept:].contiguous(), value=value[:, :, kept:].contiguous()
        )

    def _windowed(self, query: Tensor, key: Tensor, value: Tensor, grid: TokenGrid) -> Tensor:
        """Attend frame by frame to the last W frames, a bounded number of frames at once."""
        assert self.window is not None
        num_frames, tokens = grid.num_frames, grid.tokens_per_frame
        block = max(1, _GATHERED_TOKENS // (self.window * tokens))
        outputs = []
        for start in range(0, num_frames, block):
            stop = min(start + block, num_frames)
            spans = (
                part[:, :, start : stop + self.window - 1].unfold(2, self.window, 1)
                for part in (key, value)
            )
            keys, values = (rearrange(span, "b h t n k w -> (b t) h (w n) k") for span in spans)
            mask = self._mask(grid.first_frame, start, stop, query)
            output = nn.functional.scaled_dot_product_attention(
                rearrange(query[:, :, start:stop], "b h t n k -> (b t) h n k"),
                keys,
                values,
                attn_mask=mask,
            )
            outputs.append(rearrange(output, "(b t) h n k -> b (t n) (h k)", b=query.shape[0]))
        return torch.cat(outputs, dim=1)

    def _mask(self, first_frame: int, start: int, stop: int, query: Tensor) -> Tensor | None:
        """Return which gathered keys exist: those of frames before the first do not."""
        assert self.window is not None
        if first_frame + start >= self.window - 1:
            return None
        batch, tokens = query.shape[0], query.shape[3]
        frames = torch.arange(start, stop, device=query.device) + first_frame
        offsets = torch.arange(self.window, device=query.device) - (self.window - 1)
        exists = (frames[:, None] + offsets) >= 0
        return exists.repeat_interleave(tokens, dim=1).repeat(batch, 1)[:, None, None]

    def _empty_state(self, key: Tensor) -> AttentionState:
        assert self.window is not None
        batch, heads, _, tokens, head_size = key.shape
        zeros = key.new_zeros(batch, heads, self.window - 1, tokens, head_size)
        return AttentionState(key=zeros, value=zeros)

    def initial_state(self, hidden_BLD: Tensor, tokens_per_frame: int) -> AttentionState:
        """Return the state before the first frame for inputs like hidden (B, L, D)."""
        assert self.window is not None
        shape = (
            hidden_BLD.shape[0],
            self.num_heads,
            self.window - 1,
            tokens_per_frame,
            self.out_proj.in_features // self.num_heads,
        )
        dtype = self.qkv.weight.dtype
        return AttentionState(
            key=hidden_BLD.new_zeros(shape, dtype=dtype),
            value=hidden_BLD.new_zeros(shape, dtype=dtype),
        )
