"""The names and shapes of published VideoMamba checkpoints, and where each name goes in ours.

Legend: D width, E inner width, S states, R rank of the step size, N patches per frame, T token
frames, p side of a patch, f frames of a tubelet.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

__all__ = [
    "CLS_TOKEN",
    "PATCH_STEM",
    "SPATIAL_TABLE",
    "TEMPORAL_TABLE",
    "UNTRAINED_NORM",
    "KeyPlan",
    "plan_keys",
    "read_sizes",
]

CLS_TOKEN = "cls_token"
SPATIAL_TABLE = "pos_embed"
TEMPORAL_TABLE = "temporal_pos_embedding"
PATCH_STEM = "patch_embed.proj.weight"
UNTRAINED_NORM = "norm.weight"  # the pretraining model's final norm; a classifier has norm_f
_HEAD = ("head.weight", "head.bias")
_TEACHER_HEADS = "clip_decoder."
_SINGLE_KEYS = {
    CLS_TOKEN: "cls_token",
    SPATIAL_TABLE: "embed.spatial_table",
    PATCH_STEM: "embed.projection.weight",
    "patch_embed.proj.bias": "embed.projection.bias",
}
# Each exists twice in a mixer: without a mark for the forward scan, with "_b" for the backward.
_SCAN_KEYS = {
    "A{mark}_log": "A_log",
    "D{mark}": "D",
    "conv1d{mark}.weight": "conv_weight",
    "conv1d{mark}.bias": "conv_bias",
    "x_proj{mark}.weight": "x_proj.weight",
    "dt_proj{mark}.weight": "dt_proj.weight",
    "dt_proj{mark}.bias": "dt_proj.bias",
}
# What yunzeliu/MAP `models_mamba.py` has beside Mamba layers, and VideoMamba has not.
_MAP_MARKS = ("ar_pred.", "blocks.", "decoder_blocks.", "mask_token", "pos_embed_cls")
_WIDEST_HEAD = 64
_LISTED_NAMES = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyPlan:
    """Where the keys of one checkpoint go.

    Attributes:
        targets: Key of the checkpoint to key of our model.
        dropped: Keys that our model has no place for.
        has_head: Whether the model is a classifier.
        num_layers: Layers of our model, Transformer layers included.
    """

    targets: dict[str, str]
    dropped: tuple[str, ...]
    has_head: bool
    num_layers: int


def plan_keys(weights: Mapping[str, Tensor], layer_pattern: str) -> KeyPlan:
    """Return where every key of a checkpoint goes.

    Args:
        weights: A state dict with the official names.
        layer_pattern: Of our model, tiled; its "M" layers take the checkpoint's, in order.

    Raises:
        ValueError: The pattern has no "M" or other letters, or the names are not VideoMamba's;
            the message then lists the difference.
    """
    indices = {match[1] for name in weights if (match := re.match(r"layers\.(\d+)\.", name))}
    marks = [mark for mark in _MAP_MARKS if any(name.startswith(mark) for name in weights)]
    if indices and marks:
        raise ValueError(
            f"{', '.join(marks)} are names of MAP, which halves the sum of its two scans and "
            "places its layers otherwise: only VideoMamba's weights can be converted"
        )
    places, num_layers = _place_layers(layer_pattern, max(len(indices), 1))
    has_head = any(name in weights for name in _HEAD)
    pretraining = UNTRAINED_NORM in weights
    targets = dict(_SINGLE_KEYS)
    if TEMPORAL_TABLE in weights or (PATCH_STEM in weights and weights[PATCH_STEM].ndim != 4):
        targets[TEMPORAL_TABLE] = "embed.temporal_table"
    for source, target in enumerate(places):
        targets.update(_layer_keys(source, target))
    targets[UNTRAINED_NORM if pretraining else "norm_f.weight"] = "norm.weight"
    if has_head:
        targets = {source: f"encoder.{target}" for source, target in targets.items()}
        targets.update({name: name for name in _HEAD})
    dropped = tuple(name for name in weights if pretraining and name.startswith(_TEACHER_HEADS))
    _require_all(weights, known={*targets, *dropped}, needed=targets)
    return KeyPlan(targets=targets, dropped=dropped, has_head=has_head, num_layers=num_layers)


def _place_layers(layer_pattern: str, depth: int) -> tuple[list[int], int]:
    """Return our index of each of `depth` Mamba layers, and the number of layers in all.

    The last tile ends with its last Mamba layer and the Transformer layers right after it.
    """
    if "M" not in layer_pattern or set(layer_pattern) - {"M", "T"}:
        raise ValueError(
            f"layer_pattern is {layer_pattern!r}; it takes the letters M (VideoMamba's layers) and "
            "T (new Transformer layers), at least one M: M or MMMMT, for example"
        )
    kinds = layer_pattern * -(-depth // layer_pattern.count("M"))
    places = [index for index, kind in enumerate(kinds) if kind == "M"][:depth]
    following = kinds[places[-1] + 1 :]
    return places, places[-1] + 1 + len(following) - len(following.lstrip("T"))


def _layer_keys(source: int, target: int) -> Iterator[tuple[str, str]]:
    for name in ("norm.weight", "mixer.in_proj.weight", "mixer.out_proj.weight"):
        yield f"layers.{source}.{name}", f"layers.{target}.{name}"
    for mark, direction in (("", "forward_scan"), ("_b", "backward_scan")):
        for theirs, ours in _SCAN_KEYS.items():
            name = theirs.format(mark=mark)
            yield f"layers.{source}.mixer.{name}", f"layers.{target}.mixer.{direction}.{ours}"


def _require_all(weights: Mapping[str, Tensor], known: set[str], needed: Iterable[str]) -> None:
    missing = [name for name in needed if name not in weights]
    unexpected = [name for name in weights if name not in known]
    if missing or unexpected:
        raise ValueError(
            f"these are not the names of a VideoMamba checkpoint; missing: {_listed(missing)}; "
            f"unexpected: {_listed(unexpected)}"
        )


def _listed(names: list[str]) -> str:
    """Return the names in one line, those that several layers share once."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(re.sub(r"\.\d+\.", ".*.", name), []).append(name)
    shown = [
        f"{pattern} ({len(group)})" if len(group) > 1 else group[0]
        for pattern, group in groups.items()
    ]
    if len(shown) > _LISTED_NAMES:
        shown[_LISTED_NAMES:] = [f"and {len(shown) - _LISTED_NAMES} more"]
    return ", ".join(shown) or "none"


def read_sizes(
    weights: Mapping[str, Tensor], plan: KeyPlan, tubelet_size: int | None
) -> dict[str, Any]:
    """Return the fields of our config that the checkpoint's shapes decide.

    Args:
        weights: All keys that the plan names.
        plan: Of these weights.
        tubelet_size: Frames of a token where the stem is that of an image model; None: 1.

    Raises:
        ValueError: A shape is not VideoMamba's, or a video model is asked for another tubelet.
    """
    stem = tuple(weights[PATCH_STEM].shape)
    if len(stem) not in (4, 5) or stem[-1] != stem[-2]:
        raise ValueError(f"{PATCH_STEM} has shape {stem}; expected (D, C, p, p) or (D, C, f, p, p)")
    width, patch_size = stem[0], stem[-1]
    if len(stem) == 5:
        if tubelet_size not in (None, stem[2]):
            raise ValueError(
                f"tubelet_size is {tubelet_size}; the weights are of a video model with "
                f"{stem[2]}, only those of an image model can be stretched: leave it out"
            )
        tubelet_size = stem[2]
    _shape(weights, CLS_TOKEN, 1, 1, width)
    rows = _shape(weights, SPATIAL_TABLE, 1, None, width)[1]
    grid = math.isqrt(max(rows - 1, 0))
    if rows < 2 or grid**2 != rows - 1:
        raise ValueError(
            f"{SPATIAL_TABLE} has {rows} rows; expected one for [CLS] and a square of patches"
        )
    fields = {
        "image_size": grid * patch_size,
        "patch_size": patch_size,
        "num_channels": stem[1],
        "tubelet_size": 1 if tubelet_size is None else tubelet_size,
        "hidden_size": width,
        "num_layers": plan.num_layers,
        "num_attention_heads": _count_heads(width),
        "use_cls_token": True,
        **_mixer_sizes(weights, width),
    }
    if TEMPORAL_TABLE in weights:
        steps = _shape(weights, TEMPORAL_TABLE, 1, None, width)[1]
        fields["num_frames"] = steps * fields["tubelet_size"]
    if plan.has_head:
        fields["num_labels"] = _shape(weights, "head.weight", None, width)[0]
    return fields


def _mixer_sizes(weights: Mapping[str, Tensor], width: int) -> dict[str, int]:
    mixer = "layers.0.mixer."
    doubled = _shape(weights, f"{mixer}in_proj.weight", None, width)[0]
    expand, rest = divmod(doubled, 2 * width)
    if rest:
        raise ValueError(
            f"{mixer}in_proj.weight has {doubled} rows; expected a multiple of twice the width "
            f"{width}"
        )
    inner = expand * width
    return {
        "expand": expand,
        "state_size": _shape(weights, f"{mixer}A_log", inner, None)[1],
        "conv_kernel": _shape(weights, f"{mixer}conv1d.weight", inner, 1, None)[2],
        "dt_rank": _shape(weights, f"{mixer}dt_proj.weight", inner, None)[1],
    }


def _count_heads(width: int) -> int:
    """Return the fewest heads of an even size of at most 64 that share the width."""
    sizes = (size for size in range(_WIDEST_HEAD, 0, -2) if width % size == 0)
    return width // next(sizes, width)


def _shape(weights: Mapping[str, Tensor], name: str, *expected: int | None) -> tuple[int, ...]:
    """Return the shape of a tensor, checked; None stands for any size."""
    shape = tuple(weights[name].shape)
    fits = len(shape) == len(expected) and all(
        want in (None, got) for want, got in zip(expected, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in expected)
        raise ValueError(f"{name} has shape {shape}; expected ({wanted})")
    return shape
