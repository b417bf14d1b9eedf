"""Videos of unequal lengths through the encoder, without padding.

Legend: V videos, T token frames of a video, N patches per frame, D encoder width.
"""

import torch
from torch import Tensor

from videollm.encoder.config import VideoMAPConfig
from videollm.encoder.videomap import VideoMAPModel

__all__ = ["blank_video", "encode_by_length"]


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
    lengths = [pixel_values.shape[1]] * pixel_values.shape[0]
    if frame_counts is not None:
        lengths = frame_counts.tolist()
    vision = encoder.config
    in_chunks = vision.scan_mode == "frame_causal" and not torch.is_grad_enabled()
    features: dict[int, Tensor] = {}
    for length in sorted(set(lengths)):
        rows = [row for row, own in enumerate(lengths) if own == length]
        clips = pixel_values[rows, :length]
        if in_chunks:
            by_frame = encoder.encode_chunked(clips)
        else:
            encoded = encoder(clips).last_hidden_state
            by_frame = encoded.unflatten(1, (length // vision.tubelet_size, -1))
        features |= dict(zip(rows, by_frame, strict=True))
    return [features[row] for row in range(len(lengths))]


def blank_video(vision: VideoMAPConfig) -> Tensor:
    """Return the shortest video that an encoder takes, black, (1, frames, C, height, width)."""
    size = vision.image_size
    return torch.zeros(1, vision.tubelet_size, vision.num_channels, size, size)
