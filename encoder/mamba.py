"""The Mamba mixer: two selective scans that share their projections.

Bidirectional mode scans the whole token sequence both ways. Frame-causal mode scans forward
over the whole sequence, carrying its state between chunks, and backward within each frame only:
the same parameters, and nothing of a later frame in an earlier one.

Legend: B batch, T token frames, N patches per frame, L = T * N tokens, D width, E inner width,
S states, R rank of the step size.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn

from videollm.encoder.config import VideoMAPConfig
from videollm.encoder.scan import selective_scan
from videollm.encoder.state import MambaState

__all__ = ["MambaMixer", "ScanDirection", "TokenGrid", "causal_conv1d"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenGrid:
    """How a token sequence is laid out.

    Args:
        num_frames: Token frames T in the sequence.
        tokens_per_frame: Tokens N of each frame.
        num_prefix: Tokens before the first frame (the [CLS] token).
        first_frame: Index of the first frame in its video.
    """

    num_frames: int
    tokens_per_frame: int
    num_prefix: int = 0
    first_frame: int = 0

    def frame_index(self, device: torch.device) -> Tensor:
        """Return each token's frame in the video, (num_prefix + T * N,); a prefix has frame 0."""
        frames = torch.arange(self.num_frames, device=device) + self.first_frame
        prefix = frames.new_zeros(self.num_prefix)
        return torch.cat([prefix, frames.repeat_interleave(self.tokens_per_frame)])


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    initial: Tensor | None = None,
    reverse: bool = False,
) -> Tensor:
    """Convolve each channel with its own taps over the present and past.

    Args:
        x: (B, E, L).
        weight: (E, k); the last tap meets the present element.
        bias: (E,).
        initial: (B, E, k - 1), the elements before the first; zeros when None.
        reverse: Past means the elements after; `initial` must be None.

    Returns:
        (B, E, L).
    """
    taps = weight.shape[1]
    length = x.shape[2]
    if reverse:
        padded = nn.functional.pad(x, (0, taps - 1))
        weight = weight.flip(1)
    elif initial is None:
        padded = nn.functional.pad(x, (taps - 1, 0))
    else:
        padded = torch.cat([initial.to(x.dtype), x], dim=2)
    result = bias[:, None] + padded[:, :, :length] * weight[:, 0, None]
    for tap in range(1, taps):
        result = torch.addcmul(
            result, padded[:, :, tap : tap + length], weight[:, tap, None].expand_as(x)
        )
    return result


class ScanDirection(nn.Module):
    """Convolution, input-dependent parameters and selective scan of one direction.

    Args:
        config: Sizes of the layer.

    Source: Mamba (arXiv 2312.00752), algorithm 2; initial values as in state-spaces/mamba
    `mamba_ssm/modules/mamba_simple.py`.
    """

    def __init__(self, config: VideoMAPConfig) -> None:
        super().__init__()
        assert config.dt_rank is not None
        self.dt_rank = config.dt_rank
        self.state_size = config.state_size
        inner = config.inner_size
        self.conv_weight = nn.Parameter(torch.empty(inner, config.conv_kernel))
        self.conv_bias = nn.Parameter(torch.empty(inner))
        self.x_proj = nn.Linear(inner, self.dt_rank + 2 * self.state_size, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, inner)
        self.A_log = nn.Parameter(torch.empty(inner, self.state_size))
        self.D = nn.Parameter(torch.empty(inner))

    def forward(
        self, x: Tensor, z: Tensor, state: MambaState | None = None, *, reverse: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Scan x (B, E, L) gated by z (B, E, L), from `state` or from zeros.

        Returns:
            The output (B, E, L) and the last scan state (B, E, S).
        """
        initial = state.conv if state is not None else None
        x = nn.functional.silu(
            causal_conv1d(x, self.conv_weight, self.conv_bias, initial=initial, reverse=reverse)
        )
        parameters = torch.matmul(self.x_proj.weight, x)
        low_rank, B, C = parameters.split([self.dt_rank, self.state_size, self.state_size], dim=1)
        return selective_scan(
            x,
            torch.matmul(self.dt_proj.weight, low_rank),
            -torch.exp(self.A_log.float()),
            B,
            C,
            D=self.D.float(),
            z=z,
            delta_bias=self.dt_proj.bias.float(),
            delta_softplus=True,
            return_last_state=True,
            initial_state=state.scan if state is not None else None,
            reverse=reverse,
        )


class MambaMixer(nn.Module):
    """Mix tokens by a forward and a backward scan whose outputs are added.

    Args:
        config: Sizes and `scan_mode`.

    Source: the bidirectional block of OpenGVLab/VideoMamba (outputs added, one in and one out
    projection); the frame-causal mode is ours.
    """

    def __init__(self, config: VideoMAPConfig) -> None:
        super().__init__()
        self.frame_causal = config.scan_mode == "frame_causal"
        self.state_size = config.state_size
        self.conv_kernel = config.conv_kernel
        self.in_proj = nn.Linear(config.hidden_size, 2 * config.inner_size, bias=False)
        self.out_proj = nn.Linear(config.inner_size, config.hidden_size, bias=False)
        self.forward_scan = ScanDirection(config)
        self.backward_scan = ScanDirection(config)

    def forward(
        self, hidden_BLD: Tensor, grid: TokenGrid, state: MambaState | None
    ) -> tuple[Tensor, MambaState | None]:
        """Return the mixed tokens (B, L, D) and, for a given state, the next one."""
        projected = torch.matmul(self.in_proj.weight, hidden_BLD.transpose(1, 2))
        x_BEL, z_BEL = projected.chunk(2, dim=1)
        forward, last_scan = self.forward_scan(x_BEL, z_BEL, state)
        if self.frame_causal:
            backward = self._backward_within_frames(x_BEL, z_BEL, grid)
        else:
            backward, _ = self.backward_scan(x_BEL, z_BEL, reverse=True)
        mixed = nn.functional.linear((forward + backward).transpose(1, 2), self.out_proj.weight)
        if state is None:
            return mixed, None
        recent = torch.cat([state.conv.to(x_BEL.dtype), x_BEL], dim=2)
        kept = recent[:, :, recent.shape[2] - (self.conv_kernel - 1) :].contiguous()
        return mixed, MambaState(conv=kept, scan=last_scan)

    def _backward_within_frames(self, x_BEL: Tensor, z_BEL: Tensor, grid: TokenGrid) -> Tensor:
        frames = "b e (t n) -> (b t) e n"
        x, z = (rearrange(part, frames, t=grid.num_frames) for part in (x_BEL, z_BEL))
        output, _ = self.backward_scan(x, z, reverse=True)
        return rearrange(output, "(b t) e n -> b e (t n)", t=grid.num_frames)

    def initial_state(self, hidden: Tensor) -> MambaState:
        """Return the state before the first frame for inputs like hidden (B, ...)."""
        inner = self.out_proj.in_features
        batch = hidden.shape[0]
        dtype = self.in_proj.weight.dtype
        precise = torch.float64 if dtype == torch.float64 else torch.float32
        return MambaState(
            conv=hidden.new_zeros(batch, inner, self.conv_kernel - 1, dtype=dtype),
            scan=hidden.new_zeros(batch, inner, self.state_size, dtype=precise),
        )
