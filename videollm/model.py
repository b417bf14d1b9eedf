"""VideoLLMForConditionalGeneration: encoder, projector and language model as one HF model.

Legend: B rows of text, V videos of all rows in order, T token frames of a video, N patches per
frame, K visual tokens per frame, D encoder width, H LLM width, L tokens of text.
"""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM
from transformers.cache_utils import Cache
from transformers.generation.utils import GenerationMixin
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.modeling_utils import PreTrainedModel

from videollm.config import VideoLLMConfig, add_video_token
from videollm.encoder.config import VideoMAPConfig
from videollm.encoder.videomap import VideoMAPModel
from videollm.encoding import blank_video, encode_by_length
from videollm.fusion import fuse_visual_tokens
from videollm.llm import load_language_model, load_tokenizer
from videollm.loss import supervised_loss
from videollm.model_folder import load_own_weights, own_weights
from videollm.packing import decode
from videollm.projector import build_projector
from videollm.quantize import is_quantized, mark_quantized, sparing
from videollm.visual_passes import encode_in_step

__all__ = ["VideoLLMForConditionalGeneration"]


class VideoLLMForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """A causal language model that reads videos through the VideoMAP encoder.

    A model made with `config.text_model` uses that language model's weights unchanged: its own
    folder holds encoder and projector only, and `from_pretrained` fetches the rest by name.

    Args:
        config: Encoder, projector and language model.
    """

    config_class = VideoLLMConfig
    base_model_prefix = "videollm"
    main_input_name = "input_ids"
    input_modalities = ["video", "text"]
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    _keep_in_fp32_modules_strict = {"vision_model", "projector"}

    def __init__(self, config: VideoLLMConfig) -> None:
        super().__init__(config)
        self.vision_model = VideoMAPModel(config.vision)
        self.projector = build_projector(config)
        self.language_model = AutoModelForCausalLM.from_config(config.text)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the language model's word embedding."""
        return self.language_model.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """Return the language model's head."""
        return self.language_model.get_output_embeddings()

    def encode_videos(
        self, pixel_values: Tensor, frame_counts: Tensor | None = None
    ) -> list[Tensor]:
        """Return each video's features (T, N, D), see `encode_by_length`.

        Args:
            pixel_values: (V, frames, C, height, width), float; frames beyond a video's own
                count are padding.
            frame_counts: (V,), frames of each video; None: all.
        """
        return encode_by_length(self.vision_model, pixel_values, frame_counts)

    def project(self, features: Tensor, tokens_per_frame: int | None = None) -> Tensor:
        """Return visual tokens (T, K, H) of frames' features (T, N, D); K is the config's."""
        return self.projector(features, tokens_per_frame)

    def embed(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None = None,
        frame_counts: Tensor | None = None,
        video_features: list[Tensor] | None = None,
        tokens_per_frame: int | None = None,
    ) -> Tensor:
        """Return embeddings (B, L, H) of text with its videos in place.

        Args:
            input_ids: (B, L), with placeholders.
            pixel_values: As in `encode_videos`; or
            video_features: what `encode_videos` returned.
            frame_counts: As in `encode_videos`.
            tokens_per_frame: K, in the place of the config's.

        Raises:
            ValueError: Both or mismatched videos are given.
        """
        if pixel_values is not None and video_features is not None:
            raise ValueError("give pixel_values or video_features, not both")
        if pixel_values is not None:
            video_features = self.encode_videos(pixel_values, frame_counts)
        visual = None
        if video_features:
            visual = self.project(torch.cat(video_features), tokens_per_frame).flatten(0, 1)
        embedded = fuse_visual_tokens(
            self.get_input_embeddings(), input_ids, visual, self.config.video_token_id
        )
        if visual is None and self.training:
            # Processes that share weights or gradients wait for each other in these parts.
            [blank] = self.encode_videos(blank_video(self.config.vision).to(embedded.device))
            embedded = embedded + 0 * self.project(blank).sum().to(embedded.dtype)
        return embedded

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        frame_counts: Tensor | None = None,
        video_features: list[Tensor] | None = None,
        cache: Cache | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        frame_seconds: Tensor | None = None,
        tokens_per_frame: int | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Return logits, or for given labels the loss.

        Args:
            input_ids: (B, L), with one placeholder for each visual token.
            attention_mask: (B, L) padding mask, or (B, 1, L, L) bool, true = attend; or for a
                packed row (B = 1) its spans, see `videollm.packing`.
            position_ids: (B, L).
            pixel_values: (V, frames, C, height, width), all rows' videos in order.
            frame_counts: (V,), frames of each video.
            video_features: Instead of pixel_values, what `encode_videos` returned.
            cache: The language model's cache; `past_key_values` in transformers before 5.24.
            past_key_values: Likewise.
            inputs_embeds: (B, L, H), instead of input_ids.
            labels: (B, L), -100 where nothing is supervised. Logits are then computed for
                supervised positions only: (positions, vocabulary), in row order.
            num_items_in_batch: Supervised tokens of the whole batch; the loss is their mean.
            frame_seconds: Not used; the text holds the times.
            tokens_per_frame: As in `embed`.
            kwargs: Passed to the language model.

        Raises:
            ValueError: Placeholders and visual tokens differ in number.
        """
        if inputs_embeds is None:
            if input_ids is None:
                raise ValueError("give input_ids or inputs_embeds")
            if labels is not None and video_features is None:
                video_features = encode_in_step(self.vision_model, pixel_values, frame_counts)
                pixel_values = None
            inputs_embeds = self.embed(
                input_ids, pixel_values, frame_counts, video_features, tokens_per_frame
            )
        if labels is not None:
            hidden = decode(
                self.language_model.get_decoder(), inputs_embeds, attention_mask, position_ids
            )
            loss, logits = supervised_loss(
                hidden, labels, self.get_output_embeddings(), num_items_in_batch
            )
            return CausalLMOutputWithPast(loss=loss, logits=logits)
        kwargs |= {"attention_mask": attention_mask, "position_ids": position_ids}
        caches = {"cache": cache, "past_key_values": past_key_values}.items()
        kwargs |= {name: held for name, held in caches if held is not None}
        return self.language_model(inputs_embeds=inputs_embeds, **kwargs)

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, inputs_embeds: Tensor | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Return one step's inputs; embeddings and videos enter at the first step only."""
        inputs = super().prepare_inputs_for_generation(
            input_ids, inputs_embeds=inputs_embeds, **kwargs
        )
        if not kwargs.get("is_first_iteration", False) and kwargs.get("use_cache", True):
            for name in ("pixel_values", "frame_counts", "video_features", "frame_seconds"):
                inputs.pop(name, None)
        return inputs

    @classmethod
    def from_parts(
        cls,
        encoder: str | os.PathLike[str] | VideoMAPConfig | VideoMAPModel,
        text_model: str,
        *,
        dtype: torch.dtype = torch.float32,
        quantization: object | None = None,
        device: torch.device | str = "cpu",
        **fields: Any,
    ) -> "VideoLLMForConditionalGeneration":
        """Return a model of an encoder and a language model with a fresh projector between.

        Args:
            encoder: A trained encoder or its folder, or a config for a fresh one.
            text_model: Name or path of the language model.
            dtype: Of the language model; encoder and projector are fp32.
            quantization: Of the language model, as `quantization_config` returns it.
            device: Where the language model goes.
            fields: Further fields of `VideoLLMConfig`.

        Raises:
            ModelError: The language model cannot be had.
        """
        if isinstance(encoder, VideoMAPConfig):
            encoder = VideoMAPModel(encoder)
        elif not isinstance(encoder, VideoMAPModel):
            encoder = VideoMAPModel.from_pretrained(encoder, dtype=torch.float32)
        language_model = load_language_model(
            text_model, dtype=dtype, device=device, quantization=quantization
        )
        config = VideoLLMConfig(
            vision_config=encoder.config,
            text_config=language_model.config,
            text_model=text_model,
            video_token_id=add_video_token(load_tokenizer(text_model)),
            **fields,
        )
        model = cls._assemble(config, language_model)
        model.vision_model = encoder
        model.projector = build_projector(config)
        return model

    @classmethod
    def _assemble(
        cls, config: VideoLLMConfig, language_model: PreTrainedModel
    ) -> "VideoLLMForConditionalGeneration":
        """Return a model around a language model, the other parts without memory as yet."""
        with torch.device("meta"):
            model = cls(config)
        model.language_model = language_model
        model.generation_config = language_model.generation_config
        if is_quantized(language_model):
            mark_quantized(model, language_model)
        return model

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *args: Any, **kwargs: Any
    ) -> "VideoLLMForConditionalGeneration":
        """Load a folder or hub name; a language model kept by name is loaded by that name.

        Args:
            pretrained_model_name_or_path: Folder or hub name.
            args: As in transformers.
            kwargs: As in transformers; `dtype` and `quantization_config` are the language
                model's, encoder and projector stay in fp32.

        Raises:
            ModelError: Weights are missing, or the language model cannot be had.
        """
        folder = Path(pretrained_model_name_or_path)
        quantization, config = kwargs.get("quantization_config"), kwargs.get("config")
        if config is None and (folder / "config.json").is_file():
            config = VideoLLMConfig.from_pretrained(folder)
        if config is None or config.text_model is None:
            if quantization is None:
                return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
            spared = ["vision_model", "projector", "lm_head"]
            kwargs["quantization_config"] = sparing(quantization, spared)
            loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
            mark_quantized(loaded, loaded)
            return loaded
        device_map = kwargs.get("device_map") or {}
        language_model = load_language_model(
            config.text_model,
            dtype=kwargs.get("dtype") or torch.float32,
            device=device_map.get("", "cpu"),
            quantization=quantization,
        )
        model = cls._assemble(config, language_model)
        load_own_weights(model, folder)
        return model.eval()

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any
    ) -> None:
        """Write a folder; a language model kept by name is left out, a quantized one refused."""
        named = self.config.text_model is not None
        if kwargs.get("state_dict") is None and (named or is_quantized(self)):
            kwargs["state_dict"] = own_weights(self)
        super().save_pretrained(save_directory, *args, **kwargs)
