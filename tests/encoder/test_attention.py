"""Attention by frames: against its definition, without masks or copies, in every implementation."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import is_flash_attn_2_available

from tests.tiny import tiny_encoder
from videollm.encoder import VideoMAPModel
from videollm.encoder.attention import AttentionMixer, eager_attention
from videollm.encoder.embed import RotaryTime
from videollm.encoder.mamba import TokenGrid


def mixer_of(window: int, *, implementation: str = "sdpa") -> AttentionMixer:
    config = tiny_encoder(
        scan_mode="frame_causal",
        attention_window=window,
        layer_pattern="T",
        num_layers=1,
        attn_implementation=implementation,
    )
    return VideoMAPModel(config).double().layers[0].mixer


def masked(mixer: AttentionMixer, hidden: Tensor, grid: TokenGrid, window: int) -> Tensor:
    """Return what the mixer has to give, by a mask over all pairs of tokens."""
    parts = mixer.qkv(hidden).unflatten(-1, (3, mixer.num_heads, -1)).unbind(2)
    query, key, value = (part.transpose(1, 2) for part in parts)
    by_frame = (grid.num_frames, grid.tokens_per_frame)
    query, key = (
        mixer.rotary(part.unflatten(2, by_frame), 0).flatten(2, 3) for part in (query, key)
    )
    frames = torch.arange(grid.num_frames).repeat_interleave(grid.tokens_per_frame)
    distance = frames[:, None] - frames
    mask = (distance >= 0) & (distance < window)
    mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return mixer.out_proj(mixed.transpose(1, 2).flatten(2))


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 3),
    frames=st.integers(1, 9),
    tokens=st.integers(1, 5),
    window=st.integers(1, 6),
    implementation=st.sampled_from(["sdpa", "eager"]),
)
def test_windowed_attention_equals_a_masked_one_and_so_do_its_gradients(
    batch: int, frames: int, tokens: int, window: int, implementation: str
) -> None:
    mixer = mixer_of(window, implementation=implementation)
    hidden = torch.randn(batch, frames * tokens, 16, dtype=torch.float64, requires_grad=True)
    grid = TokenGrid(num_frames=frames, tokens_per_frame=tokens)
    got, state = mixer(hidden, grid, None)
    expected = masked(mixer, hidden, grid, window)
    assert state is None
    torch.testing.assert_close(got, expected, atol=1e-10, rtol=1e-8)
    weight = torch.randn_like(got)
    inputs = [hidden, mixer.qkv.weight]
    for own, other in zip(
        torch.autograd.grad((got * weight).sum(), inputs),
        torch.autograd.grad((expected * weight).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(own, other, atol=1e-10, rtol=1e-8)


@pytest.fixture
def calls() -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Register an implementation named "spy" and give the keys and values that it was handed."""
    seen: list[tuple[Tensor, Tensor]] = []

    def spy(
        module: torch.nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: None,
        **kwargs: object,
    ) -> tuple[Tensor, Tensor]:
        assert mask is None
        assert kwargs["is_causal"] is False
        seen.append((key, value))
        return eager_attention(module, query, key, value, mask, kwargs["scaling"])

    ALL_ATTENTION_FUNCTIONS["spy"] = spy
    yield seen
    del ALL_ATTENTION_FUNCTIONS["spy"]


def test_windows_are_views_of_the_keys_without_a_mask(calls: list[tuple[Tensor, Tensor]]) -> None:
    frames, tokens, window = 40, 3, 4
    mixer = mixer_of(window, implementation="spy")
    hidden = torch.randn(2, frames * tokens, 16, dtype=torch.float64)
    mixer(hidden, TokenGrid(num_frames=frames, tokens_per_frame=tokens), None)
    assert len(calls) == window  # the frames before the window is full, then all others
    for part in calls[-1]:
        heads = part.shape[0]
        assert part.shape == (heads, frames - window + 1, window * tokens, 8)
        assert part.untyped_storage().nbytes() == hidden.nbytes


@pytest.mark.parametrize("mode", ["frame_causal", "bidirectional"])
def test_implementations_agree(mode: str) -> None:
    model = VideoMAPModel(tiny_encoder(scan_mode=mode)).eval()
    assert model.config._attn_implementation == "sdpa"
    video = torch.randn(1, 12, 3, 16, 16)
    with torch.no_grad():
        fused = model(video).last_hidden_state
        model.set_attn_implementation("eager")
        plain = model(video).last_hidden_state
    torch.testing.assert_close(plain, fused, atol=1e-5, rtol=1e-5)
    assert not torch.equal(plain, fused)


@pytest.mark.skipif(is_flash_attn_2_available(), reason="flash-attn is installed")
def test_flash_attention_that_is_not_installed_is_refused() -> None:
    with pytest.raises(ImportError, match="FlashAttention2 .* installed"):
        VideoMAPModel(tiny_encoder(attn_implementation="flash_attention_2"))


def test_an_unknown_implementation_is_refused() -> None:
    with pytest.raises(ValueError, match='"spyglass"` is not supported'):
        VideoMAPModel(tiny_encoder(attn_implementation="spyglass"))


@pytest.mark.parametrize("first_frame", [1, 1000, 10**7])
def test_rotary_products_depend_on_distance_alone(first_frame: int) -> None:
    rotary = RotaryTime(8, theta=100.0)
    query, key = torch.randn(2, 1, 1, 6, 1, 8, dtype=torch.float64)

    def products(start: int) -> Tensor:
        turned = (rotary(part, start)[0, 0, :, 0] for part in (query, key))
        return torch.einsum("tk,sk->ts", *turned)

    torch.testing.assert_close(products(first_frame), products(0), atol=1e-7, rtol=1e-6)
