"""Which frames of a video a question is about."""

from typing import TypedDict

__all__ = ["MAX_FRAMES", "FrameOptions"]

MAX_FRAMES = 512
"""The most frames that the model sees at once; a longer video is streamed."""


class FrameOptions(TypedDict, total=False):
    """Which frames of a video the model sees; all may be left out or None.

    Args:
        num_frames: How many; the model's own number where it is left out. With
            `sampling="keyframes"` the most of them.
        fps: Frames a second instead, 512 at most.
        sampling: "uniform", "fps", "keyframes" or "scenes", as `videollm.sampling` has them; left
            out it is "fps" where `fps` is given, else "uniform".
        start_seconds: Where the part to look at begins.
        end_seconds: Where it ends.
    """

    num_frames: int | None
    fps: float | None
    sampling: str | None
    start_seconds: float | None
    end_seconds: float | None
