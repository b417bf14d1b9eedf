"""Which patch tokens the encoder sees while pretraining: the same number in every frame.

Legend: B batch, T token frames, N patches per frame, V visible tokens per frame, D width.
"""

import torch
from torch import Tensor

__all__ = ["guided_visible", "random_visible", "select_visible"]


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
    scores = torch.rand(batch, num_frames, num_tokens, generator=generator)
    return _highest(scores, keep)


def guided_visible(attention: Tensor, keep: float, generator: torch.Generator) -> Tensor:
    """Draw visible tokens where a teacher looks: multinomial, without putting back.

    Args:
        attention: (B, T, N), at least 0, how much the teacher looks at each token; only its
            proportions inside a frame count. A token with 0 is drawn after all others.
        keep: Share of tokens kept, in (0, 1]; at least one token a frame is.
        generator: Source of randomness, on the CPU.

    Returns:
        (B, T, N) bool on the CPU, with the same number of true values in every frame.

    Raises:
        ValueError: `keep` is outside (0, 1], or the attention is negative or not finite.

    Source: UMT (arXiv 2303.16058), section 3.2. The order of Gumbel-perturbed logarithms is that
    of multinomial draws without putting back (arXiv 1903.06059, section 2).
    """
    attention = attention.float().cpu()
    if not (torch.isfinite(attention) & (attention >= 0)).all():
        raise ValueError("attention has negative or non-finite values; it must be at least 0")
    uniform = torch.rand(attention.shape, generator=generator).clamp_min(1e-30)
    gumbel = -torch.log(-torch.log(uniform))
    # The smallest positive number, not 0: all empty tokens stay comparable.
    logits = attention.clamp_min(torch.finfo(torch.float32).tiny).log()
    return _highest(logits + gumbel, keep)


def _highest(scores: Tensor, keep: float) -> Tensor:
    """Return (B, T, N) bool, true for the share `keep` of each frame that scores highest."""
    if not 0.0 < keep <= 1.0:
        raise ValueError(f"keep is {keep}; it must be in (0, 1]")
    kept = max(1, round(scores.shape[2] * keep))
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
