"""Which frames of a video a question is about."""

from typing import TypedDict

from videollm.errors import RequestError

__all__ = ["MAX_FRAMES", "FrameOptions", "check_tokens"]

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
        tokens_per_frame: Visual tokens for each token frame (the frames of a tubelet, two in the
            demo) instead of the model's own number, with which it was trained.
    """

    num_frames: int | None
    fps: float | None
    sampling: str | None
    start_seconds: float | None
    end_seconds: float | None
    tokens_per_frame: int | None


def check_tokens(asked: int | None, most: int) -> int | None:
    """Return a number of visual tokens that the projector can make of a frame.

    Args:
        asked: Tokens for each token frame; None is the model's own number.
        most: The most that there can be.

    Returns:
        What was asked for.

    Raises:
        RequestError: It is out of range.
    """
    if asked is not None and not 1 <= asked <= most:
        raise RequestError(
            f"tokens_per_frame is {asked}; this model makes 1 to {most} tokens of each frame, or "
            "of each group of frames that it sees as one"
        )
    return asked
