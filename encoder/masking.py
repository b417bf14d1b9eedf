"""Which patch tokens the encoder sees while pretraining: the same number in every frame.

Legend: B batch, T token frames, N patches per frame, V visible tokens per frame, D width.
"""

import torch
from torch import Tensor

__all__ = ["random_visible", "select_visible"]


def random_visible(
    batch: int, num_frames: int, num_tokens: int, keep: float, generator: torch.Generator
) -> Tensor:
    """Draw visible tokens uniformly, apart for every frame.

    Args:
        batch: Clips B.
        num_frames: Token frames T.
        num_tokens: Patches N of a frame.
        keep: Share of tokens kept, in (0, 1]; at least one token a frame is.
        generator: Source of randomness, on the CPU.

    Returns:
        (B, T, N) bool with the same number of true values in every frame.

    Raises:
        ValueError: `keep` is outside (0, 1].
    """
    if not 0.0 < keep <= 1.0:
        raise ValueError(f"keep is {keep}; it must be in (0, 1]")
    kept = max(1, round(num_tokens * keep))
    scores = torch.rand(batch, num_frames, num_tokens, generator=generator)
    chosen = scores.topk(kept, dim=2).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(2, chosen, value=True)


def select_visible(tokens_BTND: Tensor, visible: Tensor) -> Tensor:
    """Return the visible tokens (B, T, V, D) in raster order.

    Args:
        tokens_BTND: (B, T, N, D).
        visible: (B, T, N) bool with the same number V of true values in every frame.

    Raises:
        ValueError: The shape differs, or frames have unequal numbers of visible tokens.
    """
    batch, frames, tokens, width = tokens_BTND.shape
    if visible.shape != (batch, frames, tokens):
        raise ValueError(
            f"visible has shape {tuple(visible.shape)}; the clip has {(batch, frames, tokens)} "
            "(batch, token frames, patches)"
        )
    counts = visible.sum(dim=2)
    fewest, most = int(counts.min()), int(counts.max())
    if fewest != most or fewest == 0:
        raise ValueError(
            f"visible keeps {fewest} to {most} tokens a frame; every frame needs the same "
            "number, at least 1"
        )
    return tokens_BTND[visible].view(batch, frames, fewest, width)
