"""Attach LoRA adapters to the language model; save and load them as standard PEFT folders.

The projector, and an encoder that is tuned, travel in the adapter by PEFT's `modules_to_save`: no
side files.
"""

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from videollm.adapter_record import ADAPTER_WEIGHTS, compare_base, read_record, write_record
from videollm.errors import ModelError
from videollm.model import VideoLLMForConditionalGeneration
from videollm.model_folder import check_format, read_json
from videollm.quantize import is_quantized, quiet_bitsandbytes

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel

__all__ = [
    "ADAPTER_CONFIG",
    "LoraShape",
    "attach_lora",
    "load_adapter",
    "lora_targets",
    "merge_adapter",
    "save_adapter",
    "unwrap_adapter",
]

logger = logging.getLogger(__name__)

ADAPTER_CONFIG = "adapter_config.json"
_PARTS = {"vision_model": "encoder", "projector": "projector"}


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraShape:
    """What a fresh adapter consists of.

    Attributes:
        rank: Rank of the update of each linear layer, at least 1.
        alpha: The update is scaled by alpha / rank.
        dropout: Dropout on its input, in [0, 1).
        targets: Last names of the linear layers that get an update; empty: all but the head.
        rslora: Scale by alpha / sqrt(rank) instead.
        dora: Learn the length of each weight's rows apart from their direction.
        modules_to_save: Names of modules that are trained and saved whole.

    Source: LoRA (arXiv 2106.09685), rsLoRA (2312.03732), DoRA (2402.09353); all by peft.
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    targets: tuple[str, ...] = ()
    rslora: bool = False
    dora: bool = False
    modules_to_save: tuple[str, ...] = ("projector",)


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Hold back peft's use of a name that transformers has deprecated; nothing to act on.

    peft is imported inside: where bitsandbytes is installed it imports that, which takes seconds
    and remarks on kernels.
    """
    quiet_bitsandbytes()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")
        yield


def lora_targets(model: VideoLLMForConditionalGeneration, names: Sequence[str] = ()) -> str:
    """Return a pattern of linear layers of the language model.

    Args:
        model: The model.
        names: Their last names, as q_proj; empty: all but the head.

    Raises:
        ModelError: The language model has no such layer.
    """
    head = model.get_output_embeddings()
    leaves = {
        name.rsplit(".", 1)[-1]
        for name, module in model.language_model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }
    unknown = sorted(set(names) - leaves)
    if unknown:
        raise ModelError(
            f"lora_targets: {', '.join(unknown)}: no linear layer of the language model is called "
            f"so; there are {', '.join(sorted(leaves))}"
        )
    return rf"language_model\..*\.({'|'.join(sorted(names or leaves))})"


def attach_lora(
    model: VideoLLMForConditionalGeneration, shape: LoraShape | None = None
) -> "PeftModel":
    """Return the model with a fresh adapter; only it and its `modules_to_save` are trainable.

    Args:
        model: The base; frozen by this.
        shape: What the adapter consists of.

    Raises:
        ModelError: A layer or module is not there, or cannot be trained apart.
    """
    shape = shape or LoraShape()
    _check_modules(model, shape.modules_to_save)
    with _without_remarks():
        from peft import LoraConfig, PeftModel, get_peft_model
    config = LoraConfig(
        r=shape.rank,
        lora_alpha=shape.alpha,
        lora_dropout=shape.dropout,
        target_modules=lora_targets(model, shape.targets),
        modules_to_save=list(shape.modules_to_save) or None,
        use_rslora=shape.rslora,
        use_dora=shape.dora,
    )
    _prefer_lean_layers(config, model)
    with _without_remarks():
        adapted = get_peft_model(model, config)
    assert isinstance(adapted, PeftModel)
    return adapted


def _prefer_lean_layers(config: "PeftConfig", model: VideoLLMForConditionalGeneration) -> None:
    """Let peft build LoRA of ours on linear layers, unless these are quantized and so others."""
    from peft import LoraConfig

    if isinstance(config, LoraConfig) and not is_quantized(model):
        from videollm.lora_linear import LeanLoraLinear

        config._register_custom_module({nn.Linear: LeanLoraLinear})


def _check_modules(model: VideoLLMForConditionalGeneration, names: Sequence[str]) -> None:
    modules = dict(model.named_modules())
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head is not None and getattr(head, "weight", None) is getattr(embedding, "weight", 0)
    for name in names:
        found = [item for path, item in modules.items() if f".{path}".endswith(f".{name}")]
        if not found:
            raise ModelError(
                f"modules_to_save: the model has no module {name!r}: give the last part of a "
                "module's name, as embed_tokens"
            )
        if tied and any(item is embedding or item is head for item in found):
            raise ModelError(
                f"modules_to_save: {name} shares its weights between embedding and head in this "
                "language model and cannot be trained apart: leave it out, or use tuning: full"
            )


def load_adapter(
    model: VideoLLMForConditionalGeneration,
    folder: str | os.PathLike[str],
    *,
    is_trainable: bool = False,
    own_base: bool = False,
) -> "PeftModel":
    """Return the model with the adapter of a PEFT folder.

    Args:
        model: The base, in any number format, quantized or not.
        folder: A PEFT folder; of ours or any other's.
        is_trainable: Whether its training is to go on.
        own_base: Whether the adapter lies in the folder of this very base, so that one without a
            record of its base is no cause for a warning.

    Raises:
        ModelError: The folder holds no adapter, one of a newer format, or one for another base.
    """
    folder = Path(folder)
    if not (folder / ADAPTER_CONFIG).is_file():
        raise ModelError(f"{folder} holds no {ADAPTER_CONFIG}: give a folder that instruct wrote")
    saved = read_json(folder / ADAPTER_CONFIG).get("modules_to_save") or ()
    record = read_record(folder)
    if record is not None:
        check_format(record.get("format_version", 1), f"{folder}")
        _check_base(record, model, folder, frozenset(_PARTS[n] for n in saved if n in _PARTS))
    elif not own_base:
        logger.warning(
            "%s holds no record of its base (another program wrote it): give it the base that it "
            "was trained on; a wrong one of the same shape would not be noticed",
            folder,
        )
    with _without_remarks():
        from peft import PeftConfig, PeftModel
    try:
        config = PeftConfig.from_pretrained(os.fspath(folder))
        _prefer_lean_layers(config, model)
        with _without_remarks(), warnings.catch_warnings():
            # Told below, in one line.
            warnings.filterwarnings("ignore", message="Found missing adapter keys")
            adapted = PeftModel.from_pretrained(
                model, os.fspath(folder), is_trainable=is_trainable, config=config
            )
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{folder} does not fit this model ({reason}): load it on the base it was trained on"
        ) from error
    _check_keys(adapted, folder)
    return adapted


def _check_base(
    record: Mapping[str, Any],
    model: VideoLLMForConditionalGeneration,
    folder: Path,
    replaced: frozenset[str],
) -> None:
    found = compare_base(record, model, replaced=replaced)
    if found:
        name = record.get("text_model")
        trained_on = f" (its language model: {name})" if name else ""
        raise ModelError(
            f"{folder} was trained on another base{trained_on}; what differs: "
            f"{'; '.join(found[:3])}{f'; and {len(found) - 3} more' if len(found) > 3 else ''}: "
            "load it on the base it was trained on"
        )


def _check_keys(adapted: "PeftModel", folder: Path) -> None:
    """Refuse an adapter with weights too many or too few, which peft passes over."""
    from peft.utils import get_peft_model_state_dict

    with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as file:
        there = set(file.keys())
    # Asked about embeddings, peft would look for the base's config, on the hub if need be.
    here = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    if there != here:
        raise ModelError(
            f"{folder} does not fit this model (it lacks {sorted(here - there)[:1]}, and "
            f"{sorted(there - here)[:1]} has no place here): load it on the base it was trained on"
        )


def save_adapter(
    adapted: "PeftModel",
    folder: Path,
    *,
    record: Mapping[str, Any],
    base: str = "",
    state: dict[str, Tensor] | None = None,
) -> None:
    """Write a PEFT folder that knows its base again.

    Args:
        adapted: The model with its adapter.
        folder: Where it goes.
        record: What `describe_base` returned for the base before it was adapted.
        base: Folder or hub name of the base.
        state: All weights of `adapted`, by name; None: as they are there.
    """
    adapted.peft_config["default"].base_model_name_or_path = base
    adapted.save_pretrained(str(folder), state_dict=state)
    write_record(folder, record)
    # An empty form, not a model card.
    (folder / "README.md").unlink(missing_ok=True)


def unwrap_adapter(adapted: "PeftModel") -> VideoLLMForConditionalGeneration:
    """Return the base with the adapters working inside it, unmerged."""
    model = adapted.get_base_model()
    assert isinstance(model, VideoLLMForConditionalGeneration)
    return model


@torch.no_grad()
def merge_adapter(adapted: "PeftModel") -> VideoLLMForConditionalGeneration:
    """Return the base with the adapters added into its weights."""
    merged = adapted.merge_and_unload()
    assert isinstance(merged, VideoLLMForConditionalGeneration)
    return merged
