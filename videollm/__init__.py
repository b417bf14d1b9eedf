"""videollm: ask, train, evaluate and serve an open VideoLLM with a streaming encoder."""

from importlib import import_module
from typing import TYPE_CHECKING

from videollm.registration import register_when_transformers_loads

if TYPE_CHECKING:
    from videollm.answer import Answer, AnswerStream
    from videollm.api import VideoLLM
    from videollm.clip import Clip
    from videollm.config import VideoLLMConfig
    from videollm.errors import (
        DataError,
        ModelError,
        RecipeError,
        RequestError,
        VideoError,
        VideoLLMError,
    )
    from videollm.live import LiveStream
    from videollm.memory import VisualMemory
    from videollm.model import VideoLLMForConditionalGeneration
    from videollm.processor import VideoLLMProcessor
    from videollm.streaming import StreamSession
    from videollm.video import VideoReader
    from videollm.video_limits import DecodeLimits
    from videollm.video_worker import DecodeWorker
    from videollm.watching import Watcher

__version__ = "0.1.0"

_HOMES = {
    # asking
    "VideoLLM": "api",
    "Answer": "answer",
    "AnswerStream": "answer",
    # streams
    "StreamSession": "streaming",
    "VisualMemory": "memory",
    "Watcher": "watching",
    # the model and its parts
    "VideoLLMConfig": "config",
    "VideoLLMForConditionalGeneration": "model",
    "VideoLLMProcessor": "processor",
    # video
    "Clip": "clip",
    "VideoReader": "video",
    "LiveStream": "live",
    "DecodeLimits": "video_limits",
    "DecodeWorker": "video_worker",
    # errors
    "VideoLLMError": "errors",
    "VideoError": "errors",
    "ModelError": "errors",
    "RecipeError": "errors",
    "DataError": "errors",
    "RequestError": "errors",
}

__all__ = [
    "Answer",
    "AnswerStream",
    "Clip",
    "DataError",
    "DecodeLimits",
    "DecodeWorker",
    "LiveStream",
    "ModelError",
    "RecipeError",
    "RequestError",
    "StreamSession",
    "VideoError",
    "VideoLLM",
    "VideoLLMConfig",
    "VideoLLMError",
    "VideoLLMForConditionalGeneration",
    "VideoLLMProcessor",
    "VideoReader",
    "VisualMemory",
    "Watcher",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"videollm.{_HOMES[name]}"), name)


register_when_transformers_loads()
