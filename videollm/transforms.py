"""From decoded frames to the model's input: square, of one size, normalised.

Nothing is cut off: the whole picture is scaled to fit and the rest of the square is grey, so
that a question about the border can be answered.

Legend: T frames, H height, W width, S side of the model's input.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from videollm.errors import RequestError

__all__ = ["fitted_size", "preprocess_frames", "scale_frame", "shrink_frame"]

GREY = 0.5


def preprocess_frames(
    frames: Tensor,
    image_size: int,
    *,
    mean: float | Sequence[float] = 0.5,
    std: float | Sequence[float] = 0.5,
) -> Tensor:
    """Return frames letter-boxed to a square and normalised.

    The longer side becomes S, by antialiased bilinear interpolation; the picture is centred on
    grey, 0.5 before normalisation, which is 0 after it for the default mean. A picture that
    already is S x S keeps its pixels exactly. Each frame is treated alone, at a peak of memory of
    one frame.

    Args:
        frames: (T, 3, H, W), uint8, RGB, on any device.
        image_size: S in pixels, at least 1.
        mean: Subtracted from values in [0, 1]; one number, or one for each channel.
        std: What the difference is divided by, above 0; likewise.

    Returns:
        (T, 3, S, S), float32, on the device of the frames.

    Raises:
        RequestError: A shape, the dtype or a number is wrong.
    """
    if frames.ndim != 4 or frames.shape[1] != 3 or 0 in frames.shape[2:]:
        raise RequestError(f"frames have shape {tuple(frames.shape)}; give (T, 3, H, W)")
    if frames.dtype != torch.uint8:
        raise RequestError(f"frames are {frames.dtype}; give uint8 values in 0..255")
    if image_size < 1:
        raise RequestError(f"image_size is {image_size}; it must be at least 1 pixel")
    mean_CHW = _per_channel("mean", mean, frames.device)
    std_CHW = _per_channel("std", std, frames.device)
    if not bool((std_CHW > 0).all()):
        raise RequestError(f"std is {std}; every channel's must be above 0")
    height, width = fitted_size(frames.shape[2], frames.shape[3], image_size)
    top, left = (image_size - height) // 2, (image_size - width) // 2
    square_TCHW = torch.full(
        (len(frames), 3, image_size, image_size), GREY, dtype=torch.float32, device=frames.device
    )
    for place, frame in enumerate(frames):
        square_TCHW[place, :, top : top + height, left : left + width] = scale_frame(
            frame, height, width
        )
    return square_TCHW.sub_(mean_CHW).div_(std_CHW)


def _per_channel(name: str, value: float | Sequence[float], device: torch.device) -> Tensor:
    values = torch.as_tensor(value, dtype=torch.float32, device=device)
    if values.ndim > 1 or values.numel() not in (1, 3):
        raise RequestError(f"{name} is {value}; give one number, or one for each of 3 channels")
    return values.reshape(-1, 1, 1)


def fitted_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Return the height and width, in pixels, of a picture whose longer side is made `side`."""
    scale = side / max(height, width)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def scale_frame(frame: Tensor, height: int, width: int) -> Tensor:
    """Return one frame scaled by antialiased bilinear interpolation, as values in [0, 1].

    A frame that already has the size keeps its values exactly.

    Args:
        frame: (3, H, W), uint8, on any device and in any memory layout.
        height: New height in pixels, at least 1.
        width: New width in pixels, at least 1.

    Returns:
        (3, height, width), float32.
    """
    if width == 1 and height > 1:
        # On the CPU torch 2.13 scales wrongly to one column, but rightly to one row.
        return scale_frame(frame.mT, 1, height).mT
    picture = frame[None].to(torch.float32, memory_format=torch.contiguous_format)
    if frame.shape[1:] != (height, width):
        picture = functional.interpolate(
            picture, (height, width), mode="bilinear", antialias=True, align_corners=False
        )
    return picture.div_(255)[0]


def shrink_frame(frame: Tensor, max_side: int | None) -> Tensor:
    """Return one frame with its longer side made `max_side` where it is above that.

    Args:
        frame: (3, H, W), uint8.
        max_side: In pixels, at least 1; None leaves the frame as it is.

    Returns:
        The frame itself, or a smaller one as `scale_frame` makes it, rounded to uint8.
    """
    if max_side is None or max(frame.shape[1:]) <= max_side:
        return frame
    height, width = fitted_size(frame.shape[1], frame.shape[2], max_side)
    return scale_frame(frame, height, width).mul_(255).round_().to(torch.uint8)
