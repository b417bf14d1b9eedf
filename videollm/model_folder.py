"""What a model folder holds beside its config: all weights, or all but a language model by name.

Every folder carries `format_version` in its config.json; a folder without one is of version 1.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file
from torch import Tensor

from videollm.encoder.config import FORMAT_VERSION
from videollm.errors import ModelError
from videollm.quantize import is_quantized

if TYPE_CHECKING:
    from videollm.model import VideoLLMForConditionalGeneration

__all__ = ["check_format", "load_own_weights", "own_weights", "read_json"]

_LANGUAGE_PREFIX = "language_model."


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file of a model or an adapter.

    Raises:
        ModelError: It is no JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{path}: cannot be read ({reason}): copy or write the folder again"
        ) from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: holds no JSON object: copy or write the folder again")
    return value


def check_format(found: object, source: str) -> None:
    """Refuse a folder that was written in a format that this version does not read.

    Args:
        found: Its `format_version`.
        source: What to call it.

    Raises:
        ModelError: The version is not one that this program reads.
    """
    if isinstance(found, int) and 1 <= found <= FORMAT_VERSION:
        return
    remedy = (
        "install a newer videollm (pip install --upgrade videollm)"
        if isinstance(found, int) and found > FORMAT_VERSION
        else "train it again, or repair its format_version"
    )
    raise ModelError(
        f"{source}: format_version is {found!r}, this videollm reads 1 to {FORMAT_VERSION}: "
        f"{remedy}"
    )


def own_weights(
    model: "VideoLLMForConditionalGeneration", state: dict[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Return what belongs into a model's folder: all but a language model that is kept by name.

    Args:
        model: The model.
        state: All its weights, where the model itself holds only a share of them.

    Raises:
        ModelError: It would be a quantized language model.
    """
    kept_by_name = model.config.text_model is not None
    if is_quantized(model) and not kept_by_name:
        raise ModelError(
            "the language model is quantized and cannot be saved as a full model: load it without "
            "quantization, or save the adapter alone"
        )
    return {
        name: value
        for name, value in (model.state_dict() if state is None else state).items()
        if not (kept_by_name and name.startswith(_LANGUAGE_PREFIX))
    }


def load_own_weights(model: "VideoLLMForConditionalGeneration", folder: Path) -> None:
    """Give a model, whose language model is kept by name, the encoder and projector of a folder.

    Raises:
        ModelError: Weights are missing, or there are others.
    """
    weights = load_file(folder / "model.safetensors")
    missing, unexpected = model.load_state_dict(
        {name: value.float() for name, value in weights.items()}, strict=False, assign=True
    )
    missing = [name for name in missing if not name.startswith(_LANGUAGE_PREFIX)]
    if missing or unexpected:
        raise ModelError(
            f"{folder}: model.safetensors lacks {missing[:3]} and has unknown "
            f"{unexpected[:3]}: it was written for another config.json"
        )
