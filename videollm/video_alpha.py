"""Transparent pictures: laid on white, as a browser shows them.

Legend: H height, W width.
"""

from functools import cache

import numpy as np
from av.video.format import VideoFormat
from numpy.typing import NDArray

__all__ = ["lay_on_white", "may_be_transparent"]


@cache
def may_be_transparent(format_name: str) -> bool:
    """Return whether pictures of a format can have see-through pixels; palettes can, too."""
    kind = VideoFormat(format_name)
    return kind.has_palette or any(component.is_alpha for component in kind.components)


def lay_on_white(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (H, W, 4), uint8, RGB and opacity, as (H, W, 3): what shows through is white."""
    opacity = pixels[..., 3:].astype(np.uint16)
    if opacity.min() == 255:
        return np.ascontiguousarray(pixels[..., :3])
    mixed = pixels[..., :3] * opacity + 255 * (255 - opacity)
    return ((mixed + 127) // 255).astype(np.uint8)
