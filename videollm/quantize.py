"""Four- and eight-bit language models by bitsandbytes, through transformers' own configuration.

Only the linear layers of the language model are quantized. Its head, its embeddings, the encoder
and the projector stay as they are.
"""

import copy
import importlib.util
import logging
from typing import TYPE_CHECKING, Any

from torch import nn

from videollm.errors import ModelError

if TYPE_CHECKING:
    import torch

__all__ = [
    "QUANTIZATIONS",
    "check_quantization",
    "is_quantized",
    "mark_quantized",
    "quantization_config",
    "quiet_bitsandbytes",
    "sparing",
]

QUANTIZATIONS = ("nf4", "int8")
_PACKAGES = ("bitsandbytes", "accelerate")
_MARKS = ("is_loaded_in_4bit", "is_loaded_in_8bit")


def check_quantization(name: str) -> None:
    """Refuse a quantization that cannot be had here.

    Raises:
        ModelError: An unknown name, or a package is missing.
    """
    if name not in QUANTIZATIONS:
        raise ModelError(
            f"quantization {name!r} is unknown: use one of {', '.join(QUANTIZATIONS)}, or none"
        )
    missing = [package for package in _PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise ModelError(
            f"quantization {name!r} needs {' and '.join(missing)}: run "
            "pip install 'videollm[qlora]', or leave the quantization out"
        )


def quantization_config(name: str, dtype: "torch.dtype") -> object:
    """Return the `BitsAndBytesConfig` of a quantization.

    Args:
        name: "nf4" (4 bits, the scales quantized once more), or "int8".
        dtype: Number format of the computation.

    Raises:
        ModelError: An unknown name, or bitsandbytes is missing or does not work here.

    Source: NF4 and double quantization as in QLoRA (arXiv 2305.14314), section 3.
    """
    check_quantization(name)
    quiet_bitsandbytes()
    from transformers import BitsAndBytesConfig

    if name == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def quiet_bitsandbytes() -> None:
    """Hold back what bitsandbytes remarks at import: that a faster kernel is not installed."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def sparing(quantization: object, modules: list[str]) -> object:
    """Return a quantization that passes over the named modules."""
    spared: Any = copy.deepcopy(quantization)
    spared.llm_int8_skip_modules = modules
    return spared


def is_quantized(model: nn.Module) -> bool:
    """Return whether part of a model is quantized."""
    return any(getattr(model, mark, False) for mark in _MARKS)


def mark_quantized(model: nn.Module, language_model: nn.Module) -> None:
    """Tell a model that its language model was quantized, as peft and the Trainer ask the model.

    transformers' own mark, `hf_quantizer`, stays with the language model: where a model has it,
    `save_pretrained` passes over the state that it is given.

    Args:
        model: The whole model.
        language_model: Its part that transformers quantized; may be the model itself.
    """
    for name in _MARKS:
        if hasattr(language_model, name):
            setattr(model, name, getattr(language_model, name))
    for module in model.modules():
        # bitsandbytes packs a layer anew when it first answers on a CPU with bfloat16. Packed
        # layers hand on no gradient, and a DoRA reads them as if they were not packed.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            vars(module)["support_avx512bf16_for_cpu"] = False
