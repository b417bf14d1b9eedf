"""Choices, frame budgets and mixtures: exact, for random sizes."""

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import Dataset

from videollm.errors import RecipeError, RequestError
from videollm.train.choice import choose
from videollm.train.dialogue_records import Medium
from videollm.train.draws import DrawSampler
from videollm.train.examples import Example
from videollm.train.frame_budget import FrameBudget
from videollm.train.mixture import Member, Mixture, counts_of_pass

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=5)


class Numbers(Dataset[Example]):
    def __getitem__(self, index: int) -> Example:
        return Example((), (({"role": "user", "content": str(index)},),))


def members(sizes: list[int], weights: list[float] | None = None) -> list[Member]:
    weights = weights or [1.0] * len(sizes)
    return [
        Member(name=str(number), dataset=Numbers(), size=size, weight=weight)
        for number, (size, weight) in enumerate(zip(sizes, weights, strict=True))
    ]


@given(st.integers(0, 300), st.integers(1, 400), st.integers(0, 9))
def test_choices_are_exact(size: int, count: int, seed: int) -> None:
    everything = list(range(size))
    least = min(size, count)
    assert choose("all", size, seed) == everything
    assert choose(f"first:{count}", size, seed) == everything[:count]
    assert choose(f"end:{count}", size, seed) == everything[size - least :]
    drawn = choose(f"random:{count}", size, seed)
    assert len(drawn) == len(set(drawn)) == least
    assert drawn == sorted(drawn) == choose(f"random:{count}", size, seed)
    assert set(drawn) <= set(everything)
    assert len(choose("random:20%", size, seed)) == len(choose("first:20%", size, 0))
    assert len(choose("first:20%", size, seed)) == round(size / 5)


def test_another_seed_chooses_others() -> None:
    assert choose("random:10", 1000, 0) != choose("random:10", 1000, 1)


BAD_CHOICES = ["", "some", "first", "first:", "first:0", "random:-1", "first:2.5", "last:3"]


@pytest.mark.parametrize("text", [*BAD_CHOICES, "random:0%", "all:3", "random:x%"])
def test_an_unknown_choice_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="sampling: .* given; all, first:N, end:N or random:N"):
        choose(text, 10, 0)


@given(SIZES, st.integers(0, 9))
def test_by_size_every_sample_comes_once_a_pass(sizes: list[int], seed: int) -> None:
    group = members(sizes)
    mixture = Mixture(group, counts_of_pass(group, law="size"), seed=seed)
    for first in (0, len(mixture), 7 * len(mixture)):
        places = [mixture.place(first + index) for index in range(len(mixture))]
        assert sorted(places) == [(k, i) for k, size in enumerate(sizes) for i in range(size)]


@given(SIZES, st.data(), st.integers(1, 6))
def test_weights_are_exact_and_all_samples_come_equally_often(
    sizes: list[int], data: st.DataObject, passes: int
) -> None:
    weights = data.draw(st.lists(st.floats(0.5, 4), min_size=len(sizes), max_size=len(sizes)))
    group = members(sizes, weights)
    try:
        counts = counts_of_pass(group, law="weights")
    except RecipeError:
        assert min(weights) / sum(weights) * sum(sizes) < 1
        return
    assert sum(counts) == sum(sizes)
    for count, weight in zip(counts, weights, strict=True):
        assert abs(count - sum(sizes) * weight / sum(weights)) < 1
    mixture = Mixture(group, counts, seed=3)
    places = [mixture.place(draw) for draw in range(passes * len(mixture))]
    assert [k for k, _ in places[: len(mixture)]].count(0) == counts[0]
    seen = Counter(places)
    for number, (size, count) in enumerate(zip(sizes, counts, strict=True)):
        times = [seen[number, index] for index in range(size)]
        assert sum(times) == passes * count
        assert max(times) - min(times) <= 1


def test_temperature_lies_between_size_and_equal() -> None:
    group = members([100, 900])
    assert counts_of_pass(group, law="temperature", temperature=1.0) == [100, 900]
    assert counts_of_pass(group, law="temperature", temperature=2.0) == [250, 750]
    assert counts_of_pass(group, law="temperature", temperature=1e9) == [500, 500]


def test_repeats_count_as_size() -> None:
    group = [Member(name="a", dataset=Numbers(), size=3, repeat=2), *members([4])]
    assert counts_of_pass(group, law="size") == [6, 4]
    mixture = Mixture(group, [6, 4], seed=0)
    seen = Counter(mixture.place(draw) for draw in range(10))
    assert set(seen.values()) == {1, 2}
    assert mixture[0].dialogues[0][0]["content"] in "012"


def test_a_set_that_would_get_nothing_is_refused() -> None:
    with pytest.raises(RecipeError, match="mixture: 1 gets none of the 20 samples of a pass"):
        counts_of_pass(members([10, 10], [1.0, 0.001]), law="weights")


@given(SIZES, st.integers(1, 7), st.integers(0, 9), st.data())
def test_an_order_that_is_gone_on_with_is_the_uninterrupted_one(
    sizes: list[int], batch: int, seed: int, data: st.DataObject
) -> None:
    def order(epoch: int) -> list[tuple[int, int]]:
        mixture = Mixture(members(sizes), sizes, seed=seed)
        sampler = DrawSampler(len(mixture), seed, batch_size=batch)
        sampler.set_epoch(epoch)
        return [mixture.place(draw) for draw in sampler]

    whole = [place for epoch in range(3) for place in order(epoch)]
    stop = data.draw(st.integers(0, len(whole) - 1))
    epoch, skipped = divmod(stop, len(whole) // 3)
    rest = [place for later in range(epoch, 3) for place in order(later)]
    assert list(islice(rest, skipped, None)) == whole[stop:]


def video(share: float = 1.0) -> Medium:
    return Medium(kind="video", path=Path("a.mp4"), share=share)


IMAGE = Medium(kind="image", path=Path("a.png"))


@given(st.lists(st.sampled_from(["video", "image", "half"]), max_size=6), st.integers(1, 40),
       st.integers(1, 3), st.integers(1, 20), st.integers(1, 3000))  # fmt: skip
def test_no_sample_exceeds_its_budget(
    kinds: list[str], num_frames: int, tubelet: int, tokens: int, most: int
) -> None:
    media = [{"video": video(), "image": IMAGE, "half": video(0.5)}[kind] for kind in kinds]
    fields = {"num_frames": num_frames, "tubelet_size": tubelet, "tokens_per_frame": tokens}
    free = FrameBudget(**fields).plan(media)
    bounded = FrameBudget(**fields, max_visual_tokens=most)
    try:
        frames = bounded.plan(media)
    except RequestError:
        assert len(media) * tokens > most
        return
    assert bounded.visual_tokens(frames) <= most
    assert all(1 <= few <= many for few, many in zip(frames, free, strict=True))
    if bounded.visual_tokens(free) <= most:
        assert frames == free
    else:
        # Not a whole token frame is left over.
        assert bounded.visual_tokens(frames) > most - tokens
    for medium, count in zip(media, frames, strict=True):
        assert medium.kind == "video" or count == 1


def test_streams_share_the_frames_of_one_video() -> None:
    parts = [video(share) for share in (0.25, 0.5, 0.25)]
    assert FrameBudget(num_frames=16).plan(parts) == [4, 8, 4]
    assert FrameBudget(num_frames=16, fps=1.0, max_frames=8).plan(parts) == [2, 4, 2]


def test_orders_differ_between_members_and_seeds() -> None:
    group = members([50, 50])

    def order(seed: int, member: int) -> list[int]:
        mixture = Mixture(group, [50, 50], seed=seed)
        return [mixture.place(50 * member + index)[1] for index in range(50)]

    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)
    assert np.array_equal(order(0, 0), order(0, 0))
