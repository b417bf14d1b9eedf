"""Configuration of the whole VideoLLM: encoder, projector, language model."""

from typing import Any, ClassVar

from transformers import AutoConfig, PreTrainedTokenizerBase
from transformers.configuration_utils import PreTrainedConfig, SubConfigSpec

from videollm.encoder.config import FORMAT_VERSION, VideoMAPConfig, reject_unknown_fields
from videollm.registration import register_videollm_models

__all__ = ["PROJECTOR_TYPES", "VIDEO_TOKEN", "VideoLLMConfig", "add_video_token"]

PROJECTOR_TYPES = ("pool_mlp", "tome_mlp", "resampler", "linear")
VIDEO_TOKEN = "<|video|>"


def add_video_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """Add the placeholder to a tokenizer that lacks it, and return its id."""
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [VIDEO_TOKEN]}, replace_extra_special_tokens=False
    )
    token_id = tokenizer.convert_tokens_to_ids(VIDEO_TOKEN)
    assert isinstance(token_id, int)
    return token_id


class VideoLLMConfig(PreTrainedConfig):
    """How frames become tokens of a language model.

    Args:
        vision_config: The encoder's config.
        text_config: Config of any Hugging Face causal language model.
        text_model: Name or path of the language model whose weights this model uses as they
            are; its folder then holds the encoder and the projector only. None: the folder
            holds all weights.
        projector_type: One of `PROJECTOR_TYPES`.
        tokens_per_frame: Visual tokens K for each token frame, from 1 to the patches of a frame.
        video_token_id: Id that stands for one visual token; may lie beyond the vocabulary of
            the language model, whose embeddings are never asked for it.
        format_version: Version of this file format.

    Raises:
        ValueError: A field is unknown or out of its range.
    """

    model_type: ClassVar[str] = "videollm"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "vision_config": SubConfigSpec(config_class=VideoMAPConfig),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama"),
    }

    vision_config: dict[str, Any] | PreTrainedConfig | None = None
    text_config: dict[str, Any] | PreTrainedConfig | None = None
    text_model: str | None = None
    projector_type: str = "pool_mlp"
    tokens_per_frame: int = 16
    video_token_id: int = 0
    tie_word_embeddings: bool = False
    format_version: int = FORMAT_VERSION

    def __post_init__(self, **kwargs: Any) -> None:
        """Build the sub-configs and refuse contradictions."""
        reject_unknown_fields(self, kwargs)
        register_videollm_models()
        super().__post_init__(**kwargs)
        if self.projector_type not in PROJECTOR_TYPES:
            raise ValueError(
                f"projector_type is {self.projector_type!r}; it is one of "
                f"{', '.join(PROJECTOR_TYPES)}"
            )
        num_patches = self.vision.grid_size**2
        if not 1 <= self.tokens_per_frame <= num_patches:
            raise ValueError(
                f"tokens_per_frame is {self.tokens_per_frame}; a frame has {num_patches} patches: "
                "give 1 to that many"
            )
        if self.vision.use_cls_token:
            raise ValueError("an encoder with a [CLS] token has no place here: it must be off")
        if self.format_version > FORMAT_VERSION:
            raise ValueError(
                f"format_version is {self.format_version}, this version reads up to "
                f"{FORMAT_VERSION}: install a newer videollm"
            )

    @property
    def max_tokens_per_frame(self) -> int:
        """The most visual tokens that the projector can make of a token frame."""
        fixed = self.projector_type == "resampler"
        return self.tokens_per_frame if fixed else self.vision.grid_size**2

    @property
    def vision(self) -> VideoMAPConfig:
        """The encoder's config, typed."""
        assert isinstance(self.vision_config, VideoMAPConfig)
        return self.vision_config

    @property
    def text(self) -> PreTrainedConfig:
        """The language model's config, typed."""
        assert isinstance(self.text_config, PreTrainedConfig)
        return self.text_config


AutoConfig.register(VideoLLMConfig.model_type, VideoLLMConfig, exist_ok=True)
