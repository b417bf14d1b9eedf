"""The language model's key and value cache: the library's own kinds, by name.

`plain` grows with the prompt. `offloaded` keeps all layers but the one at work in host memory.
`fp8`, `quanto` and `hqq` store keys and values in 8 or 4 bits. Nothing is chosen in silence: what
cannot be had here is refused.
"""

import importlib.util
import inspect

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, QuantizedCache
from transformers.configuration_utils import PreTrainedConfig
from transformers.generation.utils import GenerationMixin

from videollm.errors import RequestError

__all__ = ["CACHE_KINDS", "build_cache", "cache_argument", "cache_bytes", "can_cut", "check_cache"]

_PACKAGES = {"quanto": "optimum.quanto", "hqq": "hqq"}
_PACKAGE_NAMES = {"quanto": "optimum-quanto", "hqq": "hqq"}
CACHE_KINDS = ("plain", "offloaded", "fp8", "quanto", "hqq")


def check_cache(kind: str, config: PreTrainedConfig, device: torch.device | str) -> None:
    """Refuse a cache that cannot be had.

    Args:
        kind: One of `CACHE_KINDS`.
        config: Of the language model.
        device: Where it runs.

    Raises:
        RequestError: The kind is unknown, needs a package or a device that is not there, or does
            not fit the model's layers.
    """
    if kind not in CACHE_KINDS:
        raise RequestError(f"kv_cache is {kind!r}; it is one of {', '.join(CACHE_KINDS)}")
    if kind == "offloaded" and torch.device(device).type == "cpu":
        raise RequestError(
            "kv_cache is 'offloaded' and the model runs on the CPU: there it is in host memory "
            "already, use 'plain'"
        )
    package = _PACKAGES.get(kind)
    if package is not None and not _is_installed(package):
        raise RequestError(
            f"kv_cache is {kind!r}, which needs the package {_PACKAGE_NAMES[kind]}: pip install "
            f"{_PACKAGE_NAMES[kind]}, or use 'fp8'"
        )
    if kind not in ("plain", "offloaded"):
        try:
            _quantized(kind, config)
        except (ValueError, ImportError) as error:
            reason = " ".join(str(error).split())
            raise RequestError(f"kv_cache is {kind!r}: {reason}: use 'plain'") from error


def build_cache(kind: str, config: PreTrainedConfig) -> Cache:
    """Return an empty cache of a kind that `check_cache` let pass."""
    if kind in ("plain", "offloaded"):
        return DynamicCache(config=config, offloading=kind == "offloaded")
    return _quantized(kind, config)


def cache_bytes(cache: Cache | None) -> int:
    """Return the bytes of all keys and values that a cache holds."""
    if cache is None:
        return 0
    names = ("keys", "values", "_quantized_keys", "_quantized_values")
    held = (getattr(layer, name, None) for layer in cache.layers for name in names)
    return sum(_bytes(part) for part in held)


def can_cut(cache: Cache) -> bool:
    """Return whether tokens can be taken off a cache's end, however many it has.

    What is stored in fewer bits is one piece; a layer with a sliding window has lost what it would
    have to go back to.
    """
    return cache.is_croppable and not any(cache.is_sliding)


def cache_argument() -> str:
    """Return what this version of the library calls a cache that is handed to a model."""
    known = inspect.signature(GenerationMixin.prepare_inputs_for_generation).parameters
    return "cache" if "cache" in known else "past_key_values"


def _quantized(kind: str, config: PreTrainedConfig) -> Cache:
    return QuantizedCache(backend=kind, config=config)


def _bytes(part: object) -> int:
    if isinstance(part, Tensor):
        return part.nbytes
    if isinstance(part, (tuple, list)):
        return sum(_bytes(one) for one in part)
    return 0


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False
