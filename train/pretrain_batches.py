"""What a pretraining batch holds beside frames: masks, and a teacher's cached features.

Legend: B batch, T frames, S tubelets, N patches of a frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from videollm.encoder import VideoMAPConfig
from videollm.train.feature_cache import CachedFeatures
from videollm.train.masks import MaskDrawer

__all__ = ["PretrainBatches"]


@dataclass(frozen=True, kw_only=True)
class PretrainBatches:
    """Make batches of frames ready for the objective.

    Args:
        encoder: Patch and tubelet size.
        masks: Which tokens are visible.
        guided: Whether masks follow a teacher's attention. Without a cache the batch then holds
            the masks' plan, for whoever asks the teacher.
        cache: A teacher's features, or None.
    """

    encoder: VideoMAPConfig
    masks: MaskDrawer
    guided: bool = False
    cache: CachedFeatures | None = None

    def make(
        self, pixel_values: Tensor, draws: Sequence[int], names: Sequence[str]
    ) -> dict[str, Tensor]:
        """Return `pixel_values`, `visible` or its plan, and `targets` where there is a cache.

        Args:
            pixel_values: (B, T, 3, height, width), normalised.
            draws: The number of each clip's draw.
            names: What the cache calls each clip.

        Raises:
            DataError: The cache lacks a clip.
        """
        batch = {"pixel_values": pixel_values}
        plan = self.masks.plan(draws)
        attention = None
        if self.cache is not None:
            seen = [self.cache.read(name) for name in names]
            batch["targets"] = torch.stack([item.features for item in seen])
            attention = torch.stack([item.attention for item in seen])
        if not self.guided:
            num_steps = pixel_values.shape[1] // self.encoder.tubelet_size
            batch["visible"] = plan.random(num_steps, self.encoder.grid_size**2)
        elif attention is not None:
            batch["visible"] = plan.guided(attention)
        else:
            batch |= plan.tensors()
        return batch
