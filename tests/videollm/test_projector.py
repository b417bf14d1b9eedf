"""Projectors: any K, frame by frame, with gradients; old weights give the old numbers."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.tiny import tiny_encoder, tiny_videollm
from videollm.config import PROJECTOR_TYPES, VideoLLMConfig
from videollm.model import VideoLLMForConditionalGeneration
from videollm.projector import (
    PROJECTORS,
    build_projector,
    merge_similar,
    pool_to,
    project_frames,
)

PATCHES, WIDTH, TEXT = 16, 16, 32
every_kind = pytest.mark.parametrize("kind", PROJECTORS)


def make(kind: str, tokens: int = 4) -> nn.Module:
    config = VideoLLMConfig(
        vision_config=tiny_encoder(patch_size=4).to_dict(),
        text_config={"model_type": "llama", "hidden_size": TEXT, "num_attention_heads": 4},
        projector_type=kind,
        tokens_per_frame=tokens,
    )
    return build_projector(config).eval()


def test_the_config_names_the_projectors_there_are() -> None:
    assert tuple(PROJECTORS) == PROJECTOR_TYPES


@every_kind
def test_any_number_of_tokens_each_frame_for_itself(kind: str) -> None:
    projector, features = make(kind, PATCHES), torch.randn(3, PATCHES, WIDTH)
    for tokens in range(1, PATCHES + 1):
        whole = projector(features, tokens)
        assert whole.shape == (3, tokens, TEXT)
        alone = torch.cat([projector(frame[None], tokens) for frame in features])
        torch.testing.assert_close(whole, alone)
    assert torch.equal(projector(features), projector(features, PATCHES))


@every_kind
def test_frames_may_differ_in_their_number_of_tokens(kind: str) -> None:
    projector, features = make(kind), torch.randn(4, PATCHES, WIDTH)
    counts = [4, 1, 3, 1]
    for frame, tokens in enumerate(project_frames(projector, features, counts)):
        torch.testing.assert_close(tokens, projector(features[[frame]], counts[frame])[0])
    with pytest.raises(ValueError, match="3 token counts for 4 frames"):
        project_frames(projector, features, counts[:3])


@every_kind
def test_every_weight_learns(kind: str) -> None:
    projector = make(kind)
    projector(torch.randn(2, PATCHES, WIDTH)).square().sum().backward()
    assert all(bool(weight.grad.abs().sum() > 0) for weight in projector.parameters())


@every_kind
def test_more_tokens_than_there_are_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="tokens a frame"):
        make(kind)(torch.randn(1, PATCHES, WIDTH), PATCHES + 1)


def test_pooling_a_square_number_is_the_grid_of_old() -> None:
    features = torch.randn(2, 64, 5)
    grid = features.mT.reshape(2, 5, 8, 8)
    pooled = functional.adaptive_avg_pool2d(grid, 4).flatten(2).mT
    assert torch.equal(pool_to(features, 16), pooled)
    assert torch.equal(pool_to(features, 64), features)
    with pytest.raises(ValueError, match="square grid"):
        pool_to(torch.randn(1, 6, 5), 2)


@pytest.mark.parametrize("tokens", [1, 2, 3, 7, 12, 36])
def test_pooled_cells_hold_all_of_an_even_frame(tokens: int) -> None:
    assert torch.allclose(pool_to(torch.ones(1, 36, 2), tokens), torch.ones(1, tokens, 2))


def test_merging_keeps_the_mean_and_the_order() -> None:
    features = torch.randn(3, 16, 8)
    one = merge_similar(features, 1)
    torch.testing.assert_close(one[:, 0], features.mean(dim=1))
    assert torch.equal(merge_similar(features, 16), features)
    kinds = torch.eye(8)[torch.tensor([2, 2, 5, 5, 7, 7, 1, 1])][None]
    torch.testing.assert_close(merge_similar(kinds, 4)[0], torch.eye(8)[[2, 5, 7, 1]])


@pytest.mark.parametrize("kind", ["tome_mlp", "resampler", "linear"])
def test_a_model_of_each_kind_is_saved_and_loaded(
    kind: str, tiny_llm: Path, tmp_path: Path
) -> None:
    own, _ = tiny_videollm(tiny_llm)
    model = VideoLLMForConditionalGeneration.from_parts(
        own.vision_model, str(tiny_llm), tokens_per_frame=3, projector_type=kind
    ).eval()
    model.save_pretrained(tmp_path)
    loaded = VideoLLMForConditionalGeneration.from_pretrained(tmp_path)
    features = torch.randn(2, PATCHES, WIDTH)
    assert torch.equal(loaded.project(features), model.project(features))


@every_kind
def test_no_frames_give_no_tokens_and_gradients_of_zero(kind: str) -> None:
    """A process without a video projects none, and still takes part in every gradient."""
    projector = make(kind).train()
    none = projector(torch.zeros(0, PATCHES, WIDTH))
    assert none.shape == (0, 4, TEXT)
    none.sum().backward()
    for name, weight in projector.named_parameters():
        assert weight.grad is not None, name
        assert not weight.grad.any()
