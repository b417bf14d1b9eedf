"""Mixing the clips of a batch with each other, and labels to match: mixup, CutMix, smoothing.

Each clip of a batch has another one as its partner and keeps the share lambda of itself, the same
for the whole batch. Nothing here changes the tensors that it is given.

Legend: B batch, T frames, H height, W width, K classes.
"""

import math
from dataclasses import KW_ONLY, dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from videollm.errors import RecipeError, RequestError

__all__ = ["Mixing"]


@dataclass(frozen=True, slots=True)
class Mixing:
    """Mix clips and smooth labels.

    A label becomes 1 - smoothing for its class, and smoothing / K more for every class. Where both
    ways of mixing are on, each batch is mixed in one of them.

    Args:
        num_classes: K, at least 1.
        mixup: a of lambda ~ Beta(a, a) for weighted sums of clips; 0 turns them off.
        cutmix: Likewise for a box of the partner, in all frames, in the clip; 0 turns it off.
        switch: Probability of CutMix where both are on, 0 to 1.
        smoothing: In [0, 1).

    Raises:
        RecipeError: A number is out of its range.

    Source: mixup, arXiv 1710.09412; CutMix, arXiv 1905.04899, section 3.1; label smoothing, arXiv
    1512.00567, section 7. The partners are the batch rolled by a random number of places, so each
    clip serves once.
    """

    num_classes: int
    _: KW_ONLY
    mixup: float = 0.8
    cutmix: float = 1.0
    switch: float = 0.5
    smoothing: float = 0.1

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        if self.num_classes < 1:
            raise RecipeError(f"num_classes is {self.num_classes}; it must be at least 1")
        for name, value in (("mixup", self.mixup), ("cutmix", self.cutmix)):
            if not 0 <= value < math.inf:
                raise RecipeError(f"{name} is {value}; give a number above 0, or 0 to turn it off")
        if not 0 <= self.switch <= 1:
            raise RecipeError(f"switch is {self.switch}; give a probability, 0 to 1")
        if not 0 <= self.smoothing < 1:
            raise RecipeError(f"smoothing is {self.smoothing}; give 0 or more, below 1")

    def __call__(
        self, pixel_values: Tensor, labels: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return mixed clips and how much of each class is in them.

        A batch of one is not mixed, but its label is smoothed.

        Args:
            pixel_values: (B, T, 3, H, W), float.
            labels: (B,), int64, each in [0, K).
            rng: Randomness of the batch.

        Returns:
            (B, T, 3, H, W), like `pixel_values`, or they themselves where nothing is mixed; and
            (B, K), float32, rows that sum to 1.

        Raises:
            RequestError: A shape, a dtype or a label is wrong.
        """
        self._check(pixel_values, labels)
        probabilities = functional.one_hot(labels, self.num_classes).to(torch.float32)
        probabilities = probabilities * (1 - self.smoothing) + self.smoothing / self.num_classes
        if len(labels) == 1 or not (self.mixup or self.cutmix):
            return pixel_values, probabilities
        shift = int(rng.integers(1, len(labels)))
        if self._cuts(rng):
            mixed, kept = _cut(pixel_values, pixel_values.roll(shift, 0), self.cutmix, rng)
        else:
            kept = float(rng.beta(self.mixup, self.mixup))
            mixed = torch.lerp(pixel_values.roll(shift, 0), pixel_values, kept)
        return mixed, torch.lerp(probabilities.roll(shift, 0), probabilities, kept)

    def _cuts(self, rng: np.random.Generator) -> bool:
        """Return whether this batch is mixed by CutMix."""
        chance = rng.random()
        return self.cutmix > 0 and (self.mixup == 0 or chance < self.switch)

    def _check(self, pixel_values: Tensor, labels: Tensor) -> None:
        shape = tuple(pixel_values.shape)
        if len(shape) != 5 or 0 in shape or not pixel_values.is_floating_point():
            raise RequestError(
                f"pixel_values are {shape} {pixel_values.dtype}; give (B, T, 3, H, W), float, not "
                "empty"
            )
        if labels.shape != shape[:1] or labels.dtype != torch.int64:
            raise RequestError(
                f"labels are {tuple(labels.shape)} {labels.dtype}; give ({shape[0]},) int64, one "
                "for each clip"
            )
        lowest, highest = int(labels.min()), int(labels.max())
        if lowest < 0 or highest >= self.num_classes:
            raise RequestError(
                f"labels go from {lowest} to {highest}; with num_classes {self.num_classes} they "
                f"are 0 to {self.num_classes - 1}"
            )


def _cut(
    pixel_values: Tensor, partners: Tensor, alpha: float, rng: np.random.Generator
) -> tuple[Tensor, float]:
    """Return clips with a box of their partners', and the share of the pixels that they keep.

    The box has the picture's shape and its centre is anywhere, so the border may cut it smaller
    than drawn: the share is counted afterwards.
    """
    height, width = pixel_values.shape[-2:]
    side = math.sqrt(1 - float(rng.beta(alpha, alpha)))
    rows = _draw_interval(height, side, rng)
    columns = _draw_interval(width, side, rng)
    mixed = pixel_values.clone()
    mixed[..., rows, columns] = partners[..., rows, columns]
    replaced = (rows.stop - rows.start) * (columns.stop - columns.start)
    return mixed, 1 - replaced / (height * width)


def _draw_interval(length: int, share: float, rng: np.random.Generator) -> slice:
    """Return about `share` of [0, length), around a random centre, cut off at the ends."""
    size = round(length * share)
    start = int(rng.integers(length)) - size // 2
    return slice(max(start, 0), min(start + size, length))
