"""Which tokens the encoder sees in a batch: one ratio for all clips, the same number a frame.

The mask of a clip follows from the run's seed and the number of its draw, not from the batch it
came in, so two processes mask as one does. Where a teacher guides the masks and is asked during
training, the batch carries the plan instead, and the mask is drawn once the teacher has looked.

Legend: B batch, S tubelets, N patches of a frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from videollm.encoder.masking import guided_visible, random_visible
from videollm.train.draws import draw_generator

__all__ = ["MaskDrawer", "MaskPlan"]

_STREAM = 1


@dataclass(frozen=True, slots=True)
class MaskPlan:
    """What decides the masks of one batch.

    Args:
        keep: Share of visible tokens, in (0, 1].
        seeds: One for each clip.
    """

    keep: float
    seeds: tuple[int, ...]

    def random(self, num_frames: int, num_tokens: int) -> Tensor:
        """Return (B, S, N) bool, drawn uniformly."""
        masks = [
            random_visible(1, num_frames, num_tokens, self.keep, generator)
            for generator in self._generators()
        ]
        return torch.cat(masks)

    def guided(self, attention: Tensor) -> Tensor:
        """Return (B, S, N) bool, drawn where a teacher looks.

        Args:
            attention: (B, S, N), at least 0.
        """
        pairs = zip(attention.cpu(), self._generators(), strict=True)
        return torch.cat([guided_visible(clip[None], self.keep, rng) for clip, rng in pairs])

    def tensors(self) -> dict[str, Tensor]:
        """Return the plan as tensors, to travel in a batch."""
        return {
            "mask_keep": torch.tensor(self.keep, dtype=torch.float64),
            "mask_seeds": torch.tensor(self.seeds, dtype=torch.int64),
        }

    @classmethod
    def pop_from(cls, batch: dict[str, Tensor]) -> "MaskPlan":
        """Take the plan out of a batch."""
        keep, seeds = batch.pop("mask_keep"), batch.pop("mask_seeds")
        return cls(float(keep), tuple(seeds.tolist()))

    def _generators(self) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in self.seeds]


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskDrawer:
    """Plan the masks of batches.

    Args:
        keep_ratios: Shares of visible tokens to draw from, one a batch.
        seed: Of the run.
    """

    keep_ratios: tuple[float, ...]
    seed: int

    def plan(self, draws: Sequence[int]) -> MaskPlan:
        """Return the plan of a batch, given the draws of its clips."""
        keep = np.random.default_rng([self.seed, *draws]).choice(self.keep_ratios)
        seeds = [int(draw_generator(self.seed, draw, _STREAM).integers(2**63)) for draw in draws]
        return MaskPlan(float(keep), tuple(seeds))
