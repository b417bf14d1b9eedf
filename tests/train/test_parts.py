"""Parts of a model: what learns, how fast, and what weight decay leaves alone."""

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.tiny import tiny_encoder
from videollm.encoder import VideoMAPModel
from videollm.lora import LoraShape, attach_lora
from videollm.model import VideoLLMForConditionalGeneration
from videollm.train.parts import (
    decays,
    encoder_depth,
    freeze_all_but,
    keep_evaluating,
    parameter_groups,
    part_of,
)
from videollm.train.stage_arguments import StageArguments

TINY = tiny_encoder(num_layers=2, layer_pattern="MT")


@pytest.fixture
def model(tiny_llm: Path) -> VideoLLMForConditionalGeneration:
    return VideoLLMForConditionalGeneration.from_parts(TINY, str(tiny_llm), tokens_per_frame=1)


def test_every_parameter_has_the_part_it_lies_in(model: VideoLLMForConditionalGeneration) -> None:
    homes = {
        "encoder": model.vision_model,
        "projector": model.projector,
        "language_model": model.language_model,
    }
    named = dict(model.named_parameters())
    for part, module in homes.items():
        owned = {id(parameter) for parameter in module.parameters()}
        assert owned == {id(p) for name, p in named.items() if part_of(name) == part}


def test_lora_and_wrapped_projector_are_told_apart(
    model: VideoLLMForConditionalGeneration,
) -> None:
    adapted = attach_lora(model, LoraShape(rank=2))
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert {part_of(name) for name in trained} == {"adapter", "projector"}
    assert all("lora_" in name for name in trained if part_of(name) == "adapter")


def test_freezing_leaves_the_named_parts_only(model: VideoLLMForConditionalGeneration) -> None:
    freeze_all_but(model, ["projector"])
    trained = [p for p in model.parameters() if p.requires_grad]
    assert {id(p) for p in trained} == {id(p) for p in model.projector.parameters()}


def test_each_part_gets_its_rate_and_everything_is_in_one_group(
    model: VideoLLMForConditionalGeneration, tmp_path: Path
) -> None:
    args = StageArguments(
        output_dir=str(tmp_path),
        learning_rate=1e-3,
        projector_learning_rate=2e-3,
        encoder_learning_rate=3e-3,
        weight_decay=0.1,
    )
    freeze_all_but(model, ["projector", "encoder", "language_model"])
    groups = parameter_groups(model, args)
    listed = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(listed) == sorted(id(parameter) for parameter in model.parameters())
    rates = {group["name"].split(" ")[0]: group["lr"] for group in groups}
    assert rates == {"encoder": 3e-3, "projector": 2e-3, "language_model": 1e-3}
    for group in groups:
        assert group["weight_decay"] == (0.0 if "no decay" in group["name"] else 0.1)


def test_decay_pulls_at_linear_maps_only() -> None:
    bidirectional = VideoMAPModel(
        tiny_encoder(num_layers=2, layer_pattern="MT", use_cls_token=True)
    )
    named = dict(bidirectional.named_parameters())
    pulled = {name.rsplit(".", 1)[-1] for name, p in named.items() if decays(name, p)}
    spared = {name.rsplit(".", 1)[-1] for name, p in named.items() if not decays(name, p)}
    assert pulled <= {"weight", "conv_weight"}
    assert {"A_log", "D", "bias", "conv_bias", "spatial_table", "cls_token"} <= spared
    for name, module in bidirectional.named_modules():
        if "Norm" in type(module).__name__:
            assert not any(decays(f"{name}.{own}", p) for own, p in module.named_parameters())


def test_frozen_part_stays_in_evaluation_mode() -> None:
    part = nn.Dropout(0.5)
    whole = nn.Sequential(part)
    keep_evaluating(part)
    whole.train()
    ones = torch.ones(1000)
    assert torch.equal(whole(ones), ones)
    assert whole.training


@pytest.mark.parametrize("pattern", ["MMMMT", "M", "T"])
def test_rates_fall_with_depth_in_layers_of_every_kind(pattern: str, tmp_path: Path) -> None:
    encoder = VideoMAPModel(tiny_encoder(layer_pattern=pattern))
    args = StageArguments(output_dir=str(tmp_path), learning_rate=1.0, layer_decay=0.5)
    names = {id(parameter): name for name, parameter in encoder.named_parameters()}
    rates = {
        names[id(parameter)]: group["lr"]
        for group in parameter_groups(encoder, args)
        for parameter in group["params"]
    }
    assert rates.keys() == set(names.values())
    for name, rate in rates.items():
        depth = encoder_depth(name)
        assert rate == (1.0 if depth is None else 0.5 ** (6 - depth)), name
    assert {encoder_depth(name) for name in rates} == {0, 1, 2, 3, 4, 5, None}
    assert encoder_depth("norm.weight") is None
    assert encoder_depth("encoder.layers.3.mixer.in_proj.weight") == 4
