"""What one layer of each kind holds for each token, term by term.

A term stands for a tensor that `mamba.py` or `block.py` and `attention.py` make; change them
together. What kernels keep inside is left out: compiled scans and fused attention keep little.
The plain scan and eager attention keep far more and are not covered.

Legend: B batch, T token frames of one pass, N patches per frame, D width, E inner width of a Mamba
layer, S states, M hidden width of an MLP, W attention window in frames.
"""

from dataclasses import dataclass

import torch

from videollm.encoder.config import VideoMAPConfig

__all__ = ["LayerFootprint", "Pass", "layer_footprints", "layer_state_bytes"]

_SCAN_TILE_STEPS = 64  # for the way back, a scan keeps its state before every tile


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """What one pass through the layers reads, and in which precision.

    Args:
        config: Of the encoder.
        batch: Clips B.
        num_frames: Token frames T read at once.
        tokens_per_frame: Patches N.
        held_frames: Token frames of the attention window that come from a state.
        dtype: Of weights and pixels.
    """

    config: VideoMAPConfig
    batch: int
    num_frames: int
    tokens_per_frame: int
    held_frames: int
    dtype: torch.dtype

    @property
    def tokens(self) -> int:
        """Tokens of all clips, those of [CLS] included."""
        prefix = int(self.config.use_cls_token)
        return self.batch * (self.num_frames * self.tokens_per_frame + prefix)

    @property
    def act(self) -> int:
        """Bytes of an element of an activation."""
        return self.dtype.itemsize

    @property
    def wide(self) -> int:
        """Bytes of an element of the residual stream, and inside a scan."""
        return max(4, self.act)

    @property
    def is_causal(self) -> bool:
        """Whether the encoder is frame-causal."""
        return self.config.scan_mode == "frame_causal"


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerFootprint:
    """Bytes that one layer needs for each token, beside the residual stream that enters it.

    Args:
        working: Most that is held at once when nothing is kept for the way back.
        saved: Kept for the way back, the entering stream included.
        returning: Most that the way back adds to it.
    """

    working: float
    saved: float
    returning: float


def _mamba_footprint(p: Pass) -> LayerFootprint:
    """Return what a Mamba layer needs."""
    c, act, wide = p.config, p.act, p.wide
    D, E, S = c.hidden_size, c.inner_size, c.state_size
    assert c.dt_rank is not None
    casts = act < wide  # convolution and scan copy what is narrow
    parameters = (c.dt_rank + 2 * S) * act  # of one direction: low-rank step, B, C
    last_states = E * S * wide / p.tokens_per_frame if p.is_causal else 0
    working = (
        D * act  # norm
        + 2 * E * act  # x and z
        + E * act  # output of the forward scan
        + 3 * E * act  # of the scan: input, step, output
        + (4 * E * wide if casts else 0)  # input, step, gate, output
        + parameters
        + last_states
    )
    direction = (
        E * act  # convolved
        + (4 * E * wide if casts else E * act)  # step; both inputs and the gate too when copied
        + parameters
        + E * S * wide / _SCAN_TILE_STEPS
    )
    saved = (
        2 * D * wide  # entering stream, the same before the norm's weight
        + D * act  # norm
        + (0 if casts else 2 * E * act)  # x and z
        + 2 * direction
        + E * act  # sum of both directions
    )
    returning = (
        D * wide  # gradient of the stream
        + E * act  # of the sum
        + 3 * E * wide  # of input, step and gate
        + last_states
    )
    return LayerFootprint(working=working, saved=saved, returning=returning)


def _transformer_footprint(p: Pass) -> LayerFootprint:
    """Return what a Transformer layer needs."""
    c, act, wide = p.config, p.act, p.wide
    D, M = c.hidden_size, int(c.hidden_size * c.mlp_ratio)
    window = c.attention_window if isinstance(c.attention_window, int) else 0
    rotation = 0
    if c.temporal_position == "rotary":  # query, key, value; turned query; turned key, in halves
        rotation = 4 * D * act + 2 * D * wide + (D * wide if act < wide else 0)
    attention = (
        3 * D * act  # query, key, value
        + 2 * D * act * p.held_frames / p.num_frames  # those held
        + 2 * D * act  # output, and again in the order of tokens
    )
    mlp = (
        D * wide  # stream after attention
        + D * act  # norm
        + 2 * M * act  # before and after GELU
    )
    saved = (
        4 * D * wide  # both streams, the same before the norms' weights
        + 2 * D * act  # norms
        + 3 * D * act  # query, key, value
        + (2 * D * act if window else D * act)  # output, and again in the order of tokens
        + 4 * c.num_attention_heads  # the softmax's denominators
        + 2 * M * act  # before and after GELU
    )
    returning: float = D * wide + M * act  # gradients of the stream and after GELU
    if window:
        filled = 1 - min(p.num_frames, window - 1 - p.held_frames) / p.num_frames
        freed = 2 * M * act + 2 * D * wide + D * act  # all that belongs to the MLP
        gradients = D * wide + 4 * D * act + 2 * window * filled * D * act  # windows overlap
        returning = max(returning, gradients - freed)
    return LayerFootprint(
        working=max(D * act + max(rotation, attention), mlp), saved=saved, returning=returning
    )


def layer_footprints(p: Pass) -> list[LayerFootprint]:
    """Return what every layer needs."""
    kinds = {"M": _mamba_footprint(p), "T": _transformer_footprint(p)}
    return [kinds[kind] for kind in p.config.layer_kinds]


def layer_state_bytes(p: Pass) -> list[int]:
    """Return the bytes of the streaming state of every layer."""
    c = p.config
    mamba = c.inner_size * ((c.conv_kernel - 1) * p.act + c.state_size * p.wide)
    transformer = 0
    if isinstance(c.attention_window, int):
        transformer = 2 * (c.attention_window - 1) * p.tokens_per_frame * c.hidden_size * p.act
    return [p.batch * {"M": mamba, "T": transformer}[kind] for kind in c.layer_kinds]
