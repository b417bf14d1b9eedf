"""VideoMAPForVideoClassification: the encoder with one linear head over a whole clip.

Legend: B batch, L tokens, D width, K classes.
"""

from typing import Any

from torch import Tensor, nn
from transformers.modeling_outputs import ImageClassifierOutputWithNoAttention

from videollm.encoder.config import VideoMAPConfig
from videollm.encoder.videomap import VideoMAPModel, VideoMAPPreTrainedModel

__all__ = ["VideoMAPForVideoClassification"]


class VideoMAPForVideoClassification(VideoMAPPreTrainedModel):
    """Say which of K classes a clip shows.

    The head is linear and reads the encoder's [CLS] token where there is one, the mean over all
    tokens otherwise; there is no further norm between them.

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
        self.head = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

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
        pooled = tokens_BLD[:, 0] if self.config.use_cls_token else tokens_BLD.mean(dim=1)
        logits = self.head(pooled)
        loss = None if labels is None else nn.functional.cross_entropy(logits.float(), labels)
        return ImageClassifierOutputWithNoAttention(
            loss=loss, logits=logits, hidden_states=encoded.hidden_states
        )
