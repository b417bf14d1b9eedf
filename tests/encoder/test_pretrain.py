"""Laws of pretraining: causality, gradients everywhere, honest losses."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.tiny import tiny_encoder
from videollm.encoder import VideoMAPForPreTraining, VideoMAPPreTrainingConfig
from videollm.encoder.decoder import AutoregressiveDecoder
from videollm.encoder.masking import random_visible
from videollm.encoder.pretrain import cosine_loss, instance_norm, pixel_targets

FRAMES, PATCHES, WIDTH = 5, 4, 6


def model(**overrides: object) -> VideoMAPForPreTraining:
    fields = {
        "encoder_config": tiny_encoder(scan_mode="frame_causal"),
        "target_type": "features",
        "target_dim": WIDTH,
        "decoder_layers": 2,
        "decoder_hidden_size": 16,
        "decoder_attention_heads": 2,
    }
    return VideoMAPForPreTraining(VideoMAPPreTrainingConfig(**{**fields, **overrides})).eval()


def visible(keep: float = 0.5) -> Tensor:
    return random_visible(1, FRAMES, PATCHES, keep, torch.Generator().manual_seed(0))


def video() -> Tensor:
    return torch.randn(1, FRAMES, 3, 16, 16)


def video_of_ones() -> Tensor:
    return torch.ones(1, FRAMES, 3, 16, 16)


def targets() -> Tensor:
    return torch.randn(1, FRAMES, PATCHES, WIDTH)


@pytest.mark.parametrize("changed", range(1, FRAMES))
def test_predictions_never_see_their_own_frame_or_later_ones(changed: int) -> None:
    trained = model()
    clip = video()
    altered = clip.clone()
    altered[:, changed:] += 1.0
    with torch.no_grad():
        before = trained(clip, targets=targets(), visible=visible()).predictions
        after = trained(altered, targets=targets(), visible=visible()).predictions
    assert torch.equal(before[:, : changed + 1], after[:, : changed + 1])
    if changed + 1 < FRAMES:
        assert not torch.equal(before[:, changed + 1 :], after[:, changed + 1 :])


def test_past_and_present_sees_its_own_frame() -> None:
    trained = model(decoder_context="past_and_present")
    clip = video()
    altered = clip.clone()
    altered[:, 2] += 1.0
    with torch.no_grad():
        before = trained(clip, targets=targets(), visible=visible()).predictions
        after = trained(altered, targets=targets(), visible=visible()).predictions
    assert torch.equal(before[:, :2], after[:, :2])
    assert not torch.equal(before[:, 2], after[:, 2])


def test_what_a_clip_has_in_common_is_not_scored_under_instance_norm() -> None:
    wanted = targets()
    common = 50.0 * torch.randn(WIDTH)
    plain, normed = model(), model(target_norm="instance")
    normed.load_state_dict(plain.state_dict())
    with torch.no_grad():
        losses = [
            float(one(video_of_ones(), targets=shown, visible=visible()).loss)
            for one in (plain, normed)
            for shown in (wanted, wanted + common)
        ]
    assert abs(losses[0] - losses[1]) > 0.1
    assert losses[2] == pytest.approx(losses[3], abs=1e-4)
    seen = instance_norm(wanted)
    torch.testing.assert_close(seen.mean(dim=(1, 2)), torch.zeros(1, WIDTH), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        seen.var(dim=(1, 2), correction=0), torch.ones(1, WIDTH), atol=1e-4, rtol=0
    )


def test_previous_reads_one_frame_of_the_memory_alone() -> None:
    decoder = model(decoder_context="previous").decoder
    memory = torch.randn(1, FRAMES, PATCHES // 2, decoder.project.in_features)
    altered = memory.clone()
    altered[:, 1] += 1.0
    with torch.no_grad():
        before, after = (decoder(one, visible(), 2) for one in (memory, altered))
    changed = (before != after).flatten(2).any(dim=-1)[0].tolist()
    assert changed == [frame == 2 for frame in range(FRAMES)]


@settings(max_examples=20, deadline=None)
@given(changed=st.integers(0, FRAMES * 2 - 1), seed=st.integers(0, 99))
def test_decoding_by_token_reads_only_what_stands_before(changed: int, seed: int) -> None:
    decoder = AutoregressiveDecoder(
        input_size=6,
        hidden_size=16,
        target_size=3,
        num_layers=2,
        num_heads=2,
        context="past",
        decoding="token",
    ).eval()
    seen = random_visible(2, FRAMES, PATCHES, 0.5, torch.Generator().manual_seed(seed))
    memory = torch.randn(2, FRAMES, 2, 6)
    altered = memory.clone()
    altered[0].view(-1, 6)[changed] += 1.0
    with torch.no_grad():
        before, after = (decoder(item, seen, 2).flatten(1, 2) for item in (memory, altered))
    assert torch.equal(before[1], after[1])
    place = int(seen[0].flatten().nonzero()[changed])
    assert torch.equal(before[0, : place + 1], after[0, : place + 1])
    assert not torch.equal(before[0, place + 1 :], after[0, place + 1 :]) or place == (
        FRAMES * PATCHES - 1
    )


def test_decoding_by_token_scores_masked_tokens_only() -> None:
    trained = model(decoding="token", alignment_weight=0.0)
    clip, wanted, seen = video(), targets(), visible()
    changed = torch.where(seen[..., None], torch.randn_like(wanted), wanted)
    with torch.no_grad():
        first = trained(clip, targets=wanted, visible=seen).loss
        assert torch.equal(first, trained(clip, targets=changed, visible=seen).loss)
        with pytest.raises(ValueError, match="every token is visible"):
            trained(clip, targets=wanted)


@pytest.mark.parametrize("decoding", ["frame", "token"])
@pytest.mark.parametrize("target_type", ["features", "pixels"])
def test_gradient_reaches_every_parameter(target_type: str, decoding: str) -> None:
    features = target_type == "features"
    target_dim = WIDTH if features else None
    trained = model(target_type=target_type, target_dim=target_dim, decoding=decoding).train()
    loss = trained(video(), targets=targets() if features else None, visible=visible()).loss
    loss.backward()
    silent = [
        name
        for name, parameter in trained.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert silent == []


def test_loss_is_the_weighted_sum_of_its_parts() -> None:
    trained = model(prediction_weight=0.5, alignment_weight=2.0)
    output = trained(video(), targets=targets(), visible=visible())
    expected = 0.5 * output.prediction_loss + 2.0 * output.alignment_loss
    torch.testing.assert_close(output.loss.detach(), expected)


def test_cosine_loss_is_zero_on_target_and_four_opposite() -> None:
    target = targets()
    assert cosine_loss(3.0 * target, target, None) == pytest.approx(0.0, abs=1e-5)
    assert cosine_loss(-target, target, None) == pytest.approx(4.0, abs=1e-5)


def test_weights_choose_the_tokens_that_count() -> None:
    predicted, target = targets(), targets()
    weights = torch.zeros(1, FRAMES, PATCHES)
    weights[0, 2, 1] = 3.0
    single = cosine_loss(predicted[:, 2, 1], target[:, 2, 1], None)
    torch.testing.assert_close(cosine_loss(predicted, target, weights), single)


def test_aligning_an_inner_layer_reads_that_layer() -> None:
    trained = model(alignment_layers=(1, -1))
    assert len(trained.alignment_heads) == 2
    assert trained(video(), targets=targets(), visible=visible()).loss.isfinite()


def test_pixel_targets_are_normalised_patches_in_raster_order() -> None:
    clip = video()
    made = pixel_targets(clip, tiny_encoder(scan_mode="frame_causal"))
    assert made.shape == (1, FRAMES, PATCHES, 8 * 8 * 3)
    torch.testing.assert_close(made.mean(-1), torch.zeros(1, FRAMES, PATCHES), atol=1e-5, rtol=0)
    patch = clip[0, 3, :, 8:16, 0:8].permute(1, 2, 0).flatten()
    expected = (patch - patch.mean()) / patch.std()
    torch.testing.assert_close(made[0, 3, 2], expected, atol=1e-4, rtol=1e-4)


def test_save_and_load_is_identity(tmp_path: Path) -> None:
    trained = model()
    trained.save_pretrained(tmp_path)
    loaded = VideoMAPForPreTraining.from_pretrained(tmp_path).eval()
    clip, wanted = video(), targets()
    with torch.no_grad():
        before = trained(clip, targets=wanted, visible=visible()).loss
        after = loaded(clip, targets=wanted, visible=visible()).loss
    assert torch.equal(before, after)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"target_dim": None}, "target_dim is missing"),
        ({"target_type": "pixels"}, "has 192 values"),
        ({"alignment_layers": (7,)}, "layers 0 to 4"),
        ({"prediction_weight": -1.0}, "must not be negative"),
        ({"decoder_hidden_size": 20}, "multiple of 8"),
        ({"decoder_depth": 3}, "no field decoder_depth"),
        ({"decoding": "token", "decoder_context": "past_and_present"}, 'leave it at "past"'),
    ],
)
def test_config_refuses_contradictions(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model(**overrides)


def test_missing_and_superfluous_targets_are_refused() -> None:
    with pytest.raises(ValueError, match="give targets"):
        model()(video())
    with pytest.raises(ValueError, match="makes its own targets"):
        model(target_type="pixels", target_dim=None)(video(), targets=targets())
    with pytest.raises(ValueError, match="targets are 3 wide"):
        model()(video(), targets=targets()[..., :3])
