"""The smallest models that still have every part; drawn at random, never trained."""

from pathlib import Path

import torch

from videollm.encoder import VideoMAPConfig
from videollm.llm import load_tokenizer
from videollm.model import VideoLLMForConditionalGeneration
from videollm.processor import VideoLLMProcessor


def tiny_encoder(**overrides: object) -> VideoMAPConfig:
    """Return four Mamba layers and one Transformer layer over 2 x 2 patches of 16 pixels."""
    fields: dict[str, object] = {
        "image_size": 16,
        "patch_size": 8,
        "hidden_size": 16,
        "num_layers": 5,
        "num_attention_heads": 2,
        "state_size": 4,
        "num_frames": 4,
    }
    return VideoMAPConfig(**{**fields, **overrides})


def tiny_videollm(
    llm: Path, **overrides: object
) -> tuple[VideoLLMForConditionalGeneration, VideoLLMProcessor]:
    """Return the same model each time, with 4 tokens a frame, and its processor."""
    torch.manual_seed(0)
    encoder = tiny_encoder(**{"patch_size": 4, "scan_mode": "frame_causal", **overrides})
    model = VideoLLMForConditionalGeneration.from_parts(encoder, str(llm), tokens_per_frame=4)
    return model.eval(), VideoLLMProcessor.from_config(model.config, load_tokenizer(str(llm)))
