"""Compression artefacts on drawn frames, as video files have them.

Files store colours at half the resolution and pictures as rounded blocks of 8 x 8. JPEG does both
and is quick; training on some clips that went through it prepares a model for files.
"""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

__all__ = ["compress_some"]

_STREAM = 4
_LEAST_QUALITY, _MOST_QUALITY = 25, 80


def compress_some(frames: Tensor, *, share: float, seed: int, index: int) -> Tensor:
    """Return the frames of a clip, compressed by a quality drawn for it or as they are.

    Args:
        frames: (T, 3, H, W), uint8.
        share: Share of clips that are compressed, 0 to 1.
        seed: With `index` it decides which are, and how much.
        index: The number of the clip.
    """
    if not share:
        return frames
    rng = np.random.default_rng([seed, index, _STREAM])
    if rng.random() >= share:
        return frames
    quality = int(rng.integers(_LEAST_QUALITY, _MOST_QUALITY + 1))
    pictures = frames.permute(0, 2, 3, 1).numpy()
    compressed = np.stack([_compressed(picture, quality) for picture in pictures])
    return torch.from_numpy(compressed).permute(0, 3, 1, 2).contiguous()


def _compressed(picture: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "jpeg", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(file).convert("RGB"))
