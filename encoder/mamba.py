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
from videollm.encoder.conv import causal_conv1d
from videollm.encoder.scan import selective_scan
from videollm.encoder.state import MambaState

__all__ = ["MambaMixer", "ScanDirection", "TokenGrid"]


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
        self,
        x_BLE: Tensor,
        z_BLE: Tensor,
        state: MambaState | None = None,
        *,
        reverse: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Scan x (B, L, E) gated by z (B, L, E), from `state` or from zeros.

        Returns:
            The output (B, L, E) and the last scan state (B, E, S).
        """
        x_BEL = causal_conv1d(
            x_BLE.transpose(1, 2),
            self.conv_weight,
            self.conv_bias,
            initial=state.conv if state is not None else None,
            reverse=reverse,
            silu=True,
        )
        parameters = self.x_proj(x_BEL.transpose(1, 2))
        low_rank, B, C = parameters.split([self.dt_rank, self.state_size, self.state_size], dim=2)
        delta = nn.functional.linear(low_rank, self.dt_proj.weight)
        y_BEL, last_state = selective_scan(
            x_BEL,
            delta.transpose(1, 2),
            -torch.exp(self.A_log.float()),
            B.transpose(1, 2),
            C.transpose(1, 2),
            D=self.D.float(),
            z=z_BLE.transpose(1, 2),
            delta_bias=self.dt_proj.bias.float(),
            delta_softplus=True,
            return_last_state=True,
            initial_state=state.scan if state is not None else None,
            reverse=reverse,
        )
        return y_BEL.transpose(1, 2), last_state


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
        x_BLE, z_BLE = self.in_proj(hidden_BLD).chunk(2, dim=2)
        forward, last_scan = self.forward_scan(x_BLE, z_BLE, state)
        if self.frame_causal:
            backward = self._backward_within_frames(x_BLE, z_BLE, grid)
        else:
            backward, _ = self.backward_scan(x_BLE, z_BLE, reverse=True)
        mixed = self.out_proj(forward + backward)
        if state is None:
            return mixed, None
        return mixed, MambaState(conv=self._last_inputs(state.conv, x_BLE), scan=last_scan)

    def _backward_within_frames(self, x_BLE: Tensor, z_BLE: Tensor, grid: TokenGrid) -> Tensor:
        frames = "b (t n) e -> (b t) n e"
        x, z = (rearrange(part, frames, t=grid.num_frames) for part in (x_BLE, z_BLE))
        output, _ = self.backward_scan(x, z, reverse=True)
        return rearrange(output, "(b t) n e -> b (t n) e", t=grid.num_frames)

    def _last_inputs(self, before: Tensor, x_BLE: Tensor) -> Tensor:
        """Return the last K - 1 inputs of the convolution, (B, E, K - 1)."""
        kept = self.conv_kernel - 1
        recent = x_BLE[:, max(0, x_BLE.shape[1] - kept) :].transpose(1, 2)
        recent = torch.cat([before.to(recent.dtype), recent], dim=2)
        return recent[:, :, recent.shape[2] - kept :].contiguous()

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
