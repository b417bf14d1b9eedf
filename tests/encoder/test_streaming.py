"""Reading in chunks: equal to whole, in a state of constant size, and what is refused."""

import pytest
import torch
from torch import Tensor

from tests.tiny import tiny_encoder
from videollm.encoder import VideoMAPModel


def causal_model(**overrides: object) -> VideoMAPModel:
    return VideoMAPModel(tiny_encoder(scan_mode="frame_causal", **overrides)).eval()


def clip(frames: int, *, batch: int = 1) -> Tensor:
    return torch.randn(batch, frames, 3, 16, 16)


@pytest.mark.parametrize("chunk_frames", [1, 3, 8])
def test_two_hundred_frames_in_chunks_equal_the_whole(chunk_frames: int) -> None:
    model, video = causal_model(), clip(200)
    with torch.no_grad():
        whole = model(video).last_hidden_state.unflatten(1, (200, -1))
    chunked = model.encode_chunked(video, chunk_frames=chunk_frames)
    assert chunked.shape == whole.shape
    assert (chunked - whole).abs().max() < 1e-4


def test_state_has_the_same_bytes_after_8_and_after_2000_frames() -> None:
    model = causal_model(attention_window=3)
    with torch.no_grad():
        _, state = model.encode(clip(8))
        early = state.nbytes
        for _ in range(49):
            _, state = model.encode(clip(40), state)
        _, state = model.encode(clip(32), state)
    assert state.frames_seen == 2000
    assert state.nbytes == early


def test_chunk_size_is_chosen_where_none_is_given() -> None:
    model = causal_model(tubelet_size=3)
    video = clip(69, batch=2)
    with torch.no_grad():
        whole = model(video).last_hidden_state.unflatten(1, (23, -1))
    torch.testing.assert_close(model.encode_chunked(video), whole, atol=1e-5, rtol=1e-5)


def test_gradients_flow_through_the_state() -> None:
    model, video = causal_model(attention_window=4).double(), clip(7).double()
    weights = [model.layers[0].mixer.in_proj.weight, model.layers[4].mixer.qkv.weight]
    whole = model(video).last_hidden_state.unflatten(1, (7, -1))
    expected = torch.autograd.grad(whole[:, 3:].square().sum(), weights)
    _, state = model.encode(video[:, :3])
    features, _ = model.encode(video[:, 3:], state)
    for own, other in zip(
        torch.autograd.grad(features.square().sum(), weights), expected, strict=True
    ):
        torch.testing.assert_close(own, other, atol=1e-9, rtol=1e-7)


def test_features_of_a_chunked_clip_hold_no_graph() -> None:
    assert not causal_model().encode_chunked(clip(4), chunk_frames=2).requires_grad


@pytest.mark.parametrize("chunk_frames", [0, -2, 3])
def test_chunks_that_do_not_fit_are_refused(chunk_frames: int) -> None:
    with pytest.raises(
        ValueError, match=f"is {chunk_frames}; it must be a positive multiple .* size 2"
    ):
        causal_model(tubelet_size=2).encode_chunked(clip(4), chunk_frames=chunk_frames)


def test_a_clip_that_does_not_fit_is_refused_before_anything_is_read() -> None:
    model = causal_model(tubelet_size=2)
    model.layers[0].register_forward_hook(lambda *_: pytest.fail("a layer ran"))
    with pytest.raises(ValueError, match="clip has 5 frames"):
        model.encode_chunked(clip(5), chunk_frames=2)


def test_only_frame_causal_models_read_in_chunks() -> None:
    model = VideoMAPModel(tiny_encoder()).eval()
    with pytest.raises(ValueError, match="only 'frame_causal'.*call the model on the whole clip"):
        model.encode(clip(4))
    with pytest.raises(ValueError, match="only 'frame_causal'.*call the model on the whole clip"):
        model.encode_chunked(clip(4))


@pytest.mark.parametrize("other", [clip(2, batch=2), torch.randn(1, 2, 3, 16, 24)])
def test_the_state_of_another_video_is_refused(other: Tensor) -> None:
    model = causal_model()
    with torch.no_grad():
        _, state = model.encode(clip(3))
        with pytest.raises(
            ValueError, match=r"the state has \(5, 1, 4\) layers, clips and patches"
        ):
            model.encode(other, state)


def test_the_state_of_another_model_is_refused() -> None:
    with torch.no_grad():
        _, state = causal_model(num_layers=4).encode(clip(2))
        with pytest.raises(ValueError, match="the state has .4, 1, 4. layers"):
            causal_model().encode(clip(2), state)
