"""Numbered draws: every epoch its own order, every draw its own randomness."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videollm.train.draws import DrawSampler, draw_generator


@given(num=st.integers(1, 40), seed=st.integers(0, 9), epoch=st.integers(0, 5))
def test_an_epoch_draws_every_sample_once_under_its_own_numbers(
    num: int, seed: int, epoch: int
) -> None:
    sampler = DrawSampler(num, seed)
    sampler.set_epoch(epoch)
    draws = list(sampler)
    assert sorted(draws) == list(range(epoch * num, (epoch + 1) * num))
    assert draws == list(sampler)
    assert len(sampler) == num


@given(num=st.integers(1, 20), batch=st.integers(1, 30), seed=st.integers(0, 9))
def test_whole_batches_go_through_pass_after_pass(num: int, batch: int, seed: int) -> None:
    sampler = DrawSampler(num, seed, batch_size=batch)
    assert len(sampler) % batch == 0
    assert 0 <= len(sampler) - num < batch
    stream = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        stream += list(sampler)
    for start in range(0, len(stream) - num + 1, num):
        assert sorted(stream[start : start + num]) == list(range(start, start + num))


def test_epochs_and_seeds_have_other_orders() -> None:
    sampler = DrawSampler(50, 0)
    first = list(sampler)
    sampler.set_epoch(1)
    assert [draw - 50 for draw in sampler] != first
    assert list(DrawSampler(50, 1)) != first


@pytest.mark.parametrize("other", [(1, 5, 0), (0, 6, 0), (0, 5, 1)])
def test_seed_draw_and_stream_all_count(other: tuple[int, int, int]) -> None:
    assert draw_generator(0, 5).random() == draw_generator(0, 5, 0).random()
    assert draw_generator(*other).random() != draw_generator(0, 5).random()
