"""Configuration of the VideoMAP encoder, its layer pattern and its presets.

One config expresses every ablation: the pattern "MMMMT" (four Mamba layers to one Transformer
layer) is VideoMAP, "M" is VideoMamba, "T" a ViT, "MMMT" MAP's ratio.
"""

from typing import Any, ClassVar, Literal

from transformers.configuration_utils import PreTrainedConfig

from videollm.encoder.auto import register_config, register_encoder_models

__all__ = [
    "FORMAT_VERSION",
    "VideoMAPConfig",
    "base_config",
    "demo_config",
    "large_config",
    "middle_config",
    "reject_unknown_fields",
    "small_config",
    "tiny_config",
]

FORMAT_VERSION = 1

# What transformers itself passes through a config's constructor beside its declared fields.
_LIBRARY_FIELDS = frozenset(
    {
        "_attn_implementation_internal",
        "_commit_hash",
        "_experts_implementation_internal",
        "_name_or_path",
        "attn_implementation",
        "auto_map",
        "experts_implementation",
        "model_type",
        "name_or_path",
        "num_labels",
        "output_attentions",
        "tie_word_embeddings",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    }
)

_POSITIVE_FIELDS = (
    "image_size",
    "patch_size",
    "num_channels",
    "tubelet_size",
    "hidden_size",
    "num_layers",
    "state_size",
    "conv_kernel",
    "expand",
    "num_attention_heads",
    "num_frames",
)


def reject_unknown_fields(config: PreTrainedConfig, extra: dict[str, Any]) -> None:
    """Raise if a config was given a field that it does not have.

    transformers keeps unknown keyword arguments as attributes, so that a misspelt field would
    pass in silence.

    Args:
        config: The config being built; its class names the allowed fields.
        extra: Keyword arguments that are not declared fields.

    Raises:
        ValueError: A field is neither declared nor one of the library's own.
    """
    unknown = sorted(set(extra) - _LIBRARY_FIELDS)
    if unknown:
        allowed = ", ".join(sorted(type(config).__annotations__))
        raise ValueError(
            f"{type(config).__name__} has no field {', '.join(unknown)}; its fields are {allowed}"
        )


class VideoMAPConfig(PreTrainedConfig):
    """Shape and mode of a VideoMAP encoder.

    Args:
        image_size: Height and width that the spatial position table is made for, in pixels.
        patch_size: Side of a square patch, in pixels.
        num_channels: Colour channels of the input.
        tubelet_size: Frames that one patch token covers.
        hidden_size: Width D of the residual stream.
        num_layers: Layers in all; `layer_pattern` is tiled over them.
        layer_pattern: One letter a layer: "M" Mamba, "T" Transformer.
        state_size: States S of a Mamba channel.
        conv_kernel: Taps of the causal convolution before the scan.
        expand: Inner width of a Mamba layer as a multiple of `hidden_size`.
        dt_rank: Rank of the step-size projection; None means hidden_size / 16, rounded up.
        num_attention_heads: Heads of a Transformer layer; divides `hidden_size`.
        mlp_ratio: Hidden width of a Transformer layer's MLP as a multiple of `hidden_size`.
        drop_path_rate: Stochastic depth of the last layer; rises linearly from 0, in [0, 1).
        scan_mode: "bidirectional" reads whole clips; "frame_causal" can stream.
        attention_window: Frames that attention sees, the present one included; None is all
            (bidirectional only). "auto" means 8 for frame_causal, None otherwise.
        temporal_position: "learned" table or "rotary" (unlimited length). "auto" means rotary
            for frame_causal, learned otherwise.
        use_cls_token: Prepend one [CLS] token for the whole video (bidirectional only).
        num_frames: Length of the learned temporal table, in frames of input.
        rotary_theta: Base of the rotary frequencies over frames.
        norm_eps: Epsilon of the RMS norms.
        initializer_range: Standard deviation of linear weights.
        classifier_pooling: What a classifier's head reads: "mean" (over all tokens; [CLS] alone
            where there is one) or "attention" (a learned query reads them all).
        format_version: Version of this file format.

    Raises:
        ValueError: A field is unknown, out of its range, or contradicts `scan_mode`.

    Source: VideoMAP (arXiv 2503.12332) for the 4:1 pattern; OpenGVLab/VideoMamba for the sizes.
    """

    model_type: ClassVar[str] = "videomap"

    image_size: int = 224
    patch_size: int = 16
    num_channels: int = 3
    tubelet_size: int = 1
    hidden_size: int = 192
    num_layers: int = 30
    layer_pattern: str = "MMMMT"
    state_size: int = 16
    conv_kernel: int = 4
    expand: int = 2
    dt_rank: int | None = None
    num_attention_heads: int = 3
    mlp_ratio: float = 4.0
    drop_path_rate: float = 0.0
    scan_mode: Literal["bidirectional", "frame_causal"] = "bidirectional"
    attention_window: int | str | None = "auto"
    temporal_position: Literal["auto", "learned", "rotary"] = "auto"
    use_cls_token: bool = False
    num_frames: int = 8
    rotary_theta: float = 100.0
    norm_eps: float = 1e-5
    initializer_range: float = 0.02
    classifier_pooling: Literal["mean", "attention"] = "mean"
    format_version: int = FORMAT_VERSION

    def __post_init__(self, **kwargs: Any) -> None:
        """Resolve the automatic fields and refuse contradictions."""
        reject_unknown_fields(self, kwargs)
        register_encoder_models()
        causal = self.scan_mode == "frame_causal"
        if self.attention_window == "auto":
            self.attention_window = 8 if causal else None
        if self.temporal_position == "auto":
            self.temporal_position = "rotary" if causal else "learned"
        if self.dt_rank is None:
            self.dt_rank = -(-self.hidden_size // 16)
        super().__post_init__(**kwargs)
        self._check_sizes()
        self._check_mode()
        if self.format_version > FORMAT_VERSION:
            raise ValueError(
                f"format_version is {self.format_version}, this version reads up to "
                f"{FORMAT_VERSION}: install a newer videollm"
            )

    @property
    def num_hidden_layers(self) -> int:
        """Number of layers, under the library's name for it."""
        return self.num_layers

    @property
    def layer_kinds(self) -> str:
        """One letter a layer: the pattern tiled over `num_layers`."""
        repeats = -(-self.num_layers // len(self.layer_pattern))
        return (self.layer_pattern * repeats)[: self.num_layers]

    @property
    def inner_size(self) -> int:
        """Inner width E of a Mamba layer."""
        return self.expand * self.hidden_size

    @property
    def grid_size(self) -> int:
        """Patches along one side of an `image_size` picture."""
        return self.image_size // self.patch_size

    def _check_sizes(self) -> None:
        for name in _POSITIVE_FIELDS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.image_size % self.patch_size:
            raise ValueError(
                f"image_size is {self.image_size}; it must be a multiple of patch_size "
                f"{self.patch_size}"
            )
        if not self.layer_pattern or set(self.layer_pattern) - {"M", "T"}:
            raise ValueError(
                f"layer_pattern is {self.layer_pattern!r}; it takes the letters M (Mamba) and "
                "T (Transformer), for example MMMMT"
            )
        head_size, remainder = divmod(self.hidden_size, self.num_attention_heads)
        if remainder or head_size % 2:
            raise ValueError(
                f"hidden_size {self.hidden_size} over num_attention_heads "
                f"{self.num_attention_heads} must be an even whole number"
            )
        if not 0.0 <= self.drop_path_rate < 1.0:
            raise ValueError(f"drop_path_rate is {self.drop_path_rate}; it must be in [0, 1)")

    def _check_mode(self) -> None:
        window = self.attention_window
        if self.scan_mode == "bidirectional":
            if window is not None:
                raise ValueError(
                    f"attention_window is {window}; bidirectional mode attends to all frames: "
                    "leave it None, or use scan_mode='frame_causal'"
                )
            return
        if not isinstance(window, int) or window < 1:
            raise ValueError(
                f"attention_window is {window!r}; frame_causal mode needs a whole number of "
                "frames, at least 1 (8 is the default)"
            )
        if self.temporal_position != "rotary":
            raise ValueError(
                f"temporal_position is {self.temporal_position!r}; frame_causal mode has no "
                "last frame and needs 'rotary'"
            )
        if self.use_cls_token:
            raise ValueError(
                "use_cls_token is True; frame_causal mode has no place for one token of the "
                "whole video: leave it False (heads take the mean over tokens)"
            )


def _preset(defaults: dict[str, Any], overrides: dict[str, Any]) -> VideoMAPConfig:
    return VideoMAPConfig(**{**defaults, **overrides})


def tiny_config(**overrides: Any) -> VideoMAPConfig:
    """Return the tiny preset: width 192, 24 Mamba and 6 Transformer layers."""
    return _preset({"hidden_size": 192, "num_layers": 30, "num_attention_heads": 3}, overrides)


def small_config(**overrides: Any) -> VideoMAPConfig:
    """Return the small preset: width 384, 24 Mamba and 6 Transformer layers."""
    return _preset({"hidden_size": 384, "num_layers": 30, "num_attention_heads": 6}, overrides)


def middle_config(**overrides: Any) -> VideoMAPConfig:
    """Return the middle preset: width 576, 32 Mamba and 8 Transformer layers.

    Its Mamba layers have the sizes of VideoMamba-M.
    """
    return _preset({"hidden_size": 576, "num_layers": 40, "num_attention_heads": 9}, overrides)


def base_config(**overrides: Any) -> VideoMAPConfig:
    """Return the base preset: width 768, 24 Mamba and 6 Transformer layers."""
    return _preset({"hidden_size": 768, "num_layers": 30, "num_attention_heads": 12}, overrides)


def large_config(**overrides: Any) -> VideoMAPConfig:
    """Return the large preset: width 1024, 48 Mamba and 12 Transformer layers."""
    return _preset({"hidden_size": 1024, "num_layers": 60, "num_attention_heads": 16}, overrides)


def demo_config(**overrides: Any) -> VideoMAPConfig:
    """Return the preset of the released demo model: 64-pixel frames in pairs, frame-causal."""
    defaults = {
        "image_size": 64,
        "patch_size": 8,
        "tubelet_size": 2,
        "hidden_size": 192,
        "num_layers": 5,
        "num_attention_heads": 6,
        "num_frames": 16,
        "scan_mode": "frame_causal",
    }
    return _preset(defaults, overrides)


register_config(VideoMAPConfig)
