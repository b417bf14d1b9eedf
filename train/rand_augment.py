"""RandAugment for clips: a few random picture operations, each the same in every frame.

An operation takes a picture and a level from -1 to 1. The level's size is the share of the
strongest effect, and every operation grows stronger with it; its sign is the direction, where
there is one. What geometry uncovers is grey. Nothing here scales, crops or normalises.

Legend: T frames, H height, W width.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from videollm.errors import RecipeError

__all__ = ["OPERATIONS", "RandAugment", "apply_operations"]

GREY = (128, 128, 128)
MAX_MAGNITUDE = 10.0
PROBABILITY = 0.5

MAX_DEGREES = 30.0
MAX_SHEAR = 0.3
MAX_SHIFT = 0.45
MAX_ENHANCEMENT = 0.9
MAX_BITS = 4
MAX_ADDED = 110

_NUMBER = r"(\d+(?:\.\d+)?)"
_SYNTAX = re.compile(rf"(?:rand-)?m{_NUMBER}-n(\d+)(?:-mstd{_NUMBER})?(?:-inc1)?")


def _rotate(picture: Image.Image, level: float) -> Image.Image:
    return picture.rotate(MAX_DEGREES * level, resample=Image.Resampling.BILINEAR, fillcolor=GREY)


def _move(
    picture: Image.Image,
    *,
    shear_x: float = 0.0,
    shift_x: float = 0.0,
    shear_y: float = 0.0,
    shift_y: float = 0.0,
) -> Image.Image:
    """Return a picture sheared, or shifted by shares of its sides."""
    across = (1.0, shear_x, shift_x * picture.width)
    down = (shear_y, 1.0, shift_y * picture.height)
    return picture.transform(
        picture.size,
        Image.Transform.AFFINE,
        (*across, *down),
        resample=Image.Resampling.BILINEAR,
        fillcolor=GREY,
    )


def _posterize(picture: Image.Image, level: float) -> Image.Image:
    return ImageOps.posterize(picture, max(MAX_BITS - int(MAX_BITS * abs(level)), 1))


def _solarize(picture: Image.Image, level: float) -> Image.Image:
    return ImageOps.solarize(picture, 256 - int(256 * abs(level)))


def _solarize_add(picture: Image.Image, level: float) -> Image.Image:
    added = int(MAX_ADDED * abs(level))
    table = [min(value + added, 255) if value < 128 else value for value in range(256)]
    return picture.point(table * 3)


def _factor(level: float) -> float:
    return 1.0 + MAX_ENHANCEMENT * level


OPERATIONS: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "AutoContrast": lambda picture, _: ImageOps.autocontrast(picture),
    "Equalize": lambda picture, _: ImageOps.equalize(picture),
    "Invert": lambda picture, _: ImageOps.invert(picture),
    "Rotate": _rotate,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "SolarizeAdd": _solarize_add,
    "Color": lambda picture, level: ImageEnhance.Color(picture).enhance(_factor(level)),
    "Contrast": lambda picture, level: ImageEnhance.Contrast(picture).enhance(_factor(level)),
    "Brightness": lambda picture, level: ImageEnhance.Brightness(picture).enhance(_factor(level)),
    "Sharpness": lambda picture, level: ImageEnhance.Sharpness(picture).enhance(_factor(level)),
    "ShearX": lambda picture, level: _move(picture, shear_x=MAX_SHEAR * level),
    "ShearY": lambda picture, level: _move(picture, shear_y=MAX_SHEAR * level),
    "TranslateXRel": lambda picture, level: _move(picture, shift_x=MAX_SHIFT * level),
    "TranslateYRel": lambda picture, level: _move(picture, shift_y=MAX_SHIFT * level),
}
"""What may be done to a picture, by name: (picture, level from -1 to 1) -> picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RandAugment:
    """Apply a few operations, drawn at random, to all frames of a clip.

    Each of n draws takes any operation, with replacement, and applies it with probability 1/2. Its
    level is N(m, mstd) clipped to [0, 10], over 10, with a random sign.

    Args:
        magnitude: m, mean strength, 0 to 10.
        num_operations: n, at least 1.
        magnitude_std: mstd, standard deviation of the strength, 0 or more.

    Raises:
        RecipeError: A number is out of its range.

    Source: RandAugment, arXiv 1909.13719, for the policy; AutoAugment, arXiv 1805.09501, for the
    operations; the ranges that grow with the magnitude ("inc1") are those of
    huggingface/pytorch-image-models, `timm/data/auto_augment.py`. We differ in that Posterize keeps
    at least one bit, so that no picture goes black, and in that interpolation is always bilinear.
    """

    magnitude: float
    num_operations: int
    magnitude_std: float = 0.0

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        if not 0 <= self.magnitude <= MAX_MAGNITUDE:
            raise RecipeError(f"rand_augment: m is {self.magnitude:g}; give 0 to 10")
        if self.num_operations < 1:
            raise RecipeError(f"rand_augment: n is {self.num_operations}; give 1 or more")
        if not 0 <= self.magnitude_std < float("inf"):
            raise RecipeError(f"rand_augment: mstd is {self.magnitude_std:g}; give 0 or more")

    @classmethod
    def parse(cls, text: str) -> "RandAugment":
        """Return what a text such as "m7-n4-mstd0.5-inc1" describes.

        `mstd` may be left out, which is 0, and so may `inc1`, the only kind there is; "rand-" may
        stand before it all.

        Raises:
            RecipeError: The text reads otherwise, or a number is out of its range.
        """
        match = _SYNTAX.fullmatch(text)
        if match is None:
            raise RecipeError(
                f"rand_augment is {text!r}; write for instance m7-n4-mstd0.5-inc1: m the magnitude "
                "0 to 10, n the number of operations, mstd the deviation of the magnitude (may be "
                "left out), inc1 because every operation grows with it (likewise)"
            )
        magnitude, number, deviation = match.groups(default="0")
        return cls(
            magnitude=float(magnitude),
            num_operations=int(number),
            magnitude_std=float(deviation),
        )

    def draw(self, rng: np.random.Generator) -> list[tuple[str, float]]:
        """Return names and levels of the operations to apply, in order; there may be none."""
        drawn = []
        for _ in range(self.num_operations):
            name = tuple(OPERATIONS)[int(rng.integers(len(OPERATIONS)))]
            is_applied = rng.random() < PROBABILITY
            strength = np.clip(rng.normal(self.magnitude, self.magnitude_std), 0, MAX_MAGNITUDE)
            sign = 1 if rng.random() < 0.5 else -1
            if is_applied:
                drawn.append((name, sign * float(strength) / MAX_MAGNITUDE))
        return drawn

    def __call__(self, frames: Tensor, rng: np.random.Generator) -> Tensor:
        """Return frames with the same drawn operations in each.

        Args:
            frames: (T, 3, H, W), uint8, RGB, on the CPU, at least one.
            rng: Randomness of the view.

        Returns:
            (T, 3, H, W), uint8.
        """
        return apply_operations(frames, self.draw(rng))


def apply_operations(frames: Tensor, operations: Sequence[tuple[str, float]]) -> Tensor:
    """Return frames with operations applied to each, one after the other.

    Args:
        frames: (T, 3, H, W), uint8, RGB, on the CPU, at least one.
        operations: Keys of `OPERATIONS` and levels, -1 to 1.

    Returns:
        (T, 3, H, W), uint8.
    """
    if not operations:
        return frames
    changed = []
    for pixels in rearrange(frames, "t c h w -> t h w c").numpy():
        picture = Image.fromarray(pixels)
        for name, level in operations:
            picture = OPERATIONS[name](picture, level)
        changed.append(np.asarray(picture))
    return rearrange(torch.from_numpy(np.stack(changed)), "t h w c -> t c h w")
