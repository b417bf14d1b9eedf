"""From encoder features to K tokens a frame in the width of the language model.

Legend: T token frames, N patches per frame, K tokens per frame, D encoder width, H LLM width.
"""

import math

from einops import rearrange
from torch import Tensor, nn

from videollm.config import VideoLLMConfig

__all__ = ["PoolMLPProjector", "build_projector"]


class PoolMLPProjector(nn.Module):
    """Pool each frame's grid of patches to K cells, then two linear layers with GELU.

    Args:
        config: Widths and K.

    Source: spatial pooling and MLP as in LLaVA-Video (LLaVA-VL/LLaVA-NeXT,
    `multimodal_projector`); the norms before and after are ours.
    """

    def __init__(self, config: VideoLLMConfig) -> None:
        super().__init__()
        vision_size, text_size = config.vision.hidden_size, config.text.hidden_size
        self.side = math.isqrt(config.tokens_per_frame)
        self.norm = nn.LayerNorm(vision_size)
        self.mlp = nn.Sequential(
            nn.Linear(vision_size, text_size), nn.GELU(), nn.Linear(text_size, text_size)
        )

    def forward(self, features_TND: Tensor) -> Tensor:
        """Return (T, K, H) for features (T, N, D) of frames with a square grid of patches.

        Raises:
            ValueError: The grid is not square, or smaller than K.
        """
        num_patches = features_TND.shape[1]
        grid = math.isqrt(num_patches)
        if grid * grid != num_patches or grid < self.side:
            raise ValueError(
                f"frames have {num_patches} patches; the projector needs a square grid of at "
                f"least {self.side} x {self.side}"
            )
        weight = self.mlp[0].weight
        assert isinstance(weight, Tensor)
        normed = self.norm(features_TND.to(weight.dtype))
        cells = rearrange(normed, "t (h w) d -> t d h w", h=grid)
        pooled = nn.functional.adaptive_avg_pool2d(cells, self.side)
        return self.mlp(rearrange(pooled, "t d h w -> t (h w) d"))


def build_projector(config: VideoLLMConfig) -> nn.Module:
    """Return the projector that `config.projector_type` names, with fresh weights."""
    return {"pool_mlp": PoolMLPProjector}[config.projector_type](config)
