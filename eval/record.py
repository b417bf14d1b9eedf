"""What a result must say about the model and the prompts, so that it can be had again."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from videollm.adapter_record import ADAPTER_WEIGHTS
from videollm.clip import Clip
from videollm.encoder.kernels import resolve_backend
from videollm.eval.task import Example
from videollm.prompting import build_messages

if TYPE_CHECKING:
    from videollm.api import VideoLLM

__all__ = ["describe_model", "hash_adapter", "hash_prompts", "hash_weights"]

_ORIGINS = ("_name_or_path", "transformers_version")


def describe_model(model: "VideoLLM") -> dict[str, Any]:
    """Return what identifies a loaded model and how it computes.

    Args:
        model: The model as it will answer.

    Returns:
        JSON values: `config_sha256`, `weights_sha256`, `chat_sha256` (how a chat with a video
        becomes text), `dtypes` by part, `device`, `scan_backend`. Equal values give equal answers
        on the same hardware.
    """
    return {
        "config_sha256": _sha256_of_json(_drop_origins(model.config.to_dict())),
        "weights_sha256": hash_weights(model.model.state_dict().items()),
        "chat_sha256": _sha256_of_json(_render_chat(model)),
        "dtypes": {
            name: str(next(part.parameters()).dtype).removeprefix("torch.")
            for name, part in model.model.named_children()
        },
        "device": model.device.type,
        "scan_backend": resolve_backend("auto", model.device),
    }


def _render_chat(model: "VideoLLM") -> str:
    """Return a chat about two frames as the language model reads it, all templates applied."""
    clip = Clip(
        torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.tensor([0.5, 1.5], dtype=torch.float64)
    )
    messages = build_messages("{question}", None, has_video=True)
    return model.processor.render(messages, [clip], add_generation_prompt=True)


def hash_weights(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """Return one hash of named tensors: their names, dtypes, shapes and every byte.

    Args:
        tensors: Pairs of name and tensor, of any dtype and on any device.
    """
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def hash_adapter(adapter: str | None) -> str | None:
    """Return one hash of an adapter's weights, or None without one or where they are elsewhere.

    Args:
        adapter: Its folder, or None; one of a hub is told by `weights_sha256` alone.
    """
    path = Path(adapter, ADAPTER_WEIGHTS) if adapter else None
    if path is None or not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_prompts(examples: Iterable[Example]) -> str:
    """Return one hash of the texts that are asked, in their order.

    Args:
        examples: The examples of one task.
    """
    return _sha256_of_json(
        [
            [example.history, example.question] if example.history else example.question
            for example in examples
        ]
    )


def _drop_origins(config: Any) -> Any:  # noqa: ANN401 (JSON values)
    """Return a configuration without the fields that say where and by what it was written."""
    if not isinstance(config, dict):
        return config
    return {key: _drop_origins(value) for key, value in config.items() if key not in _ORIGINS}


def _sha256_of_json(value: Any) -> str:  # noqa: ANN401 (whatever a configuration holds)
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
