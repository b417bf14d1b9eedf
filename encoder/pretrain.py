"""Pretraining by masked autoregression, frame by frame, and visible alignment.

The encoder reads visible tokens only. A decoder then predicts the teacher's features of every
token of frame t from the encoded visible tokens of frames before t (frame 0: its own), and
linear heads align the visible tokens themselves with the teacher. Decoding by token, in raster
order, is there to compare with. A bidirectional encoder lets later frames into earlier tokens,
so its predictions are easier than they look; a frame-causal one does not.

Legend: B batch, T token frames, N patches per frame, V visible tokens per frame, D encoder
width, P decoder width, F width of a target.
"""

from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput
from transformers.modeling_utils import PreTrainedModel
from transformers.utils.generic import ModelOutput

from videollm.encoder.config import VideoMAPConfig
from videollm.encoder.decoder import AutoregressiveDecoder
from videollm.encoder.masking import select_visible
from videollm.encoder.pretrain_config import VideoMAPPreTrainingConfig
from videollm.encoder.videomap import VideoMAPModel

__all__ = [
    "PreTrainingOutput",
    "VideoMAPForPreTraining",
    "VideoMAPPreTrainingConfig",
    "cosine_loss",
    "pixel_targets",
]


@dataclass
class PreTrainingOutput(ModelOutput):
    """Losses and predictions of one batch.

    Args:
        loss: (), the weighted sum.
        prediction_loss: (), of the autoregressive decoder.
        alignment_loss: (), of the visible tokens; zero for pixel targets.
        predictions: (B, T, N, F), what the decoder predicts for every token.
    """

    loss: Tensor | None = None
    prediction_loss: Tensor | None = None
    alignment_loss: Tensor | None = None
    predictions: Tensor | None = None


def cosine_loss(predicted: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
    """Return the weighted mean of 2 - 2 cos(predicted, target) over tokens, in [0, 4].

    Args:
        predicted: (..., F).
        target: (..., F).
        weights: (...), at least 0, or None for equal weights.
    """
    cosine = nn.functional.cosine_similarity(predicted.float(), target.float(), dim=-1)
    return _weighted_mean(2.0 - 2.0 * cosine, weights)


def _weighted_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return values.mean()
    return (values * weights).sum() / weights.sum().clamp_min(1e-6)


def pixel_targets(pixel_values: Tensor, config: VideoMAPConfig) -> Tensor:
    """Return every patch's pixels with zero mean and unit variance, (B, T, N, F).

    Args:
        pixel_values: (B, frames, C, height, width).
        config: Patch and tubelet size.

    Source: MAE (arXiv 2111.06377), section 4.1, normalised targets.
    """
    patches = rearrange(
        pixel_values.float(),
        "b (t f) c (h p) (w q) -> b t (h w) (f p q c)",
        f=config.tubelet_size,
        p=config.patch_size,
        q=config.patch_size,
    )
    mean = patches.mean(dim=-1, keepdim=True)
    variance = patches.var(dim=-1, keepdim=True)
    return (patches - mean) / (variance + 1e-6).sqrt()


def instance_norm(features: Tensor) -> Tensor:
    """Return features (B, T, N, F) with zero mean and unit variance over each clip's tokens.

    Source: data2vec (arXiv 2202.03555), section 3.3, normalised targets.
    """
    features = features.float()
    mean = features.mean(dim=(1, 2), keepdim=True)
    variance = features.var(dim=(1, 2), keepdim=True, correction=0)
    return (features - mean) / (variance + 1e-6).sqrt()


class AlignmentHead(nn.Module):
    """A norm and a linear map from one layer's tokens to the teacher's features."""

    def __init__(self, width: int, target_size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, target_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (..., target size) for hidden (..., width) of any float dtype."""
        return self.linear(self.norm(hidden.to(self.linear.weight.dtype)))


class VideoMAPForPreTraining(PreTrainedModel):
    """An encoder with the heads and losses that pretrain it.

    Args:
        config: Objective, decoder and encoder.
    """

    config_class = VideoMAPPreTrainingConfig
    base_model_prefix = "pretraining"
    main_input_name = "pixel_values"
    supports_gradient_checkpointing = True
    _no_split_modules = ["DecoderBlock"]

    def __init__(self, config: VideoMAPPreTrainingConfig) -> None:
        super().__init__(config)
        assert config.target_dim is not None
        assert isinstance(config.encoder_config, VideoMAPConfig)
        self.encoder = VideoMAPModel(config.encoder_config)
        width = self.encoder.config.hidden_size
        self.decoder = AutoregressiveDecoder(
            input_size=width,
            hidden_size=config.decoder_hidden_size,
            target_size=config.target_dim,
            num_layers=config.decoder_layers,
            num_heads=config.decoder_attention_heads,
            context=config.decoder_context,
            decoding=config.decoding,
        )
        self.aligns = config.target_type == "features" and config.alignment_weight > 0
        self.alignment_heads = nn.ModuleList(
            AlignmentHead(width, config.target_dim)
            for _ in (config.alignment_layers if self.aligns else ())
        )
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the encoder's patch embedding."""
        return self.encoder.get_input_embeddings()

    def _init_weights(self, module: nn.Module) -> None:
        if module is self.decoder:
            self.decoder.init_weights()
        else:
            super()._init_weights(module)

    def forward(
        self,
        pixel_values: Tensor,
        targets: Tensor | None = None,
        target_weights: Tensor | None = None,
        visible: Tensor | None = None,
        **kwargs: Any,
    ) -> PreTrainingOutput:
        """Return the losses of one batch.

        Args:
            pixel_values: (B, frames, C, height, width), float, normalised.
            targets: (B, T, N, F), a teacher's features; None (and only then) for pixels.
            target_weights: (B, T, N), how much each token counts; None: equally.
            visible: (B, T, N) bool, tokens that the encoder sees; None: all.
            kwargs: Ignored switches that the library passes to every model.

        Raises:
            ValueError: Targets are missing, or given for pixels, or of another shape; or all
                tokens are visible where masked ones alone are scored.
        """
        targets = self._checked_targets(pixel_values, targets)
        if visible is None:
            visible = torch.ones(targets.shape[:3], dtype=torch.bool, device=targets.device)
        layers = self.config.alignment_layers if self.aligns else ()
        encoded = self.encoder(
            pixel_values, visible=visible, output_hidden_states=any(i >= 0 for i in layers)
        )
        num_frames = visible.shape[1]
        memory = rearrange(encoded.last_hidden_state, "b (t v) d -> b t v d", t=num_frames)
        predictions = self.decoder(
            memory, visible, pixel_values.shape[-1] // self.encoder.config.patch_size
        )
        prediction_loss = self._prediction_loss(predictions, targets, target_weights, visible)
        alignment_loss = prediction_loss.new_zeros(())
        if self.aligns:
            alignment_loss = self._alignment_loss(encoded, targets, target_weights, visible)
        loss = (
            self.config.prediction_weight * prediction_loss
            + self.config.alignment_weight * alignment_loss
        )
        return PreTrainingOutput(
            loss=loss,
            prediction_loss=prediction_loss.detach(),
            alignment_loss=alignment_loss.detach(),
            predictions=predictions,
        )

    def _checked_targets(self, pixel_values: Tensor, targets: Tensor | None) -> Tensor:
        if self.config.target_type == "pixels":
            if targets is not None:
                raise ValueError("target_type is 'pixels': the model makes its own targets")
            assert isinstance(self.encoder.config, VideoMAPConfig)
            return pixel_targets(pixel_values, self.encoder.config)
        if targets is None:
            raise ValueError("target_type is 'features': give targets (B, T, N, F)")
        if targets.shape[-1] != self.config.target_dim:
            raise ValueError(
                f"targets are {targets.shape[-1]} wide; this model was made for "
                f"{self.config.target_dim}"
            )
        return instance_norm(targets) if self.config.target_norm == "instance" else targets

    def _prediction_loss(
        self, predictions: Tensor, targets: Tensor, weights: Tensor | None, visible: Tensor
    ) -> Tensor:
        if self.config.decoding == "token":
            hidden = (~visible).to(targets.dtype)
            if not hidden.any():
                raise ValueError(
                    'decoding is "token", which scores masked tokens, and every token is visible: '
                    'keep less than all, or decode by "frame"'
                )
            weights = hidden if weights is None else weights * hidden
        if self.config.target_type == "pixels":
            squared = (predictions.float() - targets).square().mean(dim=-1)
            return _weighted_mean(squared, weights)
        return cosine_loss(predictions, targets, weights)

    def _alignment_loss(
        self, encoded: BaseModelOutput, targets: Tensor, weights: Tensor | None, visible: Tensor
    ) -> Tensor:
        """Return the mean over aligned layers of the loss on visible tokens."""
        wanted = select_visible(targets, visible)
        counted = None
        if weights is not None:
            counted = select_visible(weights[..., None], visible)[..., 0]
        losses = []
        for layer, head in zip(self.config.alignment_layers, self.alignment_heads, strict=True):
            hidden = encoded.last_hidden_state
            if layer != -1:
                assert encoded.hidden_states is not None
                hidden = encoded.hidden_states[layer]
            aligned = rearrange(head(hidden), "b (t v) f -> b t v f", t=visible.shape[1])
            losses.append(cosine_loss(aligned, wanted, counted))
        return torch.stack(losses).mean()
