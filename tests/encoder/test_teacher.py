"""Teachers: the library's own features and attention, over the encoder's grid."""

from pathlib import Path

import pytest
import torch
from transformers import (
    BertConfig,
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    CLIPVisionModelWithProjection,
    PreTrainedModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from videollm.encoder.teacher import Teacher

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
}


def clip_config() -> CLIPVisionConfig:
    return CLIPVisionConfig(**SIZES, projection_dim=12)


def save(model: PreTrainedModel, folder: Path) -> str:
    model.save_pretrained(folder)
    return str(folder)


def load(name: str, *, grid: int = 4, tubelet: int = 1) -> Teacher:
    return Teacher.from_pretrained(name, grid_size=grid, tubelet_size=tubelet)


def video(frames: int = 3, size: int = 32) -> torch.Tensor:
    return torch.rand(2, frames, 3, size, size) * 2 - 1


def test_clip_gives_its_projected_patches_and_where_cls_looks(tmp_path: Path) -> None:
    name = save(CLIPVisionModelWithProjection(clip_config()), tmp_path)
    library = CLIPVisionModelWithProjection.from_pretrained(
        name, attn_implementation="eager"
    ).eval()
    teacher, frames = load(name), video()
    found = teacher(frames)
    pixels = (0.5 * frames.flatten(0, 1) + 0.5 - teacher.mean) / teacher.std
    with torch.no_grad():
        output = library(pixels, output_attentions=True)
        hidden = library.vision_model.post_layernorm(output.last_hidden_state[:, 1:])
        wanted = torch.nn.functional.normalize(library.visual_projection(hidden), dim=-1)
        looks = output.attentions[-1].mean(dim=1)[:, 0, 1:]
    assert teacher.feature_size == 12
    assert found.features.shape == (2, 3, 16, 12)
    torch.testing.assert_close(found.features.flatten(0, 1), wanted, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.attention.flatten(0, 1), looks, atol=1e-5, rtol=1e-4)


def test_siglip_guides_by_its_pooling_head(tmp_path: Path) -> None:
    name = save(SiglipVisionModel(SiglipVisionConfig(**SIZES)), tmp_path)
    library = SiglipVisionModel.from_pretrained(name).eval()
    teacher, frames = load(name), video()
    found = teacher(frames)
    with torch.no_grad():
        hidden = library(frames.flatten(0, 1)).last_hidden_state
        probe = library.head.probe.repeat(6, 1, 1)
        _, looks = library.head.attention(probe, hidden, hidden)
    assert teacher.feature_size == 32
    assert teacher.can_guide
    wanted = torch.nn.functional.normalize(hidden, dim=-1)
    torch.testing.assert_close(found.features.flatten(0, 1), wanted, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(found.attention.flatten(0, 1), looks[:, 0], atol=1e-5, rtol=1e-4)


def test_features_have_unit_length_on_any_grid_and_come_from_the_middle_frame(
    tmp_path: Path,
) -> None:
    teacher = load(save(CLIPVisionModelWithProjection(clip_config()), tmp_path), grid=6, tubelet=2)
    frames = video(frames=4, size=48)
    found = teacher(frames)
    assert found.features.shape == (2, 2, 36, 12)
    torch.testing.assert_close(found.features.norm(dim=-1), torch.ones(2, 2, 36))
    others = frames.clone()
    others[:, 0::2] = 0.0
    assert torch.equal(teacher(others).features, found.features)
    others[:, 3] = 0.0
    assert not torch.equal(teacher(others).features[:, 1], found.features[:, 1])


def test_whole_clip_and_bare_vision_models_serve_too(tmp_path: Path) -> None:
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = CLIPConfig(
        vision_config=clip_config().to_dict(),
        text_config={**text, "num_attention_heads": 2, "vocab_size": 50, "eos_token_id": 1},
        projection_dim=12,
    )
    assert load(save(CLIPModel(config), tmp_path / "whole")).feature_size == 12
    bare = load(save(CLIPVisionModel(clip_config()), tmp_path / "bare"))
    assert bare.feature_size == 32
    assert bare(video()).features.shape == (2, 3, 16, 32)


def test_a_teacher_never_learns(tmp_path: Path) -> None:
    teacher = load(save(CLIPVisionModelWithProjection(clip_config()), tmp_path))
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert not teacher.model.training
    assert not teacher(video()).features.requires_grad


def test_its_own_mean_is_used_where_it_tells_one(tmp_path: Path) -> None:
    name = save(CLIPVisionModelWithProjection(clip_config()), tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        '{"image_mean": [0, 0, 0], "image_std": [1, 1, 1]}'
    )
    assert not load(name).mean.any()


def test_without_a_pooling_head_it_cannot_guide(tmp_path: Path) -> None:
    config = SiglipVisionConfig(**SIZES, vision_use_head=False)
    teacher = load(save(SiglipVisionModel(config), tmp_path))
    assert not teacher.can_guide
    assert teacher(video()).attention.unique().numel() == 1


def test_other_models_and_incomplete_ones_are_refused(tmp_path: Path) -> None:
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="'bert'; allowed: clip, siglip"):
        load(str(tmp_path))
    shorter = CLIPVisionConfig(**{**SIZES, "num_hidden_layers": 1}, projection_dim=12)
    name = save(CLIPVisionModelWithProjection(shorter), tmp_path / "short")
    clip_config().save_pretrained(name)
    with pytest.raises(ValueError, match="lacks the weights"):
        load(name)
