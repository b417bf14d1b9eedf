"""VideoMAPModel: patch features of a whole clip, or chunk by chunk with an explicit state.

Legend: B batch, T token frames (frames / tubelet size), N patches per frame, D width,
L = T * N (+ 1 with a [CLS] token).
"""

import math
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput
from transformers.modeling_utils import PreTrainedModel

from videollm.encoder.block import MambaLayer, RMSNorm, TransformerLayer
from videollm.encoder.config import VideoMAPConfig
from videollm.encoder.embed import PatchEmbedding
from videollm.encoder.footprint import MemoryEstimate, estimate_memory
from videollm.encoder.mamba import MambaMixer, ScanDirection, TokenGrid
from videollm.encoder.masking import select_visible
from videollm.encoder.state import VideoMAPState

__all__ = ["VideoMAPModel", "VideoMAPPreTrainedModel"]

_LAYERS = {"M": MambaLayer, "T": TransformerLayer}
# Range of the step sizes that a new layer starts with (state-spaces/mamba's defaults).
_MIN_STEP, _MAX_STEP, _STEP_FLOOR = 1e-3, 1e-1, 1e-4
_CHUNK_FRAMES = 32


class VideoMAPPreTrainedModel(PreTrainedModel):
    """What all VideoMAP models share: config class, initial weights, checkpointing."""

    config_class = VideoMAPConfig
    base_model_prefix = "encoder"
    main_input_name = "pixel_values"
    input_modalities = ["video"]
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ScanDirection):
            _init_scan(module)
        elif isinstance(module, MambaMixer):
            depth = self.config.num_layers
            init.normal_(module.out_proj.weight, std=0.02 / math.sqrt(depth))
        elif isinstance(module, PatchEmbedding):
            init.trunc_normal_(module.spatial_table, std=0.02)
            if module.temporal_table is not None:
                init.zeros_(module.temporal_table)


def _init_scan(module: ScanDirection) -> None:
    """Start like Mamba: A = -(1 .. S), D = 1, log-uniform steps in [1e-3, 1e-1]."""
    inner, states = module.A_log.shape
    steps = torch.empty(inner).uniform_(math.log(_MIN_STEP), math.log(_MAX_STEP)).exp_()
    steps = steps.clamp_(min=_STEP_FLOOR)
    init.copy_(module.dt_proj.bias, steps + torch.log(-torch.expm1(-steps)))
    bound = module.dt_rank**-0.5
    init.uniform_(module.dt_proj.weight, -bound, bound)
    init.copy_(module.A_log, torch.arange(1, states + 1).float().log().expand(inner, states))
    init.ones_(module.D)
    bound = module.conv_weight.shape[1] ** -0.5
    init.uniform_(module.conv_weight, -bound, bound)
    init.zeros_(module.conv_bias)


class VideoMAPModel(VideoMAPPreTrainedModel):
    """The VideoMAP encoder: a stack of Mamba and Transformer layers over patch tokens.

    Args:
        config: Sizes, layer pattern and scan mode.

    Source: VideoMAP (arXiv 2503.12332); the frame-causal mode, which streams exactly, is ours.
    """

    def __init__(self, config: VideoMAPConfig) -> None:
        super().__init__(config)
        self.embed = PatchEmbedding(config)
        self.cls_token: nn.Parameter | None = None
        if config.use_cls_token:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        rates = torch.linspace(0.0, config.drop_path_rate, config.num_layers, device="cpu").tolist()
        self.layers = nn.ModuleList(
            _LAYERS[kind](config, drop_path_rate=rate)
            for kind, rate in zip(config.layer_kinds, rates, strict=True)
        )
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        # Only kinds that there are: sharding refuses names that it does not find.
        self._no_split_modules = sorted({type(layer).__name__ for layer in self.layers})
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the patch embedding, which sharding (FSDP) makes a unit of its own."""
        return self.embed

    def forward(
        self,
        pixel_values: Tensor,
        *,
        visible: Tensor | None = None,
        output_hidden_states: bool = False,
        **kwargs: Any,
    ) -> BaseModelOutput:
        """Encode whole clips.

        Args:
            pixel_values: (B, frames, C, height, width), float, normalised RGB.
            visible: (B, T, N) bool, tokens to read; the same number in every frame. None: all.
            output_hidden_states: Also return the residual stream after every layer.
            kwargs: Ignored switches that the library passes to every model.

        Returns:
            last_hidden_state: (B, L, D) after the last norm, frame by frame, raster order
            inside a frame, the [CLS] token first where there is one.

        Raises:
            ValueError: A shape does not fit, or frames have unequal numbers of visible tokens.
        """
        hidden, grid = self._tokens(pixel_values, visible=visible)
        kept: list[Tensor] = []
        for layer in self.layers:
            hidden, _ = layer(hidden, grid)
            if output_hidden_states:
                kept.append(hidden)
        return BaseModelOutput(
            last_hidden_state=self.norm(hidden),
            hidden_states=tuple(kept) if output_hidden_states else None,
        )

    def encode(
        self, pixel_values: Tensor, state: VideoMAPState | None = None
    ) -> tuple[Tensor, VideoMAPState]:
        """Read the next chunk of a video (frame-causal mode).

        Chunk by chunk gives the same features as all at once, and the state's size does not
        depend on the frames read. The given state is left as it was.

        Args:
            pixel_values: (B, frames, C, height, width), float; frames is a multiple of the
                tubelet size.
            state: What the chunk before returned; None at the start of a video.

        Returns:
            Features (B, T, N, D) of this chunk, and the state after it.

        Raises:
            ValueError: The mode is bidirectional, a shape does not fit, or the state is of
                another video.
        """
        self._require_frame_causal()
        first_frame = state.frames_seen if state is not None else 0
        hidden, grid = self._tokens(pixel_values, first_frame=first_frame)
        if state is None:
            state = self._initial_state(hidden, grid)
        state.check(len(self.layers), hidden.shape[0], grid.tokens_per_frame)
        next_states = []
        for layer, layer_state in zip(self.layers, state.layers, strict=True):
            hidden, next_state = layer(hidden, grid, layer_state)
            next_states.append(next_state)
        features = rearrange(self.norm(hidden), "b (t n) d -> b t n d", t=grid.num_frames)
        return features, VideoMAPState(
            layers=tuple(next_states), frames_seen=first_frame + grid.num_frames
        )

    @torch.no_grad()
    def encode_chunked(self, pixel_values: Tensor, *, chunk_frames: int | None = None) -> Tensor:
        """Encode whole clips in the memory of one chunk (frame-causal mode, no gradients).

        Args:
            pixel_values: (B, frames, C, height, width), float, on any device: each chunk is
                brought to the model's.
            chunk_frames: Frames read at once, a multiple of the tubelet size; None: about 32.
                The result does not depend on it, beyond the last digits.

        Returns:
            Features (B, T, N, D), as the model gives them for the whole clip.

        Raises:
            ValueError: The mode is bidirectional, or a shape or `chunk_frames` does not fit.
        """
        tubelet = self.config.tubelet_size
        if chunk_frames is None:
            chunk_frames = max(1, _CHUNK_FRAMES // tubelet) * tubelet
        self._check_chunks(chunk_frames)
        self.embed.check(pixel_values.shape)
        features: Tensor | None = None
        state: VideoMAPState | None = None
        for chunk in pixel_values.split(chunk_frames, dim=1):
            start = state.frames_seen if state is not None else 0
            part, state = self.encode(chunk.to(self.device), state)
            if features is None:
                num_frames = pixel_values.shape[1] // tubelet
                features = part.new_empty(part.shape[0], num_frames, *part.shape[2:])
            features[:, start : state.frames_seen] = part
            del part
        assert features is not None
        return features

    def estimate_memory(
        self,
        num_frames: int,
        *,
        height: int | None = None,
        width: int | None = None,
        batch_size: int = 1,
        dtype: torch.dtype | None = None,
        training: bool = False,
        chunk_frames: int | None = None,
        gradient_checkpointing: bool = False,
    ) -> MemoryEstimate:
        """Return the bytes held at the peak, by part, without running the model.

        The formula adds up the tensors that the layers hold; `footprint.py` names them. It stands
        for compiled scans and fused attention.

        Args:
            num_frames: Frames of a clip.
            height: In pixels; None: the config's `image_size`.
            width: Likewise.
            batch_size: Clips.
            dtype: Of weights and pixels; None: the model's.
            training: A forward and a backward pass, without the optimizer's own state; otherwise
                a pass without gradients.
            chunk_frames: As in `encode_chunked`; None: the model called on the whole clip.
            gradient_checkpointing: Layers are computed again on the way back.

        Raises:
            ValueError: A number does not fit, or the arguments contradict each other.
        """
        side = self.config.image_size
        sizes = (side if size is None else size for size in (height, width))
        shape = (batch_size, num_frames, self.config.num_channels, *sizes)
        self.embed.check(shape)
        if chunk_frames is not None:
            self._check_chunks(chunk_frames)
        assert isinstance(self.config, VideoMAPConfig)
        return estimate_memory(
            self.config,
            shape,
            num_weights=self.num_parameters(),
            dtype=dtype or self.dtype,
            training=training,
            chunk_frames=chunk_frames,
            gradient_checkpointing=gradient_checkpointing,
        )

    def _check_chunks(self, chunk_frames: int) -> None:
        self._require_frame_causal()
        tubelet = self.config.tubelet_size
        if chunk_frames < 1 or chunk_frames % tubelet:
            raise ValueError(
                f"chunk_frames is {chunk_frames}; it must be a positive multiple of the tubelet "
                f"size {tubelet}"
            )

    def _require_frame_causal(self) -> None:
        if self.config.scan_mode != "frame_causal":
            raise ValueError(
                f"scan_mode is {self.config.scan_mode!r}; only 'frame_causal' encoders read a "
                "video in chunks: call the model on the whole clip instead"
            )

    def _initial_state(self, hidden: Tensor, grid: TokenGrid) -> VideoMAPState:
        layers = []
        for layer in self.layers:
            assert isinstance(layer, (MambaLayer, TransformerLayer))
            layers.append(layer.initial_state(hidden, grid))
        return VideoMAPState(layers=tuple(layers), frames_seen=0)

    def _tokens(
        self, pixel_values: Tensor, *, visible: Tensor | None = None, first_frame: int = 0
    ) -> tuple[Tensor, TokenGrid]:
        """Return the residual stream (B, L, D) before the first layer, and its layout."""
        tokens_BTND = self.embed(pixel_values)
        if visible is not None:
            tokens_BTND = select_visible(tokens_BTND, visible)
        grid = TokenGrid(
            num_frames=tokens_BTND.shape[1],
            tokens_per_frame=tokens_BTND.shape[2],
            num_prefix=int(self.cls_token is not None),
            first_frame=first_frame,
        )
        hidden = rearrange(tokens_BTND, "b t n d -> b (t n) d")
        if self.cls_token is not None:
            hidden = torch.cat([self.cls_token.expand(hidden.shape[0], -1, -1), hidden], dim=1)
        return hidden if hidden.dtype == torch.float64 else hidden.float(), grid
