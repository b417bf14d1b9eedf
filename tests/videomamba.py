"""VideoMamba checkpoints drawn at random under the official names, and what they compute.

The forward pass is written from the published description, step by step and in the checkpoint's
own layout, so that it shares nothing with the encoder that it is compared with.
"""

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

Weights = dict[str, Tensor]


def draw_checkpoint(
    *,
    depth: int = 2,
    width: int = 16,
    grid: int = 2,
    patch: int = 4,
    steps: int | None = 3,
    tubelet: int = 1,
    states: int = 3,
    classes: int | None = 5,
    teacher_width: int | None = None,
) -> Weights:
    """Return random weights of a classifier.

    No steps make those of an image model (a 2-D stem, no table over time), no classes an encoder
    without a head, a teacher width those of masked pretraining.
    """
    stem = (tubelet, patch, patch) if steps is not None else (patch, patch)
    weights = {
        "cls_token": torch.randn(1, 1, width),
        "pos_embed": torch.randn(1, grid * grid + 1, width),
        "patch_embed.proj.weight": 0.2 * torch.randn(width, 3, *stem),
        "patch_embed.proj.bias": torch.randn(width),
    }
    if steps is not None:
        weights["temporal_pos_embedding"] = torch.randn(1, steps, width)
    for layer in range(depth):
        weights.update(_draw_layer(f"layers.{layer}.", width, states))
    norm = "norm_f.weight" if teacher_width is None else "norm.weight"
    weights[norm] = torch.rand(width) + 0.5
    if teacher_width is not None:
        weights["clip_decoder.0.head.weight"] = torch.randn(teacher_width, width)
        weights["clip_decoder.0.head.bias"] = torch.randn(teacher_width)
        weights["clip_decoder.0.norm.weight"] = torch.randn(teacher_width)
        weights["clip_decoder.0.norm.bias"] = torch.randn(teacher_width)
    elif classes is not None:
        weights["head.weight"] = torch.randn(classes, width)
        weights["head.bias"] = torch.randn(classes)
    return weights


def _draw_layer(prefix: str, width: int, states: int) -> Weights:
    inner, rank = 2 * width, -(-width // 16)
    mixer = f"{prefix}mixer."
    weights = {
        f"{prefix}norm.weight": torch.rand(width) + 0.5,
        f"{mixer}in_proj.weight": torch.randn(2 * inner, width) / width**0.5,
        f"{mixer}out_proj.weight": torch.randn(width, inner) / inner**0.5,
    }
    for mark in ("", "_b"):
        weights |= {
            f"{mixer}A{mark}_log": torch.rand(inner, states),
            f"{mixer}D{mark}": torch.randn(inner),
            f"{mixer}conv1d{mark}.weight": torch.randn(inner, 1, 4),
            f"{mixer}conv1d{mark}.bias": torch.randn(inner),
            f"{mixer}x_proj{mark}.weight": torch.randn(rank + 2 * states, inner) / inner**0.5,
            f"{mixer}dt_proj{mark}.weight": torch.randn(inner, rank),
            f"{mixer}dt_proj{mark}.bias": torch.randn(inner) - 2.0,
        }
    return weights


@torch.no_grad()
def official_tokens(weights: Weights, video: Tensor) -> Tensor:
    """Return the tokens after the final norm, [CLS] first, of video (B, frames, 3, H, W)."""
    stem = weights["patch_embed.proj.weight"]
    stem = stem.unsqueeze(2) if stem.ndim == 4 else stem
    patches = functional.conv3d(
        video.transpose(1, 2), stem, weights["patch_embed.proj.bias"], stride=stem.shape[2:]
    )
    patches = rearrange(patches, "b d t h w -> b t (h w) d") + weights["pos_embed"][:, 1:]
    if "temporal_pos_embedding" in weights:
        patches = patches + weights["temporal_pos_embedding"][:, :, None]
    cls = (weights["cls_token"] + weights["pos_embed"][:, :1]).expand(video.shape[0], -1, -1)
    hidden = torch.cat([cls, patches.flatten(1, 2)], dim=1)
    depth = sum(name.endswith(".mixer.D") for name in weights)
    for layer in range(depth):
        own = {
            name.removeprefix(f"layers.{layer}."): value
            for name, value in weights.items()
            if name.startswith(f"layers.{layer}.")
        }
        hidden = hidden + _mix(own, _normed(hidden, own["norm.weight"]))
    last = weights["norm_f.weight" if "norm_f.weight" in weights else "norm.weight"]
    return _normed(hidden, last)


def official_logits(weights: Weights, video: Tensor) -> Tensor:
    """Return the class scores (B, K): the head reads [CLS]."""
    cls = official_tokens(weights, video)[:, 0]
    return functional.linear(cls, weights["head.weight"], weights["head.bias"])


def _normed(hidden: Tensor, scale: Tensor) -> Tensor:
    return hidden / (hidden.square().mean(-1, keepdim=True) + 1e-5).sqrt() * scale


def _mix(own: Weights, hidden: Tensor) -> Tensor:
    x, z = (hidden @ own["mixer.in_proj.weight"].T).transpose(1, 2).chunk(2, dim=1)
    forward = _scan(own, "", x, z)
    backward = _scan(own, "_b", x.flip(-1), z.flip(-1)).flip(-1)
    return (forward + backward).transpose(1, 2) @ own["mixer.out_proj.weight"].T


def _scan(own: Weights, mark: str, x: Tensor, z: Tensor) -> Tensor:
    taps, bias = own[f"mixer.conv1d{mark}.weight"], own[f"mixer.conv1d{mark}.bias"]
    length, rank = x.shape[2], own[f"mixer.dt_proj{mark}.weight"].shape[1]
    x = functional.conv1d(x, taps, bias, padding=taps.shape[2] - 1, groups=x.shape[1])
    x = functional.silu(x[..., :length])
    decay = -own[f"mixer.A{mark}_log"].exp()
    parameters = own[f"mixer.x_proj{mark}.weight"] @ x
    low, enter, leave = parameters.split([rank, decay.shape[1], decay.shape[1]], dim=1)
    step = own[f"mixer.dt_proj{mark}.weight"] @ low + own[f"mixer.dt_proj{mark}.bias"][:, None]
    step = functional.softplus(step)
    state = x.new_zeros(x.shape[0], *decay.shape)
    outputs = []
    for now in range(length):
        kept = (step[:, :, now, None] * decay).exp() * state
        state = kept + (step[:, :, now] * x[:, :, now])[:, :, None] * enter[:, None, :, now]
        outputs.append((state * leave[:, None, :, now]).sum(-1))
    mixed = torch.stack(outputs, dim=-1) + own[f"mixer.D{mark}"][:, None] * x
    return mixed * functional.silu(z)
