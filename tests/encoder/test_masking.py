"""Masks: the same number of visible tokens in every frame, where chance or a teacher says."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from videollm.encoder.masking import guided_visible, random_visible, select_visible


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=30, deadline=None)
@given(
    batch=st.integers(1, 3),
    frames=st.integers(1, 5),
    tokens=st.integers(1, 30),
    keep=st.floats(0.01, 1.0),
    seed=st.integers(0, 1000),
)
def test_every_frame_keeps_the_same_number(
    batch: int, frames: int, tokens: int, keep: float, seed: int
) -> None:
    attention = torch.rand(batch, frames, tokens, generator=generator(seed)) ** 4
    attention[:, 0] = 0  # a teacher that looks nowhere
    for visible in (
        random_visible(batch, frames, tokens, keep, generator(seed)),
        guided_visible(attention, keep, generator(seed)),
    ):
        assert visible.shape == (batch, frames, tokens)
        assert (visible.sum(dim=2) == max(1, round(keep * tokens))).all()


def test_guided_draws_follow_the_attention() -> None:
    attention = torch.tensor([0.5, 0.3, 0.15, 0.05]).expand(1, 20_000, 4)
    drawn = guided_visible(attention, 0.25, generator()).float().mean(dim=(0, 1))
    torch.testing.assert_close(drawn, attention[0, 0], atol=0.012, rtol=0)


def test_scale_of_the_attention_does_not_matter_and_nothing_comes_last() -> None:
    attention = torch.rand(2, 6, 10, generator=generator(1))
    attention[..., 7:] = 0
    visible = guided_visible(attention, 0.7, generator(2))
    assert visible[..., :7].all()
    assert torch.equal(visible, guided_visible(1e-3 * attention, 0.7, generator(2)))


def test_same_seed_same_mask() -> None:
    attention = torch.rand(2, 3, 16, generator=generator(3))
    assert torch.equal(
        guided_visible(attention, 0.5, generator(4)), guided_visible(attention, 0.5, generator(4))
    )
    assert not torch.equal(
        guided_visible(attention, 0.5, generator(4)), guided_visible(attention, 0.5, generator(5))
    )


def test_selected_tokens_stand_in_raster_order() -> None:
    tokens = torch.arange(24.0).view(1, 2, 12, 1)
    visible = random_visible(1, 2, 12, 0.5, generator())
    chosen = select_visible(tokens, visible)[..., 0]
    assert (chosen.diff(dim=2) > 0).all()
    assert torch.equal(chosen.flatten(), tokens[visible].flatten())


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"keep is 0\.0"):
        random_visible(1, 1, 4, 0.0, generator())
    with pytest.raises(ValueError, match=r"keep is 1\.5"):
        guided_visible(torch.ones(1, 1, 4), 1.5, generator())
    with pytest.raises(ValueError, match="negative or non-finite"):
        guided_visible(torch.tensor([[[1.0, float("nan")]]]), 0.5, generator())
