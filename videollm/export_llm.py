"""The language model for an engine that serves such models alone, and prompts for it as embeddings.

Encoder and projector stay here: they turn a video and a question into the embeddings of a prompt,
which an engine such as vLLM reads instead of tokens. Together they give the answers of
`VideoLLM.chat`.

Legend: L tokens of the prompt, H LLM width.
"""

import base64
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from videollm.errors import DataError
from videollm.frame_options import check_tokens
from videollm.output_folder import replacing, require_free
from videollm.processor import Message
from videollm.prompting import build_messages
from videollm.runtime import quiet_transformers

if TYPE_CHECKING:
    from videollm.api import VideoLLM, VideoSource

__all__ = [
    "encode_embeddings",
    "export_language_model",
    "load_embeddings",
    "prompt_embeddings",
    "save_embeddings",
]

TENSOR_NAME = "prompt_embeds"


def export_language_model(
    name: str | os.PathLike[str],
    folder: Path,
    *,
    adapter: str | os.PathLike[str] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write the language model of a model, its adapter merged, as a folder of its own.

    Args:
        name: As in `VideoLLM.from_pretrained`.
        folder: New or empty; gets config, weights and tokenizer as transformers writes them.
        adapter: Likewise.
        dtype: Of the weights; None: as the model's config says.

    Raises:
        ModelError: The model cannot be had.
        DataError: The folder is not free.
    """
    from videollm.loading import load_base, merge_model, resolve_model

    require_free(folder)
    source = resolve_model(name, adapter)
    if source.adapter is None:
        model, processor = load_base(source.base, dtype=dtype or torch.float32)
    else:
        model, processor = merge_model(name, adapter=adapter, dtype=dtype)
    with replacing(folder) as draft, quiet_transformers():
        model.language_model.save_pretrained(draft)
        processor.tokenizer.save_pretrained(draft)


@torch.inference_mode()
def prompt_embeddings(
    model: "VideoLLM",
    video: "VideoSource | None",
    question: str,
    *,
    history: Sequence[Message] | None = None,
    **frames: Any,
) -> Tensor:
    """Return what the language model reads for a question, (L, H), in its number format.

    Args:
        model: Encodes the video.
        video: As in `VideoLLM.ask`.
        question: The question.
        history: Earlier turns.
        frames: Which frames of the video, see `videollm.frame_options.FrameOptions`.

    Raises:
        VideoError: The video cannot be read.
        RequestError: The question is empty, or an option makes no sense.
    """
    tokens = check_tokens(frames.get("tokens_per_frame"), model.config.max_tokens_per_frame)
    messages = build_messages(question, history, has_video=video is not None)
    clips = [] if video is None else [model.load(video, **frames)]
    features = [model.encode(clip) for clip in clips]
    text = model.processor.render(
        messages, clips, add_generation_prompt=True, tokens_per_frame=tokens
    )
    input_ids = model.processor(text)["input_ids"].to(model.device)
    embedded = model.model.embed(
        input_ids, video_features=features or None, tokens_per_frame=tokens
    )
    return embedded[0].to(model.model.language_model.dtype)


def save_embeddings(embeddings: Tensor, path: str | os.PathLike[str]) -> None:
    """Write a prompt to a safetensors file.

    Args:
        embeddings: (L, H).
        path: The file.

    Raises:
        DataError: It cannot be written.
    """
    try:
        save_file({TENSOR_NAME: embeddings.cpu().contiguous()}, path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: cannot be written ({error}): choose another file") from error


def load_embeddings(path: str | os.PathLike[str]) -> Tensor:
    """Return the prompt (L, H) of a file that `save_embeddings` wrote.

    Raises:
        DataError: It is no such file.
    """
    try:
        return load_file(path)[TENSOR_NAME]
    except (OSError, SafetensorError, KeyError) as error:
        raise DataError(f"{path}: holds no prompt ({error}): write it with `embed`") from error


def encode_embeddings(embeddings: Tensor) -> str:
    """Return a prompt as vLLM's HTTP server takes it: torch's own file format, in base64.

    Args:
        embeddings: (L, H).
    """
    buffer = io.BytesIO()
    torch.save(embeddings.cpu().contiguous(), buffer)
    return base64.b64encode(buffer.getvalue()).decode()
