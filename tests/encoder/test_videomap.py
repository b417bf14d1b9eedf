"""Laws 1, 2 and 5 of the encoder, its shapes, its modes, and what it refuses."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoConfig, AutoModel

from tests.tiny import tiny_encoder
from videollm.encoder import VideoMAPModel, VideoMAPState
from videollm.encoder.masking import random_visible


def causal_model(**overrides: object) -> VideoMAPModel:
    return VideoMAPModel(tiny_encoder(scan_mode="frame_causal", **overrides)).eval()


def clip(frames: int, *, batch: int = 1, size: int = 16, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, frames, 3, size, size, generator=generator)


@torch.no_grad()
def encode_chunks(model: VideoMAPModel, video: Tensor, cuts: list[int]) -> tuple[Tensor, list[int]]:
    state, features, sizes = None, [], []
    for chunk in torch.tensor_split(video, cuts, dim=1):
        part, state = model.encode(chunk, state)
        features.append(part)
        sizes.append(state.nbytes)
    return torch.cat(features, dim=1).flatten(1, 2), sizes


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_chunked_encode_equals_whole_for_any_chunking(data: st.DataObject) -> None:
    tubelet = data.draw(st.sampled_from([1, 2]), label="tubelet")
    steps = data.draw(st.integers(2, 14), label="steps")
    window = data.draw(st.integers(1, 6), label="window")
    pattern = data.draw(st.sampled_from(["MMMMT", "M", "T", "MT"]), label="pattern")
    cuts = data.draw(st.sets(st.integers(1, steps - 1)), label="cuts")
    model = causal_model(tubelet_size=tubelet, attention_window=window, layer_pattern=pattern)
    video = clip(steps * tubelet, batch=data.draw(st.integers(1, 2), label="batch"))
    with torch.no_grad():
        whole = model(video).last_hidden_state
    chunked, sizes = encode_chunks(model, video, sorted(cut * tubelet for cut in cuts))
    torch.testing.assert_close(chunked, whole, atol=1e-5, rtol=1e-5)
    assert len(set(sizes)) == 1


@settings(max_examples=15, deadline=None)
@given(
    steps=st.integers(2, 12),
    changed=st.integers(1, 11),
    tubelet=st.sampled_from([1, 2]),
)
def test_later_frames_leave_earlier_features_bit_equal(
    steps: int, changed: int, tubelet: int
) -> None:
    changed = min(changed, steps - 1)
    model = causal_model(tubelet_size=tubelet)
    video = clip(steps * tubelet)
    altered = video.clone()
    altered[:, changed * tubelet :] += 1.0
    with torch.no_grad():
        before = model(video).last_hidden_state.unflatten(1, (steps, -1))
        after = model(altered).last_hidden_state.unflatten(1, (steps, -1))
    assert torch.equal(before[:, :changed], after[:, :changed])
    assert not torch.equal(before[:, changed:], after[:, changed:])


def test_bidirectional_features_do_depend_on_later_frames() -> None:
    model = VideoMAPModel(tiny_encoder()).eval()
    video = clip(4)
    altered = video.clone()
    altered[:, 3] += 1.0
    with torch.no_grad():
        before, after = (model(v).last_hidden_state for v in (video, altered))
    assert not torch.equal(before[:, :4], after[:, :4])


def test_attention_window_forgets_older_frames() -> None:
    model = causal_model(layer_pattern="T", num_layers=1, attention_window=3)
    video = clip(8)
    altered = video.clone()
    altered[:, 0] += 1.0
    with torch.no_grad():
        before = model(video).last_hidden_state.unflatten(1, (8, -1))
        after = model(altered).last_hidden_state.unflatten(1, (8, -1))
    torch.testing.assert_close(before[:, 3:], after[:, 3:], atol=0, rtol=0)
    assert not torch.equal(before[:, 2], after[:, 2])


@pytest.mark.parametrize("mode", ["bidirectional", "frame_causal"])
def test_save_and_load_is_identity(mode: str, tmp_path: Path) -> None:
    model = VideoMAPModel(tiny_encoder(scan_mode=mode)).eval()
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert isinstance(loaded, VideoMAPModel)
    assert loaded.config.to_diff_dict() == model.config.to_diff_dict()
    for (name, own), (other_name, other) in zip(
        model.state_dict().items(), loaded.state_dict().items(), strict=True
    ):
        assert name == other_name
        assert torch.equal(own, other)
    with torch.no_grad():
        video = clip(4)
        assert torch.equal(model(video).last_hidden_state, loaded(video).last_hidden_state)


def test_config_round_trips_through_the_auto_class(tmp_path: Path) -> None:
    config = tiny_encoder(scan_mode="frame_causal", attention_window=5, tubelet_size=2)
    config.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).to_json_string() == config.to_json_string()


def test_state_round_trips_through_a_file(tmp_path: Path) -> None:
    model = causal_model()
    video = clip(6)
    with torch.no_grad():
        _, state = model.encode(video[:, :3])
        state.save(tmp_path / "state.safetensors")
        loaded = VideoMAPState.load(tmp_path / "state.safetensors")
        assert loaded.frames_seen == 3
        assert loaded.nbytes == state.nbytes
        expected, _ = model.encode(video[:, 3:], state)
        got, _ = model.encode(video[:, 3:], loaded)
    assert torch.equal(got, expected)


def test_state_is_left_as_it_was_and_clones_share_nothing() -> None:
    model = causal_model()
    with torch.no_grad():
        _, state = model.encode(clip(3))
        copy = state.clone()
        model.encode(clip(3, seed=1), state)
    for own, other in zip(state.layers, copy.layers, strict=True):
        for name in own.__dataclass_fields__:
            assert torch.equal(getattr(own, name), getattr(other, name))
            assert getattr(own, name).data_ptr() != getattr(other, name).data_ptr()


def test_moving_a_state_keeps_the_scan_precise() -> None:
    _, state = causal_model().encode(clip(2))
    moved = state.to(dtype=torch.bfloat16)
    assert moved.layers[0].conv.dtype == torch.bfloat16
    assert moved.layers[0].scan.dtype == torch.float32
    assert moved.nbytes < state.nbytes


def test_any_size_that_the_patch_divides_is_read() -> None:
    model = VideoMAPModel(tiny_encoder()).eval()
    video = torch.randn(1, 6, 3, 24, 32)
    with torch.no_grad():
        assert model(video).last_hidden_state.shape == (1, 6 * 3 * 4, 16)


def test_cls_token_comes_first() -> None:
    model = VideoMAPModel(tiny_encoder(use_cls_token=True)).eval()
    with torch.no_grad():
        assert model(clip(4)).last_hidden_state.shape == (1, 1 + 4 * 4, 16)


def test_gradient_reaches_every_parameter_and_checkpointing_changes_nothing() -> None:
    model = VideoMAPModel(tiny_encoder(scan_mode="frame_causal")).train()
    video = clip(4)

    def gradients() -> dict[str, Tensor]:
        model.zero_grad()
        model(video).last_hidden_state.square().mean().backward()
        return {name: value.grad.clone() for name, value in model.named_parameters()}

    plain = gradients()
    assert all(grad.abs().sum() > 0 for name, grad in plain.items())
    model.activation_checkpointing_enable()
    for name, grad in gradients().items():
        torch.testing.assert_close(grad, plain[name], atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("keep", [0.3, 0.5, 1.0])
def test_visible_tokens_alone_enter(keep: float) -> None:
    model = causal_model()
    visible = random_visible(2, 4, 4, keep, torch.Generator().manual_seed(3))
    assert len(set(visible.sum(dim=2).flatten().tolist())) == 1
    video = clip(4, batch=2)
    hidden_patches = ~visible.unflatten(2, (2, 2))
    shut = hidden_patches.repeat_interleave(8, 2).repeat_interleave(8, 3)[:, :, None]
    with torch.no_grad():
        before = model(video, visible=visible).last_hidden_state
        after = model(video + shut * 5.0, visible=visible).last_hidden_state
    assert before.shape[1] == int(visible[0].sum())
    assert torch.equal(before, after)


def test_bf16_keeps_one_fp32_residual_stream() -> None:
    model = causal_model().to(torch.bfloat16)
    with torch.no_grad():
        output = model(clip(4), output_hidden_states=True)
    assert output.hidden_states[-1].dtype == torch.float32
    assert output.last_hidden_state.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"hiden_size": 3}, "no field hiden_size"),
        ({"patch_size": 7}, "multiple of patch_size 7"),
        ({"layer_pattern": "MX"}, "letters M"),
        ({"num_attention_heads": 3}, "even whole number"),
        ({"drop_path_rate": 1.0}, r"in \[0, 1\)"),
        ({"num_layers": 0}, "at least 1"),
        ({"attention_window": 4}, "bidirectional mode attends to all"),
        ({"scan_mode": "frame_causal", "attention_window": None}, "whole number of frames"),
        ({"scan_mode": "frame_causal", "temporal_position": "learned"}, "needs 'rotary'"),
        ({"scan_mode": "frame_causal", "use_cls_token": True}, "leave it False"),
        ({"format_version": 99}, "install a newer"),
    ],
)
def test_config_refuses_contradictions(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_encoder(**overrides)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 16, 16), "expected .batch, frames"),
        ((1, 3, 1, 16, 16), "1 channels; expected 3"),
        ((1, 3, 3, 16, 16), "multiple of 2"),
        ((1, 4, 3, 16, 20), "positive multiples of the patch size 8"),
        ((1, 4, 3, 0, 16), "positive multiples of the patch size 8"),
        ((1, 0, 3, 16, 16), "0 frames; the tubelet needs a positive multiple of 2"),
        ((0, 4, 3, 16, 16), "0 clips"),
    ],
)
def test_model_refuses_other_shapes(shape: tuple[int, ...], message: str) -> None:
    model = causal_model(tubelet_size=2)
    with pytest.raises(ValueError, match=message):
        model(torch.zeros(shape))


def test_unequal_visible_counts_are_refused() -> None:
    visible = torch.ones(1, 4, 4, dtype=torch.bool)
    visible[0, 2, 1] = False
    with pytest.raises(ValueError, match="keeps 3 to 4 tokens"):
        causal_model()(clip(4), visible=visible)
