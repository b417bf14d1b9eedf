"""One training view of a clip: crop and scale, flip, RandAugment, normalise, erase.

Whatever is drawn is drawn once and holds for all frames of the clip, so that what moves in a view
moves in the video. Every draw comes from the generator that is given. Which frames to take is
`videollm.train.views`' question, mixing clips with each other `videollm.train.mixing`'s.

Legend: T frames, H height, W width, S side of the model's input.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from videollm.errors import RecipeError
from videollm.train.rand_augment import RandAugment
from videollm.train.views import check_frames_and_size, normalised, scaled_pictures
from videollm.transforms import preprocess_frames

__all__ = ["Augment", "direction_sensitive"]

ERASE_SCALE = (1 / 50, 1 / 3)
ERASE_RATIO = (0.3, 1 / 0.3)
NUM_TRIES = 10

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_DIRECTION = re.compile(r"(left|right)(s|wards?|hand|handed)?|(anti|counter)?clockwise")


@dataclass(frozen=True, kw_only=True, slots=True)
class Augment:
    """Make training views.

    Args:
        size: S in pixels, at least 1.
        crop: "letterbox", the whole picture on grey as the model sees it otherwise, or "resized",
            a box of random size, shape and place, scaled to the square.
        crop_scale: Smallest and largest area of such a box as a share of the picture, above 0, at
            most 1.
        crop_ratio: Smallest and largest width over height of such a box, above 0.
        flip: Probability of mirroring left and right.
        rand_augment: Such as "m7-n4-mstd0.5-inc1", see `RandAugment.parse`; None is none.
        erase: Probability of filling one box, 1/50 to 1/3 of the area, with noise.

    Raises:
        RecipeError: A field is out of its range.

    Source: "resized" is the crop of Inception, arXiv 1409.4842, section 6; erasing is Random
    Erasing, arXiv 1708.04896, with its shapes, areas of our own and one box for all frames.
    """

    size: int
    crop: Literal["letterbox", "resized"] = "letterbox"
    crop_scale: tuple[float, float] = (0.5, 1.0)
    crop_ratio: tuple[float, float] = (0.75, 1.3333)
    flip: float = 0.0
    rand_augment: str | None = None
    erase: float = 0.0

    def __post_init__(self) -> None:
        """Refuse settings out of range."""
        if self.size < 1:
            raise RecipeError(f"size is {self.size}; it must be at least 1 pixel")
        if self.crop not in ("letterbox", "resized"):
            raise RecipeError(f"crop is {self.crop!r}; take letterbox or resized")
        if not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise RecipeError(
                f"crop_scale is {self.crop_scale}; give two rising shares above 0, at most 1"
            )
        if not 0 < self.crop_ratio[0] <= self.crop_ratio[1] < float("inf"):
            raise RecipeError(f"crop_ratio is {self.crop_ratio}; give two rising numbers above 0")
        for name, probability in (("flip", self.flip), ("erase", self.erase)):
            if not 0 <= probability <= 1:
                raise RecipeError(f"{name} is {probability}; give a probability, 0 to 1")
        if self.rand_augment is not None:
            RandAugment.parse(self.rand_augment)

    def __call__(self, frames: Tensor, rng: np.random.Generator) -> Tensor:
        """Return one view of a clip.

        Args:
            frames: (T, 3, H, W), uint8, RGB, on the CPU, at least one; not written to.
            rng: Randomness of the view; the same state gives the same view.

        Returns:
            (T, 3, S, S), float32, in [-1, 1]: mean 0.5 and standard deviation 0.5 of values in
            [0, 1].

        Raises:
            RequestError: The shape or the dtype of the frames is wrong.
        """
        check_frames_and_size(frames, self.size)
        square = self._square(frames, rng)
        if rng.random() < self.flip:
            square = square.flip(-1)
        if self.rand_augment is not None:
            if square.dtype != torch.uint8:
                square = square.mul_(255).round_().to(torch.uint8)
            square = RandAugment.parse(self.rand_augment)(square, rng)
        view = square
        if square.dtype == torch.uint8:
            view = square.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
        view = normalised(view)
        if rng.random() < self.erase:
            _erase(view, rng)
        return view

    def _square(self, frames: Tensor, rng: np.random.Generator) -> Tensor:
        """Return (T, 3, S, S): a crop in uint8, a letter-box in [0, 1] for its grey of one half."""
        if self.crop == "letterbox":
            return preprocess_frames(frames, self.size, mean=0.0, std=1.0)
        rows, columns = _draw_box(
            frames.shape[2], frames.shape[3], scale=self.crop_scale, ratio=self.crop_ratio, rng=rng
        )
        return scaled_pictures(frames[:, :, rows, columns], self.size, self.size)


def direction_sensitive(classes: Sequence[str]) -> list[str]:
    """Return the classes whose names a mirrored video would belie, in their order.

    Those are names with a word for a side or a sense of turning: left, right, rightwards,
    left-handed, clockwise, counterclockwise and the like. Only whole words count, as in "push
    left", "push_left" or "PushLeft"; "leftover" and "upright" do not. A word's meaning is not
    looked at: "all right" counts too.

    Args:
        classes: Names.
    """
    return [
        name
        for name in classes
        if any(_DIRECTION.fullmatch(word.lower()) for word in _WORD.findall(name))
    ]


def _draw_box(
    height: int,
    width: int,
    *,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[slice, slice]:
    """Return the rows and columns of a random box inside a picture.

    Its area is uniform over `scale`, the logarithm of its width over height over that of `ratio`;
    the first of ten draws that fits is taken. If none does, it is the largest box whose ratio is
    as near to the picture's as `ratio` allows.
    """
    areas = height * width * rng.uniform(*scale, size=NUM_TRIES)
    ratios = np.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1]), size=NUM_TRIES))
    heights = np.maximum(np.rint(np.sqrt(areas / ratios)), 1)
    widths = np.maximum(np.rint(np.sqrt(areas * ratios)), 1)
    fitting = np.flatnonzero((heights <= height) & (widths <= width))
    if len(fitting):
        box_height, box_width = int(heights[fitting[0]]), int(widths[fitting[0]])
    else:
        nearest = min(max(width / height, ratio[0]), ratio[1])
        box_height = max(min(height, round(width / nearest)), 1)
        box_width = max(min(width, round(height * nearest)), 1)
    top = int(rng.integers(height - box_height + 1))
    left = int(rng.integers(width - box_width + 1))
    return slice(top, top + box_height), slice(left, left + box_width)


def _erase(view: Tensor, rng: np.random.Generator) -> None:
    """Fill one box of (T, 3, S, S), the same in all frames, with N(0, 1) clipped to [-1, 1]."""
    size = view.shape[-1]
    rows, columns = _draw_box(size, size, scale=ERASE_SCALE, ratio=ERASE_RATIO, rng=rng)
    box = view[:, :, rows, columns]
    noise = torch.from_numpy(rng.standard_normal(tuple(box.shape), dtype=np.float32))
    box.copy_(noise.clamp_(-1.0, 1.0))
