"""What an adapter remembers of the base that it was trained on, and how that base is known again.

The record travels in the header of `adapter_model.safetensors` (key `videollm`), where peft and
every other reader pass over it: an adapter folder stays what peft writes. It holds the format
version, the base's shape, and a few values of each of its tensors. Rounding moves a value by
less than half a percent in bfloat16, so the same base is known in every number format; linear
layers of the language model are left out of the comparison where they are quantized.
"""

import base64
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from videollm.encoder.config import FORMAT_VERSION
from videollm.errors import ModelError
from videollm.quantize import is_quantized

if TYPE_CHECKING:
    from videollm.model import VideoLLMForConditionalGeneration

__all__ = ["ADAPTER_WEIGHTS", "compare_base", "describe_base", "read_record", "write_record"]

ADAPTER_WEIGHTS = "adapter_model.safetensors"
_KEY = "videollm"
_VALUES = 4
_TOLERANCE = 0.01
# Fields that say how a config was written or run, and nothing of its weights.
_PASSING_FIELDS = frozenset(
    {
        "_name_or_path",
        "architectures",
        "classifier_pooling",
        "drop_path_rate",
        "dtype",
        "format_version",
        "id2label",
        "label2id",
        "num_frames",
        "quantization_config",
        "transformers_version",
        "use_cache",
    }
)
_WEIGHT_NAMES = {
    "encoder": "the encoder's weights",
    "projector": "the projector's weights",
    "text": "the language model's embeddings and norms",
    "text_linear": "the language model's linear layers",
}


def describe_base(model: "VideoLLMForConditionalGeneration") -> dict[str, Any]:
    """Return what an adapter keeps of its base, as JSON values.

    Args:
        model: The base as it is, without adapters.
    """
    shape = {
        "encoder": _plain(model.config.vision.to_dict()),
        "language model": _plain(model.config.text.to_dict()),
        "projector": {
            "projector_type": model.config.projector_type,
            "tokens_per_frame": model.config.tokens_per_frame,
        },
    }
    return {
        "format_version": FORMAT_VERSION,
        "text_model": model.config.text_model,
        # As it will be read again: a number that is a key becomes a text.
        "shape": json.loads(json.dumps(shape, default=str)),
        "weights": {
            part: base64.b64encode(values.tobytes()).decode("ascii")
            for part, values in _values_of(model).items()
        },
    }


def compare_base(
    record: Mapping[str, Any],
    model: "VideoLLMForConditionalGeneration",
    *,
    replaced: frozenset[str] = frozenset(),
) -> list[str]:
    """Return in words how a model differs from the base of a record; empty where it does not.

    Args:
        record: What `describe_base` returned.
        model: The base as it is, without adapters.
        replaced: Parts ("encoder", "projector") that the adapter brings itself.
    """
    there, here = record["shape"], describe_base(model)["shape"]
    found = [
        f"{part} {name} {there[part][name]!r} there, {value!r} here"
        for part, fields in here.items()
        for name, value in fields.items()
        if name in there[part] and there[part][name] != value
    ]
    if found:
        return found
    for part, values in _values_of(model).items():
        recorded = record["weights"].get(part)
        if recorded is None or part in replaced:
            continue
        kept = np.frombuffer(base64.b64decode(recorded), dtype=np.float32).reshape(-1, _VALUES)
        if _differ(kept, values):
            found.append(_WEIGHT_NAMES[part])
    return found


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write a base's record into the adapter of a folder."""
    path = folder / ADAPTER_WEIGHTS
    weights = load_file(path)
    draft = path.with_name(f"{path.name}.part")
    save_file(weights, draft, metadata={"format": "pt", _KEY: json.dumps(record)})
    os.replace(draft, path)


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the record of an adapter, or None where it has none.

    Raises:
        ModelError: The weights are missing or cannot be read.
    """
    path = folder / ADAPTER_WEIGHTS
    if not path.is_file():
        raise ModelError(
            f"{folder} holds no {ADAPTER_WEIGHTS} (other formats can run code and are not read): "
            "save the adapter as safetensors"
        )
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot be read ({error}): copy the adapter again") from error
    if text is None:
        return None
    record: dict[str, Any] = json.loads(text)
    return record


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in fields.items()
        if name not in _PASSING_FIELDS and value is not None
    }


def _values_of(model: "VideoLLMForConditionalGeneration") -> dict[str, Any]:
    """Return (tensors, _VALUES) float32 of each part, in the order of the tensors' names."""
    parts: dict[str, list[Tensor]] = {}
    for part, tensor in _tensors(model):
        flat = tensor.detach().reshape(-1)
        places = [(flat.numel() - 1) * place // (_VALUES - 1) for place in range(_VALUES)]
        parts.setdefault(part, []).append(flat[places].float().cpu())
    if is_quantized(model):
        parts.pop("text_linear", None)
    return {part: torch.stack(values).numpy() for part, values in parts.items()}


def _tensors(model: "VideoLLMForConditionalGeneration") -> Iterator[tuple[str, Tensor]]:
    yield from (("encoder", item) for _, item in sorted(model.vision_model.named_parameters()))
    yield from (("projector", item) for _, item in sorted(model.projector.named_parameters()))
    head = model.get_output_embeddings()
    for _, module in sorted(model.language_model.named_modules()):
        linear = isinstance(module, nn.Linear) and module is not head
        own = sorted(module.named_parameters(recurse=False))
        yield from (("text_linear" if linear else "text", item) for _, item in own)


def _differ(there: Any, here: Any) -> bool:  # noqa: ANN401 (numpy arrays)
    """Return whether some tensor's values differ by more than rounding explains."""
    if there.shape != here.shape:
        return True
    size = np.maximum(np.linalg.norm(there, axis=1), np.linalg.norm(here, axis=1))
    return bool((np.linalg.norm(there - here, axis=1) > _TOLERANCE * size + 1e-6).any())
