"""Laws of the bootstrap: it holds the mean, it is reproducible, it has the width it should."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from videollm.errors import DataError
from videollm.eval.intervals import bootstrap_interval

clips = st.lists(
    st.integers(1, 6).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))),
    min_size=1,
    max_size=30,
)


@given(clips=clips, seed=st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_interval_holds_the_mean_and_stays_in_range(
    clips: list[tuple[int, int]], seed: int
) -> None:
    sums, counts = zip(*clips, strict=True)
    low, high = bootstrap_interval(sums, counts, num_resamples=200, seed=seed)
    assert 0.0 <= low <= sum(sums) / sum(counts) <= high <= 1.0


def test_same_seed_same_interval() -> None:
    sums, counts = [1, 0, 3, 2, 2], [3, 3, 3, 3, 3]
    assert bootstrap_interval(sums, counts, seed=5) == bootstrap_interval(sums, counts, seed=5)


def test_width_is_that_of_the_binomial_for_single_questions() -> None:
    rights = [1] * 150 + [0] * 250
    low, high = bootstrap_interval(rights, [1] * 400)
    mean = 150 / 400
    half = 1.96 * math.sqrt(mean * (1 - mean) / 400)
    assert low == pytest.approx(mean - half, abs=0.006)
    assert high == pytest.approx(mean + half, abs=0.006)


def test_questions_about_one_clip_are_not_independent() -> None:
    """Five questions that are all right or all wrong together say no more than one does."""
    rights = [1] * 40 + [0] * 40
    one = bootstrap_interval(rights, [1] * 80)
    five = bootstrap_interval([5 * right for right in rights], [5] * 80)
    assert five == pytest.approx(one)


def test_more_resamples_than_one_block_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    sums, counts = [1, 0, 3, 2], [3, 3, 3, 3]
    whole = bootstrap_interval(sums, counts, num_resamples=101)
    monkeypatch.setattr("videollm.eval.intervals._ENTRIES_AT_ONCE", 40)
    low, high = bootstrap_interval(sums, counts, num_resamples=101)
    assert (low, high) == pytest.approx(whole, abs=0.15)


def test_coverage_is_about_what_is_promised() -> None:
    generator = torch.Generator().manual_seed(0)
    hits = 0
    for trial in range(100):
        rights = (torch.rand(60, generator=generator) < 0.4).int().tolist()
        low, high = bootstrap_interval(rights, [1] * 60, num_resamples=300, seed=trial)
        hits += low <= 0.4 <= high
    assert hits >= 88


@pytest.mark.parametrize(("sums", "counts"), [([], []), ([1.0], [1, 2])])
def test_nothing_to_draw_from_is_refused(sums: list[float], counts: list[int]) -> None:
    with pytest.raises(DataError, match="one sum and one count per clip"):
        bootstrap_interval(sums, counts)
