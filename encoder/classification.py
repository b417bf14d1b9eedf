"""VideoMAPForVideoClassification: the encoder with one head over a whole clip.

Legend: B batch, L tokens, D width, K classes.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_outputs import ImageClassifierOutputWithNoAttention

from videollm.encoder.config import VideoMAPConfig
from videollm.encoder.videomap import VideoMAPModel, VideoMAPPreTrainedModel

__all__ = ["VideoMAPForVideoClassification"]


class AttentivePooling(nn.Module):
    """One learned query reads all tokens: an attention block, as an attentive probe has it.

    Args:
        size: Width D.
        num_heads: Attention heads.

    Source: V-JEPA (arXiv 2404.08471), section 4.2.
    """

    def __init__(self, size: int, num_heads: int) -> None:
        super().__init__()
        self.query_token = nn.Parameter(torch.zeros(1, 1, size))
        self.norm = nn.LayerNorm(size)
        self.attention = nn.MultiheadAttention(size, num_heads, batch_first=True)
        self.mlp_norm = nn.LayerNorm(size)
        self.mlp = nn.Sequential(nn.Linear(size, 4 * size), nn.GELU(), nn.Linear(4 * size, size))

    def forward(self, tokens_BLD: Tensor) -> Tensor:
        """Return (B, D)."""
        tokens_BLD = self.norm(tokens_BLD.to(self.norm.weight.dtype))
        query = self.query_token.expand(len(tokens_BLD), -1, -1)
        read, _ = self.attention(query, tokens_BLD, tokens_BLD, need_weights=False)
        pooled: Tensor = query + read
        return (pooled + self.mlp(self.mlp_norm(pooled)))[:, 0]


class VideoMAPForVideoClassification(VideoMAPPreTrainedModel):
    """Say which of K classes a clip shows.

    The head is linear and reads the encoder's [CLS] token where there is one, the mean over all
    tokens otherwise, with no further norm between them; or, with `classifier_pooling`
    "attention", what a learned query reads of all tokens.

    Args:
        config: The encoder's config; `num_labels` or `id2label` gives the K classes.

    Raises:
        ValueError: `problem_type` asks for more than one class a clip, or for a number.

    Source: the head of OpenGVLab/VideoMamba `videomamba/video_sm/models/videomamba.py`, which
    knows [CLS] only.
    """

    # The loss is a plain mean: let the trainer average it over accumulated batches.
    accepts_loss_kwargs = False

    def __init__(self, config: VideoMAPConfig) -> None:
        super().__init__(config)
        if config.problem_type not in (None, "single_label_classification"):
            raise ValueError(
                f"problem_type is {config.problem_type!r}; this model tells apart the classes of "
                "single_label_classification only"
            )
        assert config.num_labels is not None
        self.encoder = VideoMAPModel(config)
        self.pooling = None
        if config.classifier_pooling == "attention":
            self.pooling = AttentivePooling(config.hidden_size, config.num_attention_heads)
        self.head = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the encoder's patch embedding."""
        return self.encoder.get_input_embeddings()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, AttentivePooling):
            init.normal_(module.query_token, std=0.02)

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        *,
        output_hidden_states: bool = False,
        **kwargs: Any,
    ) -> ImageClassifierOutputWithNoAttention:
        """Score the classes of whole clips.

        Args:
            pixel_values: (B, frames, C, height, width), float, normalised RGB.
            labels: (B,) int64 in [0, K), or (B, K) float probabilities (mixed clips).
            output_hidden_states: Also return the residual stream after every layer, (B, L, D).
            kwargs: Ignored switches that the library passes to every model.

        Returns:
            logits: (B, K). loss: (), the mean cross-entropy, where labels were given.

        Raises:
            ValueError: A shape does not fit.
        """
        encoded = self.encoder(pixel_values, output_hidden_states=output_hidden_states)
        tokens_BLD = encoded.last_hidden_state
        if self.pooling is not None:
            pooled = self.pooling(tokens_BLD)
        elif self.config.use_cls_token:
            pooled = tokens_BLD[:, 0]
        else:
            pooled = tokens_BLD.mean(dim=1)
        logits = self.head(pooled)
        loss = None if labels is None else nn.functional.cross_entropy(logits.float(), labels)
        return ImageClassifierOutputWithNoAttention(
            loss=loss, logits=logits, hidden_states=encoded.hidden_states
        )
