"""Law 4: a loaded VideoMamba computes what the official one does, whatever layers are added."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from tests.videomamba import draw_checkpoint, official_logits, official_tokens
from videollm.encoder import VideoMAPForVideoClassification, VideoMAPModel
from videollm.encoder.block import TransformerLayer
from videollm.encoder.convert import Conversion, convert_videomamba, unwrap_state_dict


def encoder_of(conversion: Conversion) -> VideoMAPModel:
    model = conversion.model
    return model.encoder if isinstance(model, VideoMAPForVideoClassification) else model


@torch.no_grad()
def tokens_of(conversion: Conversion, video: Tensor) -> Tensor:
    return encoder_of(conversion)(video).last_hidden_state


def clip(frames: int = 3, size: int = 8, batch: int = 2) -> Tensor:
    return torch.randn(batch, frames, 3, size, size)


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_tokens_and_logits_are_the_official_ones(data: st.DataObject) -> None:
    depth = data.draw(st.integers(1, 6), label="depth")
    width = data.draw(st.sampled_from([8, 24, 40]), label="width")
    grid = data.draw(st.integers(1, 3), label="grid")
    steps = data.draw(st.integers(1, 3), label="steps")
    tubelet = data.draw(st.integers(1, 2), label="tubelet")
    pattern = data.draw(st.sampled_from(["M", "MMMMT", "MT", "TM"]), label="pattern")
    weights = draw_checkpoint(depth=depth, width=width, grid=grid, steps=steps, tubelet=tubelet)
    video = clip(steps * tubelet, grid * 4)
    converted = convert_videomamba(weights, layer_pattern=pattern)
    tokens = tokens_of(converted, video)
    torch.testing.assert_close(tokens, official_tokens(weights, video), atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        logits = converted.model(video).logits
    torch.testing.assert_close(logits, official_logits(weights, video), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("pattern", ["MMMMT", "MTT", "TM", "MMT"])
def test_silent_layers_change_no_bit(pattern: str) -> None:
    weights, video = draw_checkpoint(depth=5), clip()
    plain = convert_videomamba(weights)
    hybrid = convert_videomamba(weights, layer_pattern=pattern)
    assert torch.equal(tokens_of(plain, video), tokens_of(hybrid, video))
    with torch.no_grad():
        assert torch.equal(plain.model(video).logits, hybrid.model(video).logits)


def test_silent_layers_can_learn() -> None:
    model = convert_videomamba(draw_checkpoint(depth=4), layer_pattern="MMMMT").model.train()
    model(clip(), labels=torch.tensor([0, 1])).loss.backward()
    (layer,) = (layer for layer in model.modules() if isinstance(layer, TransformerLayer))
    assert layer.mixer.out_proj.weight.grad.abs().sum() > 0
    assert layer.mlp[-1].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("pattern", ["M", "MMMMT"])
@pytest.mark.parametrize(
    "checkpoint",
    [{}, {"classes": None}, {"teacher_width": 6}, {"steps": None}],
    ids=["classifier", "no head", "pretraining", "image"],
)
def test_every_key_is_accounted_for_once(pattern: str, checkpoint: dict[str, int | None]) -> None:
    weights = draw_checkpoint(depth=4, **checkpoint)
    converted = convert_videomamba(weights, layer_pattern=pattern)
    sources = [record.source for record in converted.records if record.source is not None]
    targets = [record.target for record in converted.records if record.target is not None]
    assert sorted(sources) == sorted(weights)
    assert sorted(targets) == sorted(converted.model.state_dict())
    for record in converted.records:
        assert (record.source is None) == (record.status == "new")
        assert (record.target is None) == (record.status == "dropped")
        if record.target is not None:
            assert record.shape == converted.model.state_dict()[record.target].shape


def test_pretraining_gives_its_tokens_without_the_teacher_s_heads() -> None:
    weights, video = draw_checkpoint(teacher_width=6), clip()
    converted = convert_videomamba(weights, layer_pattern="MMMMT")
    assert isinstance(converted.model, VideoMAPModel)
    tokens = tokens_of(converted, video)
    torch.testing.assert_close(tokens, official_tokens(weights, video), atol=1e-4, rtol=1e-4)
    dropped = {record.source for record in converted.records if record.status == "dropped"}
    assert dropped == {name for name in weights if name.startswith("clip_decoder.")}
    (norm,) = (record for record in converted.records if record.source == "norm.weight")
    assert norm.target == "norm.weight"
    assert norm.note == "not trained by the published recipe"


def test_another_size_is_what_the_model_makes_of_its_own_tables() -> None:
    weights, video = draw_checkpoint(), clip(frames=5, size=12)
    resized = convert_videomamba(weights, image_size=12, num_frames=5)
    assert (resized.model.config.image_size, resized.model.config.num_frames) == (12, 5)
    assert torch.equal(tokens_of(resized, video), tokens_of(convert_videomamba(weights), video))
    changed = {r.source: r.note for r in resized.records if r.status == "interpolated"}
    assert changed == {
        "pos_embed": "2 -> 3 patches a side",
        "temporal_pos_embedding": "3 -> 5 steps",
    }


def test_another_size_resizes_bicubically_in_space_and_linearly_in_time() -> None:
    weights = draw_checkpoint(grid=3)
    embed = encoder_of(convert_videomamba(weights, image_size=20, num_frames=7)).embed
    square = weights["pos_embed"][0, 1:].T.reshape(1, 16, 3, 3)
    space = torch.nn.functional.interpolate(square, (5, 5), mode="bicubic")
    torch.testing.assert_close(embed.spatial_table, space.flatten(2).transpose(1, 2))
    line = weights["temporal_pos_embedding"].transpose(1, 2)
    time = torch.nn.functional.interpolate(line, 7, mode="linear").transpose(1, 2)
    torch.testing.assert_close(embed.temporal_table, time)


def test_an_image_model_scores_a_single_frame_as_before() -> None:
    weights, picture = draw_checkpoint(steps=None), clip(frames=1)
    converted = convert_videomamba(weights, layer_pattern="MMMMT")
    with torch.no_grad():
        logits = converted.model(picture).logits
    torch.testing.assert_close(logits, official_logits(weights, picture), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("tubelet", [2, 3])
def test_an_image_model_s_patches_meet_the_middle_frame(tubelet: int) -> None:
    weights, video = draw_checkpoint(steps=None), clip(frames=tubelet)
    converted = convert_videomamba(weights, tubelet_size=tubelet, num_frames=tubelet)
    middle = video[:, tubelet // 2, None]
    tokens = tokens_of(converted, video)
    torch.testing.assert_close(tokens, official_tokens(weights, middle), atol=1e-4, rtol=1e-4)
    (table,) = (record for record in converted.records if record.status == "new")
    assert (table.target, table.note) == ("encoder.embed.temporal_table", "zeros")


def test_half_precision_becomes_fp32() -> None:
    weights = {name: value.half() for name, value in draw_checkpoint().items()}
    model = convert_videomamba(weights).model
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    assert torch.equal(model.head.weight, weights["head.weight"].float())


def test_new_layers_depend_on_the_seed_alone() -> None:
    weights = draw_checkpoint(depth=4)

    def queries(seed: int) -> Tensor:
        converted = convert_videomamba(weights, layer_pattern="MMMMT", seed=seed)
        return encoder_of(converted).layers[4].mixer.qkv.weight

    before = torch.get_rng_state()
    assert torch.equal(queries(3), queries(3))
    assert not torch.equal(queries(3), queries(4))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("wrapper", [None, "model", "module", "state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_state_dicts_are_found_in_what_training_saves(wrapper: str | None, prefix: str) -> None:
    weights = draw_checkpoint()
    checkpoint: dict[str, object] = {prefix + name: value for name, value in weights.items()}
    if wrapper is not None:
        checkpoint = {"epoch": 3, "optimizer": {"step": 1}, wrapper: checkpoint}
    found = unwrap_state_dict(checkpoint)
    assert found.keys() == weights.keys()
    assert all(found[name] is value for name, value in weights.items())


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        ([1, 2], "holds a list, not weights"),
        ({}, "holds a dict, not weights"),
        ({"model": {}}, "not weights"),
        ({"epoch": 3}, "'epoch' is a int where a state dict has a tensor"),
        ({"model": {"a": [1.0]}}, "'a' is a list"),
        ({3: torch.ones(1)}, "3 is a Tensor where"),
    ],
)
def test_other_objects_are_no_state_dicts(checkpoint: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        unwrap_state_dict(checkpoint)


@pytest.fixture
def published(shared: Path) -> Path:
    """Return the folder of checkpoints with the official code's outputs, or skip."""
    folder = shared / "fixtures" / "videomamba_a"
    if not folder.is_dir():
        pytest.skip("no official VideoMamba outputs: fixtures/videomamba_a is not there")
    return folder


def load_published(file: Path) -> dict[str, Tensor]:
    return unwrap_state_dict(torch.load(file, weights_only=True))


@pytest.mark.parametrize("pattern", ["M", "MMMMT"])
def test_the_official_code_gives_the_same_tokens_and_logits(published: Path, pattern: str) -> None:
    weights = load_published(published / "videomamba.pth")
    expected = load_file(published / "expected.safetensors")
    video = expected["pixel_values_BCTHW"].transpose(1, 2)
    converted = convert_videomamba(weights, layer_pattern=pattern)
    tokens = tokens_of(converted, video)
    torch.testing.assert_close(tokens, expected["tokens_after_final_norm"], atol=1e-4, rtol=0)
    with torch.no_grad():
        logits = converted.model(video).logits
    torch.testing.assert_close(logits, expected["logits"], atol=1e-4, rtol=0)
    sources = [record.source for record in converted.records if record.source is not None]
    assert sorted(sources) == sorted(weights)


def test_our_description_of_the_official_model_is_right(published: Path) -> None:
    weights = load_published(published / "videomamba.pth")
    expected = load_file(published / "expected.safetensors")
    video = expected["pixel_values_BCTHW"].transpose(1, 2)
    tokens = official_tokens(weights, video)
    torch.testing.assert_close(tokens, expected["tokens_after_final_norm"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("pattern", ["M", "MMMMT"])
def test_official_pretraining_loads(published: Path, pattern: str) -> None:
    weights = load_published(published / "videomamba_pretrain.pth")
    converted = convert_videomamba(weights, layer_pattern=pattern)
    video = torch.randn(1, 4, 3, 32, 32)
    tokens = tokens_of(converted, video)
    torch.testing.assert_close(tokens, official_tokens(weights, video), atol=1e-4, rtol=0)
    dropped = {record.source for record in converted.records if record.status == "dropped"}
    assert dropped == {name for name in weights if name.startswith("clip_decoder.")}
