"""Passes of the encoder over the videos of a batch.

Equal lengths go together; and where processes share the weights, each makes as many passes.

Legend: V videos, T token frames of a video, N patches per frame, D encoder width.
"""

import functools

import torch
from torch import Tensor, distributed

from videollm.encoder.config import VideoMAPConfig
from videollm.encoder.videomap import VideoMAPModel
from videollm.encoding import (
    blank_video,
    by_length,
    encode_by_length,
    encode_whole,
    lengths_of,
)

__all__ = ["encode_in_step"]


def encode_in_step(
    encoder: VideoMAPModel, pixel_values: Tensor | None, frame_counts: Tensor | None = None
) -> list[Tensor]:
    """Return each video's features (T, N, D), with as many passes as the busiest process makes.

    Processes that share weights (FSDP, ZeRO-3) gather them for each layer together, forwards and
    backwards: one that has text alone, or videos of fewer lengths, would leave the others waiting.
    It encodes a blank frame instead, of which no feature is used; the gradients are those without.
    There is one pass at least, since DDP waits for a gradient of every weight that learns. All
    processes have to call this in the same step. With one process it is `encode_by_length`.

    Args:
        encoder: The encoder.
        pixel_values: As in `encode_by_length`; None where there is no video.
        frame_counts: Likewise.

    Returns:
        The features; with several processes and no video, a single one of no frames.
    """
    is_alone = not (distributed.is_available() and distributed.is_initialized())
    if is_alone or distributed.get_world_size() == 1:
        return [] if pixel_values is None else encode_by_length(encoder, pixel_values, frame_counts)
    # Chunks would be as many as a video is long.
    encode = functools.partial(encode_whole, encoder)
    lengths = [] if pixel_values is None else lengths_of(pixel_values, frame_counts)
    # Agreed upon first: gathering weights must meet gathering weights.
    most = torch.tensor(max(1, len(set(lengths))), device=encoder.device)
    distributed.all_reduce(most, distributed.ReduceOp.MAX)
    features = [] if pixel_values is None else by_length(encode, pixel_values, lengths)
    blank = blank_video(_config(encoder)).to(encoder.device)
    idle = [encode(blank)[0, :0] for _ in range(int(most) - len(set(lengths)))]
    if idle:
        features = [*features[:-1], torch.cat([*features[-1:], *idle])]
    return features


def _config(encoder: VideoMAPModel) -> VideoMAPConfig:
    vision = encoder.config
    assert isinstance(vision, VideoMAPConfig)
    return vision
