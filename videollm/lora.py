"""Attach LoRA adapters to the language model; save and load them as standard PEFT folders.

The projector travels in the adapter by PEFT's `modules_to_save`: no side files.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from videollm.errors import ModelError
from videollm.model import VideoLLMForConditionalGeneration

__all__ = ["attach_lora", "load_adapter", "lora_targets", "merge_adapter"]


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Hold back peft's use of a name that transformers has deprecated; nothing to act on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")
        yield


def lora_targets(model: VideoLLMForConditionalGeneration) -> str:
    """Return a pattern of all linear layers of the language model but its head."""
    head = model.get_output_embeddings()
    leaves = {
        name.rsplit(".", 1)[-1]
        for name, module in model.language_model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }
    return rf"language_model\..*\.({'|'.join(sorted(leaves))})"


def attach_lora(
    model: VideoLLMForConditionalGeneration,
    *,
    rank: int = 16,
    alpha: int = 32,
    dropout: float = 0.0,
    train_projector: bool = True,
) -> PeftModel:
    """Return the model with fresh adapters; only they (and the projector) are trainable.

    Args:
        model: The base; frozen by this.
        rank: Rank of the adapters, at least 1.
        alpha: Their scale is alpha / rank.
        dropout: Dropout on their input, in [0, 1).
        train_projector: Train and save the projector with the adapters.
    """
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=lora_targets(model),
        modules_to_save=["projector"] if train_projector else None,
    )
    with _without_remarks():
        adapted = get_peft_model(model, config)
    assert isinstance(adapted, PeftModel)
    return adapted


def load_adapter(
    model: VideoLLMForConditionalGeneration,
    folder: str | os.PathLike[str],
    *,
    is_trainable: bool = False,
) -> PeftModel:
    """Return the model with the adapter of a PEFT folder.

    Raises:
        ModelError: The folder holds no adapter, or one for another base.
    """
    if not (Path(folder) / "adapter_config.json").is_file():
        raise ModelError(
            f"{folder} holds no adapter_config.json: give a folder that instruct wrote"
        )
    try:
        with _without_remarks():
            return PeftModel.from_pretrained(model, os.fspath(folder), is_trainable=is_trainable)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{folder} does not fit this model ({reason}): load it on the base it was trained on"
        ) from error


@torch.no_grad()
def merge_adapter(adapted: PeftModel) -> VideoLLMForConditionalGeneration:
    """Return the base with the adapters added into its weights."""
    merged = adapted.merge_and_unload()
    assert isinstance(merged, VideoLLMForConditionalGeneration)
    return merged
