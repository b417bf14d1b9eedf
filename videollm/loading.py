"""Find a model by name, and load it with its processor and adapter, merged or not."""

import os
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from torch import nn

from videollm.errors import ModelError
from videollm.hub import HUB_NAME, fetch_folder
from videollm.lora import ADAPTER_CONFIG, load_adapter, merge_adapter, unwrap_adapter
from videollm.model import VideoLLMForConditionalGeneration
from videollm.model_folder import check_format, read_json
from videollm.processor import VideoLLMProcessor
from videollm.quantize import quantization_config
from videollm.runtime import demo_checkpoint, quiet_transformers

__all__ = ["ADAPTER_FOLDER", "Source", "load_base", "load_model", "merge_model", "resolve_model"]

ADAPTER_FOLDER = "adapter"


class Source(NamedTuple):
    """Where a model is.

    Attributes:
        base: Folder of the base.
        adapter: Folder of its adapter, or None.
    """

    base: Path
    adapter: Path | None

    @property
    def is_own_adapter(self) -> bool:
        """Whether the adapter lies in the folder of its base."""
        return self.adapter is not None and self.adapter.resolve().parent == self.base.resolve()


def resolve_model(
    name: str | os.PathLike[str], adapter: str | os.PathLike[str] | None = None
) -> Source:
    """Return the folders of the base model and of its adapter.

    A name is "demo", a model folder (its `adapter` sub-folder is used where there is one), an
    adapter folder, whose base is the folder above it or the one that it names, or the hub name of
    either.

    Raises:
        ModelError: There is no such model or adapter, or its format is another.
    """
    folder = _folder_of(os.fspath(name))
    chosen = None if adapter is None else _folder_of(os.fspath(adapter))
    if chosen is not None and (chosen / ADAPTER_FOLDER / ADAPTER_CONFIG).is_file():
        chosen = chosen / ADAPTER_FOLDER
    if chosen is None and (folder / ADAPTER_CONFIG).is_file():
        chosen, folder = folder, _base_of(folder)
    if chosen is None and (folder / ADAPTER_FOLDER / ADAPTER_CONFIG).is_file():
        chosen = folder / ADAPTER_FOLDER
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder}: no config.json, so no model; give a model folder")
    check_format(read_json(folder / "config.json").get("format_version", 1), f"{folder}")
    return Source(folder, chosen)


def _folder_of(name: str) -> Path:
    """Return the folder called `name`, fetched from the hub where it is a hub name."""
    if name == "demo":
        demo = demo_checkpoint()
        if demo is None:
            raise ModelError(
                "demo: this installation holds no checkpoints/demo: reinstall videollm, or give "
                "the folder of a model"
            )
        return demo
    if Path(name).is_dir():
        return Path(name)
    if HUB_NAME.fullmatch(name):
        return fetch_folder(name)
    raise ModelError(
        f"{name}: no such model; give 'demo', a hub name as owner/model, or a folder that "
        "instruct, align, merge or save_pretrained wrote"
    )


def _base_of(adapter: Path) -> Path:
    if (adapter.resolve().parent / "config.json").is_file():
        return adapter.resolve().parent
    named = read_json(adapter / ADAPTER_CONFIG).get("base_model_name_or_path")
    if named and (Path(named) / "config.json").is_file():
        return Path(named)
    if named and HUB_NAME.fullmatch(named):
        return fetch_folder(named)
    raise ModelError(
        f"{adapter}: its base {named!r} is not there: give the base's folder as model and this "
        "folder as adapter"
    )


def load_base(
    folder: Path,
    *,
    dtype: torch.dtype,
    quantization: str | None = None,
    device: torch.device | str = "cpu",
) -> tuple[VideoLLMForConditionalGeneration, VideoLLMProcessor]:
    """Return the model of a folder without its adapter, and its processor.

    Args:
        folder: A model folder.
        dtype: Of the language model; the encoder and the projector are in fp32.
        quantization: Of the language model: None, "nf4" or "int8".
        device: Where a quantized language model goes; all else is on the CPU.

    Raises:
        ModelError: Something is missing or cannot be read.
    """
    options: dict[str, object] = {"dtype": dtype}
    if quantization is not None:
        options["quantization_config"] = quantization_config(quantization, dtype)
        options["device_map"] = {"": device}
    with quiet_transformers():
        try:
            processor = VideoLLMProcessor.from_pretrained(folder)
            model = VideoLLMForConditionalGeneration.from_pretrained(folder, **options)
        except ModelError:
            raise
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelError(f"{folder}: cannot be loaded ({reason}): is it complete?") from error
    return model, processor


def load_model(
    name: str | os.PathLike[str],
    *,
    adapter: str | os.PathLike[str] | None = None,
    quantization: str | None = None,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[VideoLLMForConditionalGeneration, VideoLLMProcessor]:
    """Return a model ready to answer, and its processor.

    An adapter is merged; on a quantized language model it works beside the weights instead, since
    merging would round it away.

    Args:
        name: "demo", a model folder, an adapter folder, or a hub name.
        adapter: A PEFT folder, instead of the model's own.
        quantization: Of the language model's linear layers: None, "nf4" (4 bits) or "int8".
        device: Where it runs.
        dtype: Of the language model; the encoder and the projector stay in fp32.

    Raises:
        ModelError: Something is missing or does not fit.
    """
    source = resolve_model(name, adapter)
    model, processor = load_base(source.base, dtype=dtype, quantization=quantization, device=device)
    if source.adapter is not None:
        with quiet_transformers():
            adapted = load_adapter(model, source.adapter, own_base=source.is_own_adapter)
            model = merge_adapter(adapted) if quantization is None else unwrap_adapter(adapted)
    ready: nn.Module = model
    # A quantized language model was placed while loading.
    for part in [ready] if quantization is None else [model.vision_model, model.projector]:
        part.to(device)
    ready.eval()
    return model, processor


def merge_model(
    name: str | os.PathLike[str],
    *,
    adapter: str | os.PathLike[str] | None = None,
    dtype: torch.dtype | None = None,
) -> tuple[VideoLLMForConditionalGeneration, VideoLLMProcessor]:
    """Return a model that holds all its weights, its adapter added in fp32 and rounded once.

    Args:
        name: As in `load_model`.
        adapter: Likewise.
        dtype: Of the language model; None: as its config says.

    Raises:
        ModelError: Something is missing or does not fit, or there is no adapter to merge.
    """
    source = resolve_model(name, adapter)
    if source.adapter is None:
        raise ModelError(
            f"{source.base} has no adapter to merge: give one with --adapter, or use the folder "
            "as it is"
        )
    model, processor = load_base(source.base, dtype=torch.float32)
    with quiet_transformers():
        model = merge_adapter(load_adapter(model, source.adapter, own_base=source.is_own_adapter))
    model.config.text_model = None
    own = model.config.text.dtype
    model.language_model.to(dtype or (own if isinstance(own, torch.dtype) else torch.float32))
    return model, processor
