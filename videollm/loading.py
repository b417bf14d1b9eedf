"""Find a model by name and load it with its processor and adapter."""

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn

from videollm.errors import ModelError
from videollm.lora import load_adapter, merge_adapter
from videollm.model import VideoLLMForConditionalGeneration
from videollm.processor import VideoLLMProcessor
from videollm.runtime import demo_checkpoint, quiet_transformers

__all__ = ["load_model", "resolve_model"]

ADAPTER_FOLDER = "adapter"


def resolve_model(
    name: str | os.PathLike[str], adapter: str | os.PathLike[str] | None = None
) -> tuple[Path, Path | None]:
    """Return the folders of the base model and of its adapter.

    A name is "demo", a model folder (its `adapter` sub-folder is used where there is one) or an
    adapter folder, whose base is the folder above it or the one that it names.

    Raises:
        ModelError: There is no such model or adapter.
    """
    folder = Path(name)
    if os.fspath(name) == "demo":
        demo = demo_checkpoint()
        if demo is None:
            raise ModelError(
                "demo: this installation holds no checkpoints/demo: reinstall videollm, or give "
                "the folder of a model"
            )
        folder = demo
    if not folder.is_dir():
        raise ModelError(
            f"{name}: no such model; give 'demo', or a folder that instruct, align or "
            "save_pretrained wrote"
        )
    chosen = Path(adapter) if adapter is not None else None
    if chosen is None and (folder / "adapter_config.json").is_file():
        chosen, folder = folder, _base_of(folder)
    if chosen is None and (folder / ADAPTER_FOLDER / "adapter_config.json").is_file():
        chosen = folder / ADAPTER_FOLDER
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder}: no config.json, so no model; give a model folder")
    return folder, chosen


def _base_of(adapter: Path) -> Path:
    if (adapter.parent / "config.json").is_file():
        return adapter.parent
    named = json.loads((adapter / "adapter_config.json").read_text()).get("base_model_name_or_path")
    if named and (Path(named) / "config.json").is_file():
        return Path(named)
    raise ModelError(
        f"{adapter}: its base {named!r} is not there: give the base's folder as model and this "
        "folder as adapter"
    )


def load_model(
    name: str | os.PathLike[str],
    *,
    adapter: str | os.PathLike[str] | None = None,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[VideoLLMForConditionalGeneration, VideoLLMProcessor]:
    """Return a model ready to answer, its adapter merged, and its processor.

    Args:
        name: "demo", a model folder or an adapter folder.
        adapter: A PEFT folder, instead of the model's own.
        device: Where it runs.
        dtype: Of the language model; the encoder and the projector stay in fp32.

    Raises:
        ModelError: Something is missing or does not fit.
    """
    folder, adapter_folder = resolve_model(name, adapter)
    with quiet_transformers():
        try:
            processor = VideoLLMProcessor.from_pretrained(folder)
            model = VideoLLMForConditionalGeneration.from_pretrained(folder, dtype=dtype)
        except ModelError:
            raise
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelError(f"{folder}: cannot be loaded ({reason}): is it complete?") from error
        if adapter_folder is not None:
            model = merge_adapter(load_adapter(model, adapter_folder))
    ready: nn.Module = model
    ready.to(device).eval()
    return model, processor
