"""The options that say which frames of a video a command looks at."""

from typing import TYPE_CHECKING, Annotated

import typer

from videollm.errors import RequestError

if TYPE_CHECKING:
    from videollm.frame_options import FrameOptions

__all__ = [
    "EndOption",
    "FpsOption",
    "NumFramesOption",
    "SamplingOption",
    "StartOption",
    "TokensOption",
    "frame_options",
]

NumFramesOption = Annotated[
    int | None,
    typer.Option("--num-frames", min=1, help="Frames to look at  [default: the model's own]."),
]
FpsOption = Annotated[
    float | None,
    typer.Option("--fps", help="Frames to look at in each second, instead of a number in all."),
]
SamplingOption = Annotated[
    str | None,
    typer.Option("--sampling", help="uniform, fps, keyframes or scenes  [default: uniform]."),
]
StartOption = Annotated[
    float | None, typer.Option("--start", help="Second to begin at  [default: 0].")
]
EndOption = Annotated[
    float | None, typer.Option("--end", help="Second to end at  [default: the end].")
]

TokensOption = Annotated[
    int | None,
    typer.Option(
        "--tokens-per-frame", min=1, help="Visual tokens a frame group  [default: the model's own]."
    ),
]


def frame_options(
    num_frames: int | None,
    fps: float | None,
    sampling: str | None,
    start: float | None,
    end: float | None,
    tokens_per_frame: int | None,
) -> "FrameOptions":
    """Return which frames are wanted, checked before seconds are spent on loading a model.

    Args:
        num_frames: As given on the command line, and so are the others.
        fps: Frames a second.
        sampling: Name of the policy.
        start: In seconds.
        end: In seconds.
        tokens_per_frame: Visual tokens for each token frame.

    Raises:
        RequestError: An option is out of range, or two do not go together.
    """
    if fps is not None and not 0 < fps < float("inf"):
        raise RequestError(f"--fps is {fps:g}: it must be above 0")
    if fps is not None and num_frames is not None:
        raise RequestError("--num-frames and --fps are both given: choose one")
    if sampling is not None:
        from videollm.sampling import choose_policy

        choose_policy(sampling, fps)
    frames: FrameOptions = {
        "num_frames": num_frames,
        "fps": fps,
        "sampling": sampling,
        "start_seconds": start,
        "end_seconds": end,
        "tokens_per_frame": tokens_per_frame,
    }
    return frames
