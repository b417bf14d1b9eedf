"""One layer of the encoder: norm, mixer, and for Transformer layers norm and MLP.

One residual stream in fp32 runs through all layers, whatever the dtype of the weights.

Legend: B batch, L tokens, D width.
"""

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from videollm.encoder.attention import AttentionMixer
from videollm.encoder.config import VideoMAPConfig
from videollm.encoder.mamba import MambaMixer, TokenGrid
from videollm.encoder.state import AttentionState, LayerState, MambaState

__all__ = ["MambaLayer", "RMSNorm", "TransformerLayer"]


class RMSNorm(nn.Module):
    """Scale by the root mean square: x / sqrt(mean(x^2) + eps) * weight, computed in fp32.

    Source: Zhang and Sennrich (arXiv 1910.07467), equation 4.
    """

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Return x (..., size) normalised, in the dtype of the weight."""
        return nn.functional.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps).to(
            self.weight.dtype
        )


class DropPath(nn.Module):
    """Drop a whole branch of a sample with probability `rate` while training.

    Source: Huang et al. (arXiv 1603.09382), section 3.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """Return branch (B, ...) with dropped samples at zero and the others scaled up."""
        if not self.training or self.rate == 0.0:
            return branch
        keep = 1.0 - self.rate
        shape = (branch.shape[0],) + (1,) * (branch.ndim - 1)
        return branch * branch.new_empty(shape).bernoulli_(keep).div_(keep)


class MambaLayer(GradientCheckpointingLayer):
    """Pre-norm Mamba layer: hidden + mixer(norm(hidden)); it has no MLP."""

    def __init__(self, config: VideoMAPConfig, *, drop_path_rate: float) -> None:
        super().__init__()
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.mixer = MambaMixer(config)
        self.drop_path = DropPath(drop_path_rate)

    def forward(
        self, hidden_BLD: Tensor, grid: TokenGrid, state: MambaState | None = None
    ) -> tuple[Tensor, LayerState | None]:
        """Return hidden (B, L, D) in fp32 and the next state (None without a state)."""
        mixed, next_state = self.mixer(self.norm(hidden_BLD), grid, state)
        return hidden_BLD + self.drop_path(mixed).to(hidden_BLD.dtype), next_state

    def initial_state(self, hidden_BLD: Tensor, grid: TokenGrid) -> LayerState:
        """Return the state before the first frame."""
        return self.mixer.initial_state(hidden_BLD)


class TransformerLayer(GradientCheckpointingLayer):
    """Pre-norm Transformer layer: attention, then an MLP with GELU."""

    def __init__(self, config: VideoMAPConfig, *, drop_path_rate: float) -> None:
        super().__init__()
        width = config.hidden_size
        inner = int(width * config.mlp_ratio)
        self.norm = RMSNorm(width, config.norm_eps)
        self.mixer = AttentionMixer(config)
        self.mlp_norm = RMSNorm(width, config.norm_eps)
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))
        self.drop_path = DropPath(drop_path_rate)

    def forward(
        self, hidden_BLD: Tensor, grid: TokenGrid, state: AttentionState | None = None
    ) -> tuple[Tensor, LayerState | None]:
        """Return hidden (B, L, D) in fp32 and the next state (None without a state)."""
        mixed, next_state = self.mixer(self.norm(hidden_BLD), grid, state)
        hidden_BLD = hidden_BLD + self.drop_path(mixed).to(hidden_BLD.dtype)
        del mixed  # the MLP sets the peak of this layer
        expanded = self.mlp(self.mlp_norm(hidden_BLD))
        return hidden_BLD + self.drop_path(expanded).to(hidden_BLD.dtype), next_state

    @torch.no_grad()
    def silence(self) -> None:
        """Make the layer return its input, by zeroing the last map of each of its two branches.

        Gradients still reach these maps, so that training can give the layer a voice.
        """
        for last in (self.mixer.out_proj, self.mlp[-1]):
            assert isinstance(last, nn.Linear)
            last.weight.zero_()
            last.bias.zero_()

    def initial_state(self, hidden_BLD: Tensor, grid: TokenGrid) -> LayerState:
        """Return the state before the first frame."""
        return self.mixer.initial_state(hidden_BLD, grid.tokens_per_frame)
