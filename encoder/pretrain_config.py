"""Configuration of pretraining: the objective and the decoder around an encoder."""

from typing import Any, ClassVar, Literal

from transformers.configuration_utils import PreTrainedConfig, SubConfigSpec

from videollm.encoder.auto import register_config, register_encoder_models
from videollm.encoder.config import FORMAT_VERSION, VideoMAPConfig, reject_unknown_fields

__all__ = ["VideoMAPPreTrainingConfig"]


class VideoMAPPreTrainingConfig(PreTrainedConfig):
    """Objective and decoder around an encoder.

    Args:
        encoder_config: The encoder's own config.
        target_type: "features" of a teacher, or "pixels" (normalised patches; no teacher).
        target_dim: Width F of a teacher's feature; for pixels it follows from the encoder.
        target_norm: Of features: "none", or "instance", each channel with zero mean and unit
            variance over a clip's tokens, so that only what differs within the clip is scored.
        decoder_layers: Blocks of the decoder.
        decoder_hidden_size: Its width P.
        decoder_attention_heads: Its heads.
        decoder_context: Frames that predict frame t: "past" (before t), "previous" (the one
            before t alone) or "past_and_present".
        decoding: "frame" (all tokens of a frame at once) or "token" (in raster order, masked
            tokens scored only; the paper's ablation).
        prediction_weight: Weight of the autoregressive loss.
        alignment_weight: Weight of the visible alignment loss (features only).
        alignment_layers: Layers aligned, -1 being the output after the last norm.
        format_version: Version of this file format.

    Raises:
        ValueError: A field is unknown or out of its range.

    Source: VideoMAP (arXiv 2503.12332) for frame-wise autoregression towards CLIP features;
    UMT (arXiv 2303.16058) for visible alignment; decoder depth as in yunzeliu/MAP; instance
    norm of targets as in data2vec (arXiv 2202.03555), section 3.3.
    """

    model_type: ClassVar[str] = "videomap_pretraining"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "encoder_config": SubConfigSpec(config_class=VideoMAPConfig)
    }

    encoder_config: dict[str, Any] | PreTrainedConfig | None = None
    target_type: Literal["features", "pixels"] = "pixels"
    target_dim: int | None = None
    target_norm: Literal["none", "instance"] = "none"
    decoder_layers: int = 4
    decoder_hidden_size: int = 192
    decoder_attention_heads: int = 6
    decoder_context: Literal["past", "previous", "past_and_present"] = "past"
    decoding: Literal["frame", "token"] = "frame"
    prediction_weight: float = 1.0
    alignment_weight: float = 1.0
    alignment_layers: list[int] | tuple[int, ...] = (-1,)
    initializer_range: float = 0.02
    format_version: int = FORMAT_VERSION

    def __post_init__(self, **kwargs: Any) -> None:
        """Resolve the target width and refuse contradictions."""
        reject_unknown_fields(self, kwargs)
        register_encoder_models()
        super().__post_init__(**kwargs)
        encoder = self.encoder_config
        assert isinstance(encoder, VideoMAPConfig)
        if encoder.use_cls_token:
            raise ValueError("pretraining predicts patch tokens: set use_cls_token to False")
        if self.target_type == "pixels":
            volume = encoder.patch_size**2 * encoder.tubelet_size * encoder.num_channels
            if self.target_dim not in (None, volume):
                raise ValueError(
                    f"target_dim is {self.target_dim}; a patch of this encoder has {volume} "
                    "values: leave it out for pixels"
                )
            self.target_dim = volume
        elif self.target_dim is None:
            raise ValueError("target_dim is missing; give the width of the teacher's features")
        depth = encoder.num_layers
        for layer in self.alignment_layers:
            if not -1 <= layer < depth:
                raise ValueError(
                    f"alignment_layers has {layer}; the encoder has layers 0 to {depth - 1} "
                    "and -1 for its output"
                )
        if self.prediction_weight < 0 or self.alignment_weight < 0:
            raise ValueError("prediction_weight and alignment_weight must not be negative")


register_config(VideoMAPPreTrainingConfig)
