"""Shapes of well-known language models, to plan with before any weight is fetched.

Source: the models' published config.json files; widths only, no weights.
"""

from pathlib import Path
from typing import Any

from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig
from transformers.configuration_utils import PreTrainedConfig

from videollm.errors import ModelError
from videollm.runtime import quiet_transformers

__all__ = ["LLM_SHAPES", "load_llm_config"]

_QWEN3: dict[str, Any] = {
    "model_type": "qwen3",
    "head_dim": 128,
    "num_key_value_heads": 8,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
}


def _qwen3(hidden: int, layers: int, heads: int, inner: int, *, tied: bool) -> dict[str, Any]:
    return {
        **_QWEN3,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "tie_word_embeddings": tied,
    }


LLM_SHAPES: dict[str, dict[str, Any]] = {
    "qwen3-0.6b": _qwen3(1024, 28, 16, 3072, tied=True),
    "qwen3-1.7b": _qwen3(2048, 28, 16, 6144, tied=True),
    "qwen3-4b": _qwen3(2560, 36, 32, 9728, tied=True),
    "qwen3-8b": _qwen3(4096, 36, 32, 12288, tied=False),
    "qwen3-14b": _qwen3(5120, 40, 40, 17408, tied=False),
}


def load_llm_config(name: str) -> PreTrainedConfig:
    """Return a language model's config, without its weights.

    Args:
        name: One of `LLM_SHAPES`, a config.json or its folder, or a hub name.

    Raises:
        ModelError: There is none, or it is no causal language model's.
    """
    shape = LLM_SHAPES.get(name.lower())
    if shape is not None:
        return AutoConfig.for_model(**shape)
    known = ", ".join(LLM_SHAPES)
    try:
        with quiet_transformers():
            config = AutoConfig.from_pretrained(
                name, local_files_only=Path(name).exists(), trust_remote_code=False
            )
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split()).split(". ")[0]
        raise ModelError(
            f"{name}: no config of a language model ({reason}); give a folder with config.json, a "
            f"hub name, or one of {known}"
        ) from error
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ModelError(f"{name}: a {config.model_type!r} model is no causal language model")
    return config
