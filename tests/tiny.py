"""The smallest models that still have every part; drawn at random, never trained."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from videollm.clip import Clip
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


needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None,
    reason="bitsandbytes is not installed (pip install 'videollm[qlora]')",
)


def shake(model: nn.Module, *, seed: int = 0) -> None:
    """Give what learns other values, so that an adapter does something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))


def tiny_inputs(processor: VideoLLMProcessor) -> dict[str, Tensor]:
    """Return a question about four drawn frames."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (4, 3, 16, 16), generator=generator, dtype=torch.uint8)
    clip = Clip(frames=pixels, pts_seconds=torch.arange(4, dtype=torch.float64) / 4)
    content = [{"type": "video"}, {"type": "text", "text": "What?"}]
    text = processor.render([{"role": "user", "content": content}], [clip])
    return dict(processor(text, [clip]))


@torch.no_grad()
def logits(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """Return a model's logits, in evaluation mode."""
    return model.eval()(**inputs).logits.float()
