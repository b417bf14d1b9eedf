"""A teacher beside the training loop: it looks at each batch and sets what is to be predicted.

The teacher is no part of the model, so no checkpoint holds it and no optimizer or wrapper knows
of it. Its features can also come from a cache, see `videollm.train.feature_cache`.
"""

from pathlib import Path

import torch
from torch import Tensor

from videollm.encoder import VideoMAPConfig
from videollm.encoder.teacher import Teacher
from videollm.errors import ModelError
from videollm.train.arguments import PretrainArguments
from videollm.train.masks import MaskPlan

__all__ = ["Teaching", "load_teacher"]


def load_teacher(
    objective: PretrainArguments, encoder: VideoMAPConfig, dtype: torch.dtype
) -> Teacher:
    """Return the teacher that the recipe names, over the encoder's grid.

    Raises:
        ModelError: It cannot be had, or cannot guide the masks that are asked for.
    """
    name = objective.teacher_model
    assert name is not None
    if name.startswith((".", "/", "~")) and not Path(name).expanduser().is_dir():
        raise ModelError(f"teacher_model: {name}: no such folder")
    try:
        teacher = Teacher.from_pretrained(
            str(Path(name).expanduser()) if name.startswith("~") else name,
            grid_size=encoder.grid_size,
            tubelet_size=encoder.tubelet_size,
            dtype=dtype,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"teacher_model: {' '.join(str(error).split())}") from error
    if objective.masking == "attention" and not teacher.can_guide:
        raise ModelError(
            f"teacher_model: {name} has neither [CLS] nor a pooling head, so it does not tell "
            "where it looks: use masking: random"
        )
    return teacher


class Teaching:
    """Complete batches on the device of training: ask the teacher, then draw guided masks.

    Args:
        teacher: Moved to the device of the first batch.
    """

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher

    def __call__(
        self, batch: dict[str, Tensor], *, keep_attention: bool = False
    ) -> dict[str, Tensor]:
        """Return the batch with `targets`, and with `visible` where it held a plan of it.

        With `keep_attention` it holds the teacher's `attention` (B, S, N) as well.
        """
        frames = batch["pixel_values"]
        seen = self.teacher.to(frames.device)(frames)
        batch = {**batch, "targets": seen.features}
        if keep_attention:
            batch["attention"] = seen.attention
        if "mask_seeds" in batch:
            batch["visible"] = MaskPlan.pop_from(batch).guided(seen.attention).to(frames.device)
        return batch
