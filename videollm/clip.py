"""A clip: frames together with the times they were shown.

Everything that decodes video returns a `Clip` and everything that looks at video takes one, so
frames never lose their times. It holds pixels as they were decoded, neither resized nor
normalised, and knows nothing of files.

Legend: T frames, H height, W width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Clip"]


@dataclass(frozen=True, eq=False, slots=True)
class Clip:
    """Hold frames and their times, in order of time.

    Times never fall, but they may repeat: a clip with fewer frames than were asked for shows the
    same frame, with the same time, more than once.

    Args:
        frames: (T, 3, H, W), uint8, RGB, upright and with square pixels; T, H and W at least 1.
        pts_seconds: (T,), float64, seconds since the first frame of the video, finite, never
            falling.
        backend: What decoded the frames, with its version; `none` if they were never encoded.
        warnings: What was not in order with the video and how it was repaired, as far as it was
            known when the frames had been read.

    Raises:
        ValueError: A shape, a dtype, a length or the order of the times is wrong.
    """

    frames: Tensor
    pts_seconds: Tensor
    backend: str = "none"
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse anything that later code would have to guess about."""
        finding = self._finding()
        if finding is not None:
            raise ValueError(
                f"{finding}: got frames {tuple(self.frames.shape)} {self.frames.dtype} and "
                f"pts_seconds {tuple(self.pts_seconds.shape)} {self.pts_seconds.dtype}; a clip is "
                "frames (T, 3, H, W) uint8 with pts_seconds (T,) float64 that never fall"
            )

    def __len__(self) -> int:
        return self.num_frames

    def __repr__(self) -> str:
        first, last = float(self.pts_seconds[0]), float(self.pts_seconds[-1])
        return (
            f"Clip({self.num_frames} frames of {self.width}x{self.height}, "
            f"{first:.3f} s to {last:.3f} s)"
        )

    @property
    def num_frames(self) -> int:
        """Return T."""
        return self.frames.shape[0]

    @property
    def height(self) -> int:
        """Return H in pixels."""
        return self.frames.shape[2]

    @property
    def width(self) -> int:
        """Return W in pixels."""
        return self.frames.shape[3]

    def _finding(self) -> str | None:
        frames, times = self.frames, self.pts_seconds
        if frames.ndim != 4 or frames.shape[1] != 3 or 0 in frames.shape:
            return "the frames have the wrong shape"
        if times.ndim != 1 or len(times) != len(frames):
            return f"{len(frames)} frames do not have one time each"
        if frames.dtype != torch.uint8 or times.dtype != torch.float64:
            return "a dtype is wrong"
        if not bool(torch.isfinite(times).all()):
            return "a time is not finite"
        if bool((times[1:] < times[:-1]).any()):
            return "the times fall"
        return None
