"""Published VideoMamba weights as weights of this encoder, with an account of every key.

With the pattern "M" the result is VideoMamba itself. With Transformer layers in the pattern those
start silent (they return their input), so that the features stay the same until training moves
them. Reading and writing files is left to others.

Legend: D width, E inner width, S states, N patches per frame, T token frames, p side of a patch,
f frames of a tubelet.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor

from videollm.encoder.block import TransformerLayer
from videollm.encoder.classification import VideoMAPForVideoClassification
from videollm.encoder.config import VideoMAPConfig
from videollm.encoder.embed import resize_spatial_table, resize_temporal_table
from videollm.encoder.videomamba_keys import (
    CLS_TOKEN,
    PATCH_STEM,
    SPATIAL_TABLE,
    TEMPORAL_TABLE,
    UNTRAINED_NORM,
    KeyPlan,
    plan_keys,
    read_sizes,
)
from videollm.encoder.videomap import VideoMAPModel

__all__ = ["Conversion", "KeyRecord", "convert_videomamba", "unwrap_state_dict"]

Status = Literal["mapped", "interpolated", "new", "dropped"]
_WRAPPERS = ("model", "module", "state_dict")
_PARALLEL_PREFIX = "module."


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRecord:
    """What became of one key.

    Attributes:
        status: "mapped" into our layout, "interpolated" to another size as well, "new" where the
            checkpoint has nothing, "dropped" where the model has no place for it.
        source: Key of the checkpoint; None for a new one.
        target: Key of the model; None for a dropped one.
        shape: In the model, for a dropped key in the checkpoint.
        note: What else there is to say, in a few words.
    """

    status: Status
    source: str | None
    target: str | None
    shape: tuple[int, ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversion:
    """A model with published weights, and where each of its tensors came from.

    Attributes:
        model: In fp32, on the CPU; a classifier where the checkpoint has a head.
        records: One for each key of the checkpoint and for each new one of the model.
    """

    model: VideoMAPModel | VideoMAPForVideoClassification
    records: tuple[KeyRecord, ...]


def unwrap_state_dict(checkpoint: object) -> dict[str, Tensor]:
    """Return the tensors by name that a loaded checkpoint holds.

    Args:
        checkpoint: A state dict, or a dict that holds one as "model", "module" or "state_dict";
            the "module." before every name that parallel training leaves is taken off.

    Raises:
        ValueError: There is no state dict in it.
    """
    if isinstance(checkpoint, Mapping):
        inner = (checkpoint.get(name) for name in _WRAPPERS)
        checkpoint = next((value for value in inner if isinstance(value, Mapping)), checkpoint)
    if not isinstance(checkpoint, Mapping) or not checkpoint:
        raise ValueError(
            f"it holds a {type(checkpoint).__name__}, not weights: give a state dict, plain or "
            f"under one of the names {', '.join(_WRAPPERS)}"
        )
    for name, value in checkpoint.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(
                f"{name!r} is a {type(value).__name__} where a state dict has a tensor: give a "
                f"state dict, plain or under one of the names {', '.join(_WRAPPERS)}"
            )
    if all(name.startswith(_PARALLEL_PREFIX) for name in checkpoint):
        return {name.removeprefix(_PARALLEL_PREFIX): v for name, v in checkpoint.items()}
    return dict(checkpoint)


def convert_videomamba(
    weights: Mapping[str, Tensor],
    *,
    layer_pattern: str = "M",
    image_size: int | None = None,
    num_frames: int | None = None,
    tubelet_size: int | None = None,
    seed: int = 0,
) -> Conversion:
    """Build a model from the weights of a VideoMamba classifier or masked pretraining.

    Sizes follow from the shapes. [CLS] takes its row of the position table with it, since our
    table covers patches only; that changes no sum.

    Args:
        weights: A state dict with the official names, as `unwrap_state_dict` returns it.
        layer_pattern: "M" for VideoMamba itself; a pattern with "T" puts silent Transformer
            layers between, "MMMMT" one after every four.
        image_size: Side of a picture in pixels; None: the checkpoint's own.
        num_frames: Frames of a clip; None: the checkpoint's own.
        tubelet_size: Frames of a token, for weights of an image model only, whose patches then
            meet the middle frame; None: 1.
        seed: Of the values that new Transformer layers draw.

    Raises:
        ValueError: The names or shapes are not VideoMamba's, or an argument does not fit.

    Source: OpenGVLab/VideoMamba `videomamba/video_sm` (names, centre inflation, interpolation of
    the tables); each direction of a layer keeps its own weights and the two are added.
    """
    plan = plan_keys(weights, layer_pattern)
    fields = read_sizes(weights, plan, tubelet_size)
    asked = {"image_size": image_size, "num_frames": num_frames}
    fields.update({name: value for name, value in asked.items() if value is not None})
    model = _build(VideoMAPConfig(layer_pattern=layer_pattern, **fields), plan, seed)
    made = model.state_dict()
    fitted: dict[str, Tensor] = {}
    records = []
    for source, target in plan.targets.items():
        tensor, status, note = _fit(source, weights, made[target].shape)
        if tensor.shape != made[target].shape:
            raise ValueError(
                f"{source} has shape {tuple(weights[source].shape)}, which gives "
                f"{tuple(tensor.shape)}; the rest of the file needs {tuple(made[target].shape)}"
            )
        fitted[target] = tensor
        shape = tuple(tensor.shape)
        records.append(
            KeyRecord(status=status, source=source, target=target, shape=shape, note=note)
        )
    for source in plan.dropped:
        shape = tuple(weights[source].shape)
        records.append(KeyRecord(status="dropped", source=source, target=None, shape=shape))
    records += [_new(name, made[name]) for name in made if name not in fitted]
    model.load_state_dict(fitted, strict=False)
    return Conversion(model=model.eval(), records=tuple(records))


def _build(
    config: VideoMAPConfig, plan: KeyPlan, seed: int
) -> VideoMAPModel | VideoMAPForVideoClassification:
    """Return a new model whose Transformer layers are silent."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = VideoMAPForVideoClassification(config) if plan.has_head else VideoMAPModel(config)
    for layer in model.modules():
        if isinstance(layer, TransformerLayer):
            layer.silence()
    return model


def _fit(
    source: str, weights: Mapping[str, Tensor], wanted: torch.Size
) -> tuple[Tensor, Status, str]:
    """Return a tensor of the checkpoint in our layout, in fp32, and what was done to it."""
    if not weights[source].is_floating_point():
        raise ValueError(f"{source} is {weights[source].dtype}; expected floating point")
    tensor = weights[source].float()
    if source == CLS_TOKEN:
        own_row = weights[SPATIAL_TABLE][:, :1].float()
        return tensor + own_row, "mapped", "its row of pos_embed added"
    if source == SPATIAL_TABLE:
        old, new = math.isqrt(tensor.shape[1] - 1), math.isqrt(wanted[1])
        table = resize_spatial_table(tensor[:, 1:], new, new)
        return table, *_resized(old, new, "patches a side")
    if source == TEMPORAL_TABLE:
        table = resize_temporal_table(tensor, wanted[1])
        return table, *_resized(tensor.shape[1], wanted[1], "steps")
    if source == PATCH_STEM and tensor.ndim == 4:
        frames = wanted[1] // tensor[0].numel()
        return _inflated(tensor, frames), "mapped", f"of pictures, in the middle of {frames} frames"
    if source == PATCH_STEM:
        return rearrange(tensor, "d c f p q -> d (c f p q)"), "mapped", ""
    if ".conv1d" in source and tensor.ndim == 3:
        return tensor.squeeze(1), "mapped", ""
    note = "not trained by the published recipe" if source == UNTRAINED_NORM else ""
    return tensor, "mapped", note


def _resized(old: int, new: int, unit: str) -> tuple[Status, str]:
    return ("mapped", "") if old == new else ("interpolated", f"{old} -> {new} {unit}")


def _inflated(stem: Tensor, frames: int) -> Tensor:
    """Return a stem (D, C, p, p) of pictures as a map of tubelets (D, C * frames * p * p)."""
    tubelet = stem.new_zeros(*stem.shape[:2], frames, *stem.shape[2:])
    tubelet[:, :, frames // 2] = stem
    return rearrange(tubelet, "d c f p q -> d (c f p q)")


def _new(target: str, tensor: Tensor) -> KeyRecord:
    note = "random"
    for value, name in ((0.0, "zeros"), (1.0, "ones")):
        if bool((tensor == value).all()):
            note = name
    shape = tuple(tensor.shape)
    return KeyRecord(status="new", source=None, target=target, shape=shape, note=note)
