"""Teachers: frozen image models whose features of each frame pretraining predicts.

Any CLIP or SigLIP vision model in the library's format serves. It sees every tubelet's middle
frame alone, scaled so that its patches lie on the encoder's, and gives a feature of unit length
for each patch and how much it looks at each.

Legend: B batch, T frames, S tubelets (T / tubelet size), G patches of a side, N = G * G,
F width of a feature.
"""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    CLIPVisionModelWithProjection,
    PreTrainedModel,
    SiglipVisionModel,
)
from transformers.image_processing_base import ImageProcessingMixin
from transformers.utils.constants import (
    IMAGENET_STANDARD_MEAN,
    IMAGENET_STANDARD_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
)

__all__ = ["Teacher", "TeacherOutput"]

logger = logging.getLogger(__name__)

_KINDS: dict[str, tuple[type[PreTrainedModel], Sequence[float], Sequence[float]]] = {
    "clip": (CLIPVisionModelWithProjection, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD),
    "siglip": (SiglipVisionModel, IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD),
}
"""Class, mean and deviation by model type; a type may end in "_vision_model"."""


class TeacherOutput(NamedTuple):
    """What a teacher says of a clip.

    Args:
        features: (B, S, N, F), of unit length.
        attention: (B, S, N), how much it looks at each patch; proportions inside a frame count.
    """

    features: Tensor
    attention: Tensor


class Teacher(nn.Module):
    """A frozen CLIP or SigLIP vision model over an encoder's grid.

    Features are those of the last layer after the last norm, projected into the space shared
    with text where the model has a projection. Attention is the last layer's from [CLS], the
    mean over heads, or that of SigLIP's pooling head, which has no [CLS].

    Args:
        model: `CLIPVisionModelWithProjection` or `SiglipVisionModel`, with eager attention.
        mean: What it subtracts from RGB in [0, 1], for each channel.
        std: What it divides by, for each channel.
        grid_size: Patches G of a side that are wanted.
        tubelet_size: Frames that share one feature.

    Source: UMT (arXiv 2303.16058), section 3; OpenGVLab/VideoMamba
    `videomamba/video_sm/engines/engine_for_pretraining_videomamba.py`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        grid_size: int,
        tubelet_size: int,
    ) -> None:
        super().__init__()
        self.model: Any = model.eval().requires_grad_(False)
        self.grid_size = grid_size
        self.tubelet_size = tubelet_size
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    @classmethod
    def from_pretrained(
        cls, name: str, *, grid_size: int, tubelet_size: int, dtype: torch.dtype = torch.float32
    ) -> "Teacher":
        """Load a teacher by folder or hub name.

        Args:
            name: Of a CLIP or SigLIP model, whole or its vision half.
            grid_size: Patches G of a side that are wanted.
            tubelet_size: Frames that share one feature.
            dtype: Of its weights.

        Raises:
            ValueError: The model is of another type, or lacks weights.
            OSError: There is no such model, or none in safetensors.
        """
        config = AutoConfig.from_pretrained(name)
        kind = config.model_type.removesuffix("_vision_model")
        if kind not in _KINDS:
            raise ValueError(
                f"teacher {name} is of type {config.model_type!r}; allowed: {', '.join(_KINDS)} "
                "(a whole model or its vision half)"
            )
        loader, mean, std = _KINDS[kind]
        loaded: Any = loader.from_pretrained(
            name,
            dtype=dtype,
            attn_implementation="eager",  # no other returns where it looks
            use_safetensors=True,
            output_loading_info=True,
        )
        model, info = loaded
        missing = set(info["missing_keys"]) - {"visual_projection.weight"}
        if missing:
            raise ValueError(f"teacher {name} lacks the weights {', '.join(sorted(missing)[:3])}")
        if "visual_projection.weight" in info["missing_keys"]:
            logger.info("teacher %s has no projection: its last layer is the target", name)
            model.visual_projection = nn.Identity()
        mean, std = _normalisation(name, mean, std)
        return cls(model, mean=mean, std=std, grid_size=grid_size, tubelet_size=tubelet_size)

    @property
    def feature_size(self) -> int:
        """Width F of a feature."""
        if isinstance(projection := getattr(self.model, "visual_projection", None), nn.Linear):
            return projection.out_features
        size: int = self.model.config.hidden_size
        return size

    @property
    def can_guide(self) -> bool:
        """Whether it tells where it looks; without a pooling head, SigLIP looks evenly."""
        return not isinstance(self.model, SiglipVisionModel) or self.model.use_head

    @torch.no_grad()
    def forward(self, pixel_values: Tensor) -> TeacherOutput:
        """Look at the middle frame of every tubelet.

        Args:
            pixel_values: (B, T, 3, height, width), float, in [-1, 1] as
                `videollm.transforms.preprocess_frames` gives them.
        """
        batch, tubelet = len(pixel_values), self.tubelet_size
        frames = pixel_values[:, tubelet // 2 :: tubelet].flatten(0, 1).float()
        side = self.grid_size * self.model.config.patch_size
        frames = nn.functional.interpolate(
            frames, size=(side, side), mode="bicubic", antialias=True, align_corners=False
        )
        frames = ((0.5 * frames + 0.5).clamp(0, 1) - self.mean) / self.std
        frames = frames.to(self.model.dtype)
        if isinstance(self.model, SiglipVisionModel):
            features, attention = self._look_siglip(frames)
        else:
            features, attention = self._look_clip(frames)
        features = nn.functional.normalize(features.float(), dim=-1)
        return TeacherOutput(
            rearrange(features, "(b s) n f -> b s n f", b=batch),
            rearrange(attention.float(), "(b s) n -> b s n", b=batch),
        )

    def _look_clip(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        vision = self.model.vision_model
        weights: list[Tensor] = []

        def keep(module: nn.Module, inputs: Any, outputs: tuple[Tensor, Tensor]) -> None:  # noqa: ANN401
            weights.append(outputs[1])

        # The library would keep every layer's; the last one's are wanted alone.
        handle = vision.encoder.layers[-1].self_attn.register_forward_hook(keep)
        try:
            hidden = vision(frames, interpolate_pos_encoding=True).last_hidden_state
        finally:
            handle.remove()
        features = self.model.visual_projection(vision.post_layernorm(hidden[:, 1:]))
        return features, weights[0][:, :, 0, 1:].mean(dim=1)

    def _look_siglip(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        features = self.model(frames, interpolate_pos_encoding=True).last_hidden_state
        if not self.model.use_head:
            return features, features.new_ones(features.shape[:2])
        head = self.model.head
        probe = head.probe.expand(len(frames), -1, -1)
        _, weights = head.attention(probe, features, features)
        return features, weights[:, 0]


def _normalisation(
    name: str, mean: Sequence[float], std: Sequence[float]
) -> tuple[Sequence[float], Sequence[float]]:
    """Return the model's own mean and deviation, where its folder tells them."""
    try:
        told, _ = ImageProcessingMixin.get_image_processor_dict(name)
    except OSError:
        logger.info("%s has no preprocessor_config.json: its type's usual mean is taken", name)
        return mean, std
    return told.get("image_mean", mean), told.get("image_std", std)
