"""VideoMAP: the streaming Mamba-Transformer video encoder, usable on its own.

Needs torch, einops, safetensors and transformers' base classes, nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from videollm.encoder.classification import VideoMAPForVideoClassification
    from videollm.encoder.config import (
        VideoMAPConfig,
        base_config,
        demo_config,
        large_config,
        middle_config,
        small_config,
        tiny_config,
    )
    from videollm.encoder.convert import convert_videomamba
    from videollm.encoder.footprint import MemoryEstimate
    from videollm.encoder.pretrain import VideoMAPForPreTraining
    from videollm.encoder.pretrain_config import VideoMAPPreTrainingConfig
    from videollm.encoder.scan import selective_scan
    from videollm.encoder.state import VideoMAPState
    from videollm.encoder.videomap import VideoMAPModel

_HOMES = {
    "VideoMAPConfig": "config",
    "tiny_config": "config",
    "small_config": "config",
    "middle_config": "config",
    "base_config": "config",
    "large_config": "config",
    "demo_config": "config",
    "MemoryEstimate": "footprint",
    "VideoMAPModel": "videomap",
    "VideoMAPState": "state",
    "VideoMAPForVideoClassification": "classification",
    "VideoMAPForPreTraining": "pretrain",
    "VideoMAPPreTrainingConfig": "pretrain_config",
    "selective_scan": "scan",
    "convert_videomamba": "convert",
}

__all__ = [
    "MemoryEstimate",
    "VideoMAPConfig",
    "VideoMAPForPreTraining",
    "VideoMAPForVideoClassification",
    "VideoMAPModel",
    "VideoMAPPreTrainingConfig",
    "VideoMAPState",
    "base_config",
    "convert_videomamba",
    "demo_config",
    "large_config",
    "middle_config",
    "selective_scan",
    "small_config",
    "tiny_config",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"videollm.encoder.{_HOMES[name]}"), name)
