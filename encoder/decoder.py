"""The autoregressive decoder of pretraining, by frames or by tokens.

Queries are one learned mask token with positions, for every token of every frame.

By frame: those of frame t exchange among themselves and read the encoded visible tokens of frames
before t; frame 0 reads its own. No query ever holds anything of its own frame, so the prediction
is causal.

By token: raster order holds inside a frame as well. The query of token n reads, beside the frames
before, the visible tokens of its own frame that stand before n, and exchanges with queries up to
n. The first token of a clip reads a learned start token alone. What it reads was encoded, though,
and an encoder mixes all visible tokens of a frame: a visible token behind n speaks through those
before it. Only masked tokens, which no encoder saw, are therefore a fair target.

Legend: B batch, T token frames, N patches per frame, V visible tokens per frame, P width,
M = T * V tokens of the memory (one more, the start token, when decoding by token).
"""

import math
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn
from transformers import initialization as init

__all__ = ["AutoregressiveDecoder", "DecoderBlock", "sinusoid"]

_POSITION_BASE = 100.0
_NEARNESS = 3.5
"""Gain of the first queries and keys: a step of one patch or frame costs about one in a logit."""


def sinusoid(positions: Tensor, size: int) -> Tensor:
    """Return sines and cosines (..., size) of positions (...), geometric in frequency.

    Source: Vaswani et al. (arXiv 1706.03762), section 3.5, with a base for tens of positions in the
    place of thousands: of the usual frequencies most would hardly differ over a grid of patches.
    """
    half = size // 2
    steps = torch.arange(half, device=positions.device, dtype=torch.float32) / half
    angles = positions.float()[..., None] * torch.exp(-math.log(_POSITION_BASE) * steps)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class DecoderBlock(nn.Module):
    """Self-attention inside a frame, attention to the memory, MLP; each pre-norm."""

    def __init__(self, size: int, num_heads: int, *, by_token: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.by_token = by_token
        self.self_norm = nn.LayerNorm(size)
        self.self_qkv = nn.Linear(size, 3 * size)
        self.self_out = nn.Linear(size, size)
        self.cross_norm = nn.LayerNorm(size)
        self.memory_norm = nn.LayerNorm(size)
        self.cross_q = nn.Linear(size, size)
        self.cross_kv = nn.Linear(size, 2 * size)
        self.cross_out = nn.Linear(size, size)
        self.mlp_norm = nn.LayerNorm(size)
        self.mlp = nn.Sequential(nn.Linear(size, 4 * size), nn.GELU(), nn.Linear(4 * size, size))

    def forward(self, query_BTNP: Tensor, memory_BMP: Tensor, mask: Tensor) -> Tensor:
        """Return the queries (B, T, N, P) one block further.

        The mask (T * N, M), or (B, 1, T * N, M), is true where a query reads the memory.
        """
        frames = query_BTNP.shape[1]
        heads = {"h": self.num_heads}
        qkv = self.self_qkv(self.self_norm(query_BTNP))
        q, k, v = rearrange(qkv, "b t n (three h c) -> three (b t) h n c", three=3, **heads)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=self.by_token)
        query_BTNP = query_BTNP + self.self_out(
            rearrange(mixed, "(b t) h n c -> b t n (h c)", t=frames)
        )
        q = rearrange(
            self.cross_q(self.cross_norm(query_BTNP)), "b t n (h c) -> b h (t n) c", **heads
        )
        k, v = rearrange(
            self.cross_kv(self.memory_norm(memory_BMP)),
            "b m (two h c) -> two b h m c",
            two=2,
            **heads,
        )
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        query_BTNP = query_BTNP + self.cross_out(
            rearrange(mixed, "b h (t n) c -> b t n (h c)", t=frames)
        )
        return query_BTNP + self.mlp(self.mlp_norm(query_BTNP))


class AutoregressiveDecoder(nn.Module):
    """Predict the targets of every token from visible tokens that come before it.

    Args:
        input_size: Width of encoded tokens.
        hidden_size: Width P of the decoder, a multiple of 8 for the positions.
        target_size: Width of a prediction.
        num_layers: Blocks.
        num_heads: Attention heads.
        context: Of decoding by frame: "past" (frames before t), "previous" (the one before t
            alone: what else is to be known of the past, its tokens must carry) or
            "past_and_present" (frame t as well, as MAP does).
        decoding: "frame" (all tokens of a frame at once) or "token" (in raster order).

    Raises:
        ValueError: `hidden_size` does not divide into heads and positions, or the context is
            asked for more than an order of tokens can have.
    """

    def __init__(
        self,
        *,
        input_size: int,
        hidden_size: int,
        target_size: int,
        num_layers: int,
        num_heads: int,
        context: Literal["past", "previous", "past_and_present"],
        decoding: Literal["frame", "token"],
    ) -> None:
        super().__init__()
        if hidden_size % num_heads or hidden_size % 8:
            raise ValueError(
                f"decoder_hidden_size is {hidden_size}; it must be a multiple of 8 and of "
                f"decoder_attention_heads {num_heads}"
            )
        self.by_token = decoding == "token"
        if self.by_token and context != "past":
            raise ValueError(
                f"decoder_context is {context!r}; decoding by token reads what comes before each "
                'token: leave it at "past"'
            )
        self.context = context
        self.project = nn.Linear(input_size, hidden_size)
        self.mask_token = nn.Parameter(torch.zeros(hidden_size))
        self.start_token = nn.Parameter(torch.zeros(hidden_size)) if self.by_token else None
        self.blocks = nn.ModuleList(
            DecoderBlock(hidden_size, num_heads, by_token=self.by_token) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(hidden_size)
        self.head = nn.Linear(hidden_size, target_size)

    @torch.no_grad()
    def init_weights(self) -> None:
        """Draw the learned tokens, and let attention start at like positions.

        Queries and keys of the memory begin as the same rotation of their inputs, so each query
        reads the tokens nearest to its own place and time from the first step on. From random
        weights, finding that out took longer than 600 steps of 16 clips, in which one mean feature
        was predicted everywhere. Other linear layers are drawn by the model around.
        """
        init.normal_(self.mask_token, std=0.02)
        for block in self.blocks:
            assert isinstance(block, DecoderBlock)
            init.orthogonal_(block.cross_q.weight, gain=_NEARNESS)
            value = block.cross_kv.weight[len(block.cross_q.weight) :]
            init.copy_(block.cross_kv.weight, torch.cat([block.cross_q.weight, value]))
        if self.start_token is not None:
            init.normal_(self.start_token, std=0.02)

    def forward(self, memory_BTVD: Tensor, visible: Tensor, num_columns: int) -> Tensor:
        """Return predictions (B, T, N, target size).

        Args:
            memory_BTVD: Encoded visible tokens, in raster order inside a frame.
            visible: (B, T, N) bool, where they stand.
            num_columns: Patches along the width of a frame.
        """
        num_frames, num_tokens = visible.shape[1:]
        positions = self._positions(num_frames, num_tokens, num_columns, visible.device)
        batch, _, kept, _ = memory_BTVD.shape
        places = positions.expand(batch, -1, -1, -1)[visible].view(batch, num_frames, kept, -1)
        memory = self.project(memory_BTVD)
        memory = rearrange(memory + places.to(memory.dtype), "b t v p -> b (t v) p")
        if self.start_token is None:
            mask = self._frame_mask(num_frames, num_tokens, kept, visible.device)
        else:
            start = self.start_token.to(memory.dtype).expand(batch, 1, -1)
            memory = torch.cat([start, memory], dim=1)
            mask = self._token_mask(visible)
        query = (self.mask_token + positions.to(self.mask_token.dtype)).expand(batch, -1, -1, -1)
        for block in self.blocks:
            query = block(query, memory, mask)
        return self.head(self.norm(query))

    def _positions(
        self, num_frames: int, num_tokens: int, num_columns: int, device: torch.device
    ) -> Tensor:
        """Return fixed positions (1, T, N, P): half of the width for time, half for place."""
        size = self.mask_token.shape[0]
        raster = torch.arange(num_tokens, device=device)
        time = sinusoid(torch.arange(num_frames, device=device), size // 2)
        row = sinusoid(raster // num_columns, size // 4)
        column = sinusoid(raster % num_columns, size // 4)
        place = torch.cat([row, column], dim=-1)
        return torch.cat(
            [
                time[:, None].expand(num_frames, num_tokens, -1),
                place[None].expand(num_frames, num_tokens, -1),
            ],
            dim=-1,
        )[None]

    def _frame_mask(
        self, num_frames: int, num_tokens: int, kept: int, device: torch.device
    ) -> Tensor:
        """Return (T * N, M), true where a query of one frame may read memory of another."""
        frames = torch.arange(num_frames, device=device)
        ahead = frames[:, None] - frames[None]
        if self.context == "past_and_present":
            allowed = ahead >= 0
        else:
            allowed = ahead >= 1 if self.context == "past" else ahead == 1
            allowed[0, 0] = True
        return allowed.repeat_interleave(num_tokens, 0).repeat_interleave(kept, 1)

    def _token_mask(self, visible: Tensor) -> Tensor:
        """Return (B, 1, T * N, M), true where memory stands before the query in raster order."""
        batch = visible.shape[0]
        order = torch.arange(visible[0].numel(), device=visible.device)
        read = order.expand(batch, -1)[visible.flatten(1)].view(batch, -1)
        start = read.new_full((batch, 1), -1)
        return (torch.cat([start, read], dim=1)[:, None, :] < order[:, None])[:, None]
