"""Floating-point operations of one forward pass, counted from the sizes of a config.

A multiplication and an addition are two operations. Norms, activations and masks are left out: they
are a percent at most. A backward pass costs twice a forward one.

Legend: B batch, T token frames, N tokens of a frame, D width, E inner width of a Mamba layer,
S states, M hidden width of an MLP, P width of the decoder.
"""

from videollm.encoder import VideoMAPConfig, VideoMAPPreTrainingConfig

__all__ = ["classifier_flops", "encoder_flops", "pretraining_flops", "vit_flops"]

_SCAN_FLOPS = 9
"""For each step, channel and state: decay and its exponential, input, state, output."""


def encoder_flops(config: VideoMAPConfig, *, num_frames: int, keep: float = 1.0) -> float:
    """Return the operations of encoding one clip.

    Args:
        config: The encoder.
        num_frames: Frames of the clip.
        keep: Share of tokens that is visible; the others are never embedded in the layers.
    """
    steps = num_frames // config.tubelet_size
    patches = config.grid_size**2
    tokens = max(1, round(patches * keep))
    volume = config.num_channels * config.tubelet_size * config.patch_size**2
    embedding = 2.0 * steps * patches * volume * config.hidden_size
    window = config.attention_window if isinstance(config.attention_window, int) else 0
    frames_seen = sum(min(step + 1, window) if window else steps for step in range(steps))
    hidden = int(config.hidden_size * config.mlp_ratio)
    costs = {
        "M": _mamba_flops(config) * steps * tokens,
        "T": _transformer_flops(config.hidden_size, hidden) * steps * tokens
        + 4.0 * config.hidden_size * frames_seen * tokens**2,
    }
    return embedding + sum(costs[kind] for kind in config.layer_kinds)


def classifier_flops(config: VideoMAPConfig, *, num_frames: int) -> float:
    """Return the operations of learning from one clip: a forward and a backward pass."""
    return 3 * encoder_flops(config, num_frames=num_frames)


def pretraining_flops(
    config: VideoMAPPreTrainingConfig, *, num_frames: int, keep: float, teacher_flops: float
) -> float:
    """Return the operations of learning from one clip, those of the teacher included.

    Args:
        config: Encoder and decoder.
        num_frames: Frames of the clip.
        keep: Share of visible tokens.
        teacher_flops: Of the teacher's forward pass over one frame.
    """
    encoder = config.encoder_config
    assert isinstance(encoder, VideoMAPConfig)
    steps, patches = num_frames // encoder.tubelet_size, encoder.grid_size**2
    queries, memory = steps * patches, steps * max(1, round(patches * keep))
    width = config.decoder_hidden_size
    block = queries * (2.0 * width * 3 * width + 2.0 * width * width)  # self-attention's maps
    block += queries * 4.0 * width * patches  # and its products
    block += queries * 4.0 * width * width + memory * 4.0 * width * width  # cross-attention's maps
    block += queries * 4.0 * width * memory  # and its products, masked ones too
    block += queries * 16.0 * width * width
    assert config.target_dim is not None
    decoder = memory * 2.0 * encoder.hidden_size * width + config.decoder_layers * block
    decoder += queries * 2.0 * width * config.target_dim
    forward = encoder_flops(encoder, num_frames=num_frames, keep=keep) + decoder
    return 3 * forward + num_frames * teacher_flops


def vit_flops(*, width: int, num_layers: int, image_size: int, patch_size: int) -> float:
    """Return the operations of a Vision Transformer's forward pass over one picture."""
    patches = (image_size // patch_size) ** 2
    tokens = patches + 1
    layer = tokens * _transformer_flops(width, 4 * width) + 4.0 * width * tokens**2
    return num_layers * layer + 2.0 * patches * 3 * patch_size**2 * width


def _transformer_flops(width: int, hidden: int) -> float:
    """Return the operations of one token in a layer, without the products of attention."""
    return 2.0 * width * (3 * width + width + 2 * hidden)


def _mamba_flops(config: VideoMAPConfig) -> float:
    """Return the operations of one token in a layer: both directions and their shared maps."""
    assert config.dt_rank is not None
    inner, states, rank = config.inner_size, config.state_size, config.dt_rank
    direction = 2.0 * inner * (config.conv_kernel + (rank + 2 * states) + rank)
    direction += _SCAN_FLOPS * inner * states
    return 2.0 * config.hidden_size * 3 * inner + 2 * direction
