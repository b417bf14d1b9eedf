"""Names and shapes of published checkpoints: where layers go, and what is refused."""

import pytest
import torch
from torch import Tensor

from tests.videomamba import draw_checkpoint
from videollm.encoder import convert_videomamba
from videollm.encoder.block import MambaLayer


@pytest.mark.parametrize(
    ("pattern", "depth", "kinds"),
    [
        ("M", 3, "MMM"),
        ("MMMMT", 32, "MMMMT" * 8),
        ("MMMMT", 6, "MMMMTMM"),
        ("MMMT", 6, "MMMTMMMT"),
        ("TMTT", 2, "TMTTTMTT"),
        ("MTM", 3, "MTMMT"),
    ],
)
def test_layers_keep_their_order_in_the_pattern(pattern: str, depth: int, kinds: str) -> None:
    weights = draw_checkpoint(depth=depth, width=8)
    encoder = convert_videomamba(weights, layer_pattern=pattern).model.encoder
    assert encoder.config.layer_kinds == kinds
    loaded = [
        layer.mixer.in_proj.weight for layer in encoder.layers if isinstance(layer, MambaLayer)
    ]
    assert len(loaded) == depth
    for index, weight in enumerate(loaded):
        assert torch.equal(weight, weights[f"layers.{index}.mixer.in_proj.weight"])


def without(name: str) -> dict[str, Tensor]:
    return {key: value for key, value in draw_checkpoint(depth=3).items() if key != name}


def changed(name: str, *shape: int) -> dict[str, Tensor]:
    return {**draw_checkpoint(depth=3), name: torch.zeros(shape)}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"conv.weight": torch.ones(2)}, r"missing: cls_token, .*; unexpected: conv.weight$"),
        ({"blocks.0.mlp.fc1.bias": torch.ones(2)}, "unexpected: blocks.0.mlp.fc1.bias$"),
        ({f"{k}.{i}.a": torch.ones(1) for k in range(40) for i in "12"}, "9.*.a .2., and 10 more$"),
        (without("layers.1.mixer.D_b"), r"missing: layers.1.mixer.D_b; unexpected: none"),
        (without("head.bias"), "missing: head.bias; unexpected: none"),
        (without("norm_f.weight"), "missing: norm_f.weight; unexpected: none"),
        (without("temporal_pos_embedding"), "missing: temporal_pos_embedding"),
        (changed("norm_f.bias", 16), "missing: none; unexpected: norm_f.bias"),
        (changed("clip_decoder.0.head.bias", 4), "unexpected: clip_decoder.0.head.bias"),
        (changed("blocks.0.attn.proj.bias", 16), "names of MAP, which halves the sum"),
        (changed("cls_token", 1, 12, 16), r"cls_token has .*; expected \(1, 1, 16\)"),
        (changed("pos_embed", 1, 4, 16), r"pos_embed has 4 rows; expected one for \[CLS\]"),
        (changed("pos_embed", 1, 0, 16), "pos_embed has 0 rows"),
        (changed("patch_embed.proj.weight", 16, 3, 1, 4, 2), "expected .D, C, p, p"),
        (changed("layers.0.mixer.in_proj.weight", 40, 16), "40 rows; expected a multiple"),
        (changed("layers.2.mixer.A_log", 32, 9), r"needs \(32, 3\)"),
        (changed("layers.2.mixer.conv1d_b.weight", 1, 32, 4), r"needs \(32, 4\)"),
        (changed("layers.1.norm.weight", 8), r"layers.1.norm.weight has shape \(8,\)"),
        ({**draw_checkpoint(), "head.bias": torch.ones(5).int()}, "expected floating point"),
    ],
)
def test_other_layouts_are_refused_with_the_difference(
    weights: dict[str, Tensor], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        convert_videomamba(weights)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer_pattern": "T"}, "at least one M"),
        ({"layer_pattern": ""}, "at least one M"),
        ({"layer_pattern": "MMX"}, "takes the letters M"),
        ({"image_size": 9}, "must be a multiple of patch_size 4"),
        ({"image_size": -4}, "image_size is -4; it must be at least 1"),
        ({"num_frames": 0}, "num_frames is 0"),
        ({"tubelet_size": 2}, "tubelet_size is 2; .* video model with 1"),
    ],
)
def test_impossible_requests_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert_videomamba(draw_checkpoint(), **options)
