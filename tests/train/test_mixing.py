"""Laws of mixing: labels say what is in a clip, to the pixel, and nothing given is changed."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from videollm.errors import RecipeError, RequestError
from videollm.train.mixing import Mixing

few = settings(deadline=None, max_examples=40)
BATCHES = st.integers(1, 7)
SEEDS = st.integers(0, 2**32)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def numbered_batch(batch: int, height: int = 16, width: int = 12) -> tuple[Tensor, Tensor]:
    """Return clips filled with their own place in the batch, and that place as label."""
    labels = torch.arange(batch)
    pixel_values = labels.float()[:, None, None, None, None].expand(-1, 2, 3, height, width)
    return pixel_values.clone(), labels


@few
@given(
    batch=BATCHES,
    seed=SEEDS,
    mixup=st.floats(0, 5),
    cutmix=st.floats(0, 5),
    smoothing=st.floats(0, 0.9),
)
def test_rows_sum_to_one_and_nothing_given_is_changed(
    batch: int, seed: int, mixup: float, cutmix: float, smoothing: float
) -> None:
    pixel_values, labels = torch.randn(batch, 2, 3, 8, 9), torch.randint(5, (batch,))
    before = pixel_values.clone(), labels.clone()
    mixing = Mixing(5, mixup=mixup, cutmix=cutmix, smoothing=smoothing)
    mixed, probabilities = mixing(pixel_values, labels, generator(seed))
    assert mixed.shape == pixel_values.shape
    assert mixed.dtype == torch.float32
    assert probabilities.shape == (batch, 5)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(batch), atol=1e-5)
    assert float(probabilities.min()) >= smoothing / 5 - 1e-6
    assert torch.equal(pixel_values, before[0])
    assert torch.equal(labels, before[1])
    again = mixing(pixel_values, labels, generator(seed))
    assert torch.equal(mixed, again[0])
    assert torch.equal(probabilities, again[1])


@few
@given(batch=st.integers(2, 7), seed=SEEDS, alpha=st.floats(0.2, 3))
def test_a_label_is_the_share_of_each_clip_in_the_mixture(
    batch: int, seed: int, alpha: float
) -> None:
    pixel_values, labels = numbered_batch(batch)
    for options in ({"mixup": alpha, "cutmix": 0.0}, {"mixup": 0.0, "cutmix": alpha}):
        mixing = Mixing(batch, smoothing=0.0, **options)
        mixed, probabilities = mixing(pixel_values, labels, generator(seed))
        expected = (probabilities * labels).sum(dim=1)
        assert torch.allclose(mixed.mean(dim=(1, 2, 3, 4)), expected, atol=1e-4)
        own = probabilities.diagonal()
        assert torch.allclose(own, own[:1].expand_as(own), atol=1e-6)
        assert torch.allclose(probabilities.sum(dim=0), torch.ones(batch), atol=1e-5)


def test_a_cut_box_holds_the_partner_in_all_frames() -> None:
    pixel_values, labels = numbered_batch(3)
    mixing, areas = Mixing(3, mixup=0.0, cutmix=1.0, smoothing=0.0), []
    for seed in range(200):
        mixed, probabilities = mixing(pixel_values, labels, generator(seed))
        assert torch.equal(mixed, mixed[:, :1, :1].expand_as(mixed))
        box = mixed[0, 0, 0] != 0
        rows, columns = box.any(dim=1), box.any(dim=0)
        assert bool((box == rows[:, None] & columns).all())
        share = float(box.float().mean())
        assert float(probabilities[0, 0]) == pytest.approx(1 - share, abs=1e-6)
        if share:
            partner = int(mixed[0, 0, 0][box].unique())
            assert float(probabilities[0, partner]) == pytest.approx(share, abs=1e-6)
        areas.append(share)
    # Lambda is uniform; a box whose sides are s and whose centre is anywhere keeps the share
    # (s - s^2 / 4)^2 inside the picture on average, and s^2 = 1 - lambda.
    sides = np.sqrt(np.linspace(0, 1, 10001))
    assert np.mean(areas) == pytest.approx(np.mean((sides - sides**2 / 4) ** 2), abs=0.06)


def test_every_clip_has_another_one_as_partner() -> None:
    pixel_values, labels = numbered_batch(5)
    partners = set()
    for seed in range(40):
        _, probabilities = Mixing(5, smoothing=0.0, cutmix=0.0)(
            pixel_values, labels, generator(seed)
        )
        shares = probabilities.clone().fill_diagonal_(0)
        assert bool(((shares > 0).sum(dim=1) <= 1).all())
        assert bool(((shares > 0).sum(dim=0) <= 1).all())
        partners.add(int(shares[0].argmax()))
    assert partners == {1, 2, 3, 4}


def test_the_ways_of_mixing_switch() -> None:
    pixel_values, labels = numbered_batch(2)

    def num_cut(switch: float) -> int:
        mixing = Mixing(2, mixup=2.0, cutmix=2.0, switch=switch)
        mixtures = (mixing(pixel_values, labels, generator(seed))[0] for seed in range(100))
        return sum(bool((mixed == mixed.round()).all()) for mixed in mixtures)

    assert num_cut(0.0) == 0
    assert num_cut(1.0) == 100
    assert 60 < num_cut(0.75) < 90


@pytest.mark.parametrize("batch", [1, 4])
def test_without_mixing_labels_are_smoothed_alone(batch: int) -> None:
    pixel_values, labels = numbered_batch(batch)
    mixing = Mixing(4) if batch == 1 else Mixing(4, mixup=0.0, cutmix=0.0)
    mixed, probabilities = mixing(pixel_values, labels, generator())
    assert torch.equal(mixed, pixel_values)
    expected = torch.full((batch, 4), 0.025)
    expected[range(batch), labels] = 0.925
    assert torch.allclose(probabilities, expected)


def test_the_loss_is_torchs_smoothed_one() -> None:
    pixel_values, labels = numbered_batch(4)
    logits = torch.randn(4, 6)
    _, probabilities = Mixing(6, mixup=0.0, cutmix=0.0, smoothing=0.2)(
        pixel_values, labels, generator()
    )
    ours = torch.nn.functional.cross_entropy(logits, probabilities)
    theirs = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.2)
    assert float(ours) == pytest.approx(float(theirs), abs=1e-6)


@pytest.mark.parametrize(
    ("options", "finding"),
    [
        ({"num_classes": 0}, "num_classes is 0"),
        ({"mixup": -0.1}, "mixup is -0.1"),
        ({"cutmix": math.inf}, "cutmix is inf"),
        ({"switch": 1.1}, "switch is 1.1"),
        ({"smoothing": 1.0}, "smoothing is 1.0"),
        ({"smoothing": math.nan}, "smoothing is nan"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, float], finding: str) -> None:
    with pytest.raises(RecipeError, match=finding):
        Mixing(**{"num_classes": 3, **options})


def test_batches_that_do_not_fit_are_refused() -> None:
    pixel_values, labels = numbered_batch(3)
    mixing = Mixing(3)
    for wrong in (pixel_values[0], pixel_values.to(torch.uint8), pixel_values[:0]):
        with pytest.raises(RequestError, match="pixel_values are"):
            mixing(wrong, labels, generator())
    for wrong in (labels[:2], labels.float(), labels[:, None]):
        with pytest.raises(RequestError, match=r"give \(3,\) int64"):
            mixing(pixel_values, wrong, generator())
    for wrong, finding in ((labels + 1, "go from 1 to 3"), (labels - 1, "go from -1 to 1")):
        with pytest.raises(RequestError, match=f"{finding}; with num_classes 3 they are 0 to 2"):
            mixing(pixel_values, wrong, generator())
