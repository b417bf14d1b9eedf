"""Videos of unequal lengths through the encoder, without padding.

Legend: V videos, T token frames of a video, N patches per frame, D encoder width.
"""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from videollm.encoder.config import VideoMAPConfig
from videollm.encoder.videomap import VideoMAPModel

__all__ = ["blank_video", "by_length", "encode_by_length", "encode_whole", "lengths_of"]


def encode_by_length(
    encoder: VideoMAPModel, pixel_values: Tensor, frame_counts: Tensor | None = None
) -> list[Tensor]:
    """Return each video's features (T, N, D).

    Videos of equal length are encoded together, others apart: padding never enters. Without
    gradients a frame-causal encoder reads in chunks, which bounds what it holds at once.

    Args:
        encoder: The encoder.
        pixel_values: (V, frames, C, height, width), float; frames beyond a video's own count are
            padding.
        frame_counts: (V,), frames of each video; None: all.
    """
    in_chunks = encoder.config.scan_mode == "frame_causal" and not torch.is_grad_enabled()
    encode = encoder.encode_chunked if in_chunks else functools.partial(encode_whole, encoder)
    return by_length(encode, pixel_values, lengths_of(pixel_values, frame_counts))


def by_length(
    encode: Callable[[Tensor], Tensor], pixel_values: Tensor, lengths: Sequence[int]
) -> list[Tensor]:
    """Return each video's features in order, from one pass for each length that there is.

    Args:
        encode: Returns (videos, T, N, D) for videos of one length.
        pixel_values: As in `encode_by_length`.
        lengths: Frames of each video.
    """
    features: dict[int, Tensor] = {}
    for length in sorted(set(lengths)):
        rows = [row for row, own in enumerate(lengths) if own == length]
        features |= dict(zip(rows, encode(pixel_values[rows, :length]), strict=True))
    return [features[row] for row in range(len(lengths))]


def encode_whole(encoder: VideoMAPModel, clips: Tensor) -> Tensor:
    """Return the features (videos, T, N, D) of videos of one length, in one pass."""
    num_frames = clips.shape[1] // encoder.config.tubelet_size
    encoded: Tensor = encoder(clips).last_hidden_state
    return encoded.unflatten(1, (num_frames, -1))


def lengths_of(pixel_values: Tensor, frame_counts: Tensor | None) -> list[int]:
    """Return the frames of each video; without counts all that `pixel_values` holds."""
    if frame_counts is None:
        return [pixel_values.shape[1]] * pixel_values.shape[0]
    lengths: list[int] = frame_counts.tolist()
    return lengths


def blank_video(vision: VideoMAPConfig) -> Tensor:
    """Return the shortest video that an encoder takes, black, (1, frames, C, height, width)."""
    size = vision.image_size
    return torch.zeros(1, vision.tubelet_size, vision.num_channels, size, size)
