"""From pixels to patch tokens with positions, for any frame size that the patch divides.

Legend: B batch, T token frames (frames / tubelet size), N patches per frame, D width,
H and W patches along height and width.
"""

import math
from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from videollm.encoder.config import VideoMAPConfig

__all__ = ["PatchEmbedding", "RotaryTime", "resize_spatial_table", "resize_temporal_table"]


def resize_spatial_table(table: Tensor, height: int, width: int) -> Tensor:
    """Return a table over a square of patches, bicubically resized to another rectangle.

    Args:
        table: (1, side * side, D), raster order.
        height: Patches along the new height.
        width: Patches along the new width.

    Returns:
        (1, height * width, D), the table itself where the size is its own.
    """
    side = math.isqrt(table.shape[1])
    if (height, width) == (side, side):
        return table
    grid = rearrange(table, "1 (h w) d -> 1 d h w", h=side).float()
    grid = nn.functional.interpolate(
        grid, size=(height, width), mode="bicubic", align_corners=False
    )
    return rearrange(grid, "1 d h w -> 1 (h w) d").to(table.dtype)


def resize_temporal_table(table: Tensor, num_steps: int) -> Tensor:
    """Return a table over time, linearly resized.

    Args:
        table: (1, T, D).
        num_steps: Token frames wanted.

    Returns:
        (1, num_steps, D), the table itself where the length is its own.
    """
    if table.shape[1] == num_steps:
        return table
    line = rearrange(table, "1 t d -> 1 d t").float()
    line = nn.functional.interpolate(line, size=num_steps, mode="linear", align_corners=False)
    return rearrange(line, "1 d t -> 1 t d").to(table.dtype)


class PatchEmbedding(nn.Module):
    """Cut frames into tubelets, project them and add positions.

    Args:
        config: Sizes; `temporal_position` decides whether there is a table over time.

    Source: token order and tables of OpenGVLab/VideoMamba (spatial first; learned 2-D and 1-D
    tables). The projection is a linear map of the flattened tubelet, which equals their
    convolution with stride equal to its kernel.
    """

    def __init__(self, config: VideoMAPConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.tubelet_size = config.tubelet_size
        self.num_channels = config.num_channels
        volume = config.num_channels * config.tubelet_size * config.patch_size**2
        self.projection = nn.Linear(volume, config.hidden_size)
        self.spatial_table = nn.Parameter(torch.zeros(1, config.grid_size**2, config.hidden_size))
        self.temporal_table: nn.Parameter | None = None
        if config.temporal_position == "learned":
            num_steps = -(-config.num_frames // config.tubelet_size)
            self.temporal_table = nn.Parameter(torch.zeros(1, num_steps, config.hidden_size))

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return tokens (B, T, N, D) of pixel_values (B, frames, C, height, width).

        Raises:
            ValueError: The number of dimensions, channels or frames, or the size, does not fit.
        """
        self.check(pixel_values.shape)
        patches = rearrange(
            pixel_values,
            "b (t f) c (h p) (w q) -> b t (h w) (c f p q)",
            f=self.tubelet_size,
            p=self.patch_size,
            q=self.patch_size,
        )
        tokens = self.projection(patches.to(self.projection.weight.dtype))
        height, width = (size // self.patch_size for size in pixel_values.shape[-2:])
        tokens = tokens + resize_spatial_table(self.spatial_table, height, width)
        if self.temporal_table is not None:
            table = resize_temporal_table(self.temporal_table, num_steps=tokens.shape[1])
            tokens = tokens + table[:, :, None]
        return tokens

    def check(self, shape: Sequence[int]) -> None:
        """Raise the ValueError that `forward` would raise for pixel_values of this shape."""
        if len(shape) != 5:
            raise ValueError(
                f"pixel_values has shape {tuple(shape)}; "
                "expected (batch, frames, channels, height, width)"
            )
        batch, frames, channels, height, width = shape
        if batch < 1:
            raise ValueError(f"batch has {batch} clips; give at least 1")
        if channels != self.num_channels:
            raise ValueError(f"frames have {channels} channels; expected {self.num_channels}")
        if frames < 1 or frames % self.tubelet_size:
            raise ValueError(
                f"clip has {frames} frames; the tubelet needs a positive multiple of "
                f"{self.tubelet_size}: drop or repeat some"
            )
        sides = (height, width)
        if min(sides) < self.patch_size or any(side % self.patch_size for side in sides):
            raise ValueError(
                f"frames are {height} x {width}; both sides must be positive multiples of the "
                f"patch size {self.patch_size}: resize or pad them"
            )


class RotaryTime(nn.Module):
    """Rotate queries and keys by the index of their frame.

    Attention between two frames then depends on their distance alone, so the length of a
    stream is unlimited. Angles are computed in fp64: a frame index of a day-long stream
    times the highest frequency still has all its digits in fp32 after the cosine.

    Args:
        head_size: Width of a head, even.
        theta: Base of the frequencies; the slowest turns once in 2 pi theta frames.

    Source: RoFormer (arXiv 2104.09864), section 3.2.2, over frames instead of tokens.
    """

    def __init__(self, head_size: int, theta: float) -> None:
        super().__init__()
        self.head_size = head_size
        self.theta = theta

    def forward(self, x_BHTNK: Tensor, first_frame: int) -> Tensor:
        """Return (B, H, T, N, head size) rotated, the first frame's index being `first_frame`."""
        half = self.head_size // 2
        device, precise = x_BHTNK.device, torch.promote_types(x_BHTNK.dtype, torch.float32)
        frames = torch.arange(x_BHTNK.shape[2], device=device, dtype=torch.float64) + first_frame
        exponents = torch.arange(half, device=device, dtype=torch.float64) / half
        angles = frames[:, None, None] * self.theta**-exponents
        cos, sin = angles.cos().to(precise), angles.sin().to(precise)
        left, right = x_BHTNK.to(precise).chunk(2, dim=-1)
        rotated = torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)
        return rotated.to(x_BHTNK.dtype)
