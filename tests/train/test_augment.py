"""Laws of training views: one seed one view, all frames alike, nothing outside the picture."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from videollm.errors import RecipeError, RequestError
from videollm.train.augment import Augment, direction_sensitive
from videollm.transforms import preprocess_frames

EVERYTHING = Augment(
    size=24, crop="resized", flip=0.5, rand_augment="m7-n4-mstd0.5-inc1", erase=0.5
)
few = settings(deadline=None, max_examples=40)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def random_frames(num_frames: int, height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (num_frames, 3, height, width), dtype=torch.uint8)


def place_frames(height: int, width: int) -> torch.Tensor:
    """Return a frame that holds its rows in the first channel and its columns in the second."""
    rows = torch.arange(height)[:, None].expand(height, width)
    columns = torch.arange(width).expand(height, width)
    return torch.stack([rows, columns, rows])[None].to(torch.uint8)


def box_of(view: torch.Tensor) -> tuple[float, float, float, float]:
    """Return first row, first column, height and width of the box that a view of places shows."""
    shown = view[0] * 127.5 + 127.5
    size = view.shape[-1]
    top, bottom = float(shown[0, 0].mean()), float(shown[0, -1].mean())
    left, right = float(shown[1, :, 0].mean()), float(shown[1, :, -1].mean())
    height, width = (size * span / (size - 1) for span in (bottom - top, right - left))
    # The first row of a view is the mean of height / size rows.
    return top - (height / size - 1) / 2, left - (width / size - 1) / 2, height, width


def test_a_view_depends_on_its_seed_alone() -> None:
    frames = random_frames(3, 30, 40)
    untouched = frames.clone()
    first = [EVERYTHING(frames, generator(seed)) for seed in range(8)]
    torch.manual_seed(7)
    np.random.seed(7)
    second = [EVERYTHING(frames, generator(seed)) for seed in range(8)]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not any(torch.equal(first[0], other) for other in first[1:])
    assert torch.equal(frames, untouched)


@few
@given(height=st.integers(1, 60), width=st.integers(1, 60), seed=st.integers(0, 2**32))
def test_every_view_has_its_shape_and_range(height: int, width: int, seed: int) -> None:
    view = EVERYTHING(random_frames(2, height, width), generator(seed))
    assert view.shape == (2, 3, 24, 24)
    assert view.dtype == torch.float32
    assert float(view.abs().max()) <= 1 + 1e-5


@pytest.mark.parametrize("crop", ["letterbox", "resized"])
def test_all_frames_are_treated_alike(crop: str) -> None:
    frames = random_frames(1, 30, 50).expand(4, -1, -1, -1)
    augment = Augment(size=20, crop=crop, flip=0.5, rand_augment="m9-n8-mstd1-inc1")
    for seed in range(10):
        view = augment(frames, generator(seed))
        assert torch.equal(view, view[:1].expand_as(view))


def test_identity_is_what_the_model_sees_otherwise() -> None:
    for height, width in ((30, 40), (40, 17), (24, 24)):
        frames = random_frames(3, height, width)
        view = Augment(size=24)(frames, generator())
        assert torch.equal(view, preprocess_frames(frames, 24))
    whole = Augment(size=24, crop="resized", crop_scale=(1, 1), crop_ratio=(1, 1))
    assert torch.equal(whole(frames, generator()), preprocess_frames(frames, 24))
    larger = random_frames(2, 50, 50)
    view = whole(larger, generator())
    assert torch.allclose(view, preprocess_frames(larger, 24), atol=2.001 / 255)


def test_flipping_twice_is_identity_and_half_is_half() -> None:
    frames = random_frames(2, 30, 40)
    flipped = Augment(size=24, flip=1.0)(frames, generator())
    plain = preprocess_frames(frames, 24)
    assert not torch.equal(flipped, plain)
    assert torch.equal(flipped.flip(-1), plain)
    rng, sometimes = generator(), Augment(size=24, flip=0.25)
    num_flipped = sum(torch.equal(sometimes(frames, rng), flipped) for _ in range(200))
    assert 25 <= num_flipped <= 75


def test_crops_stay_inside_and_keep_to_area_and_ratio() -> None:
    height, width, rng = 160, 240, generator()
    frames = place_frames(height, width)
    augment = Augment(size=32, crop="resized", crop_scale=(0.2, 0.6))
    boxes = np.array([box_of(augment(frames, rng)) for _ in range(200)])
    top, left, box_height, box_width = boxes.T
    assert top.min() > -1  # places are read off pixels, to one whole number
    assert left.min() > -1
    assert (top + box_height).max() < height + 2
    assert (left + box_width).max() < width + 2
    area, ratio = box_height * box_width / (height * width), box_width / box_height
    assert 0.18 < area.min() < 0.25
    assert 0.55 < area.max() < 0.62
    assert 0.71 < ratio.min() < 0.8
    assert 1.25 < ratio.max() < 1.39
    free = np.maximum(height - box_height, 1)
    assert np.ptp(top / free) > 0.8


def test_a_strip_that_holds_no_such_box_gives_its_nearest() -> None:
    augment = Augment(size=16, crop="resized", crop_scale=(0.9, 1.0), crop_ratio=(0.5, 2.0))
    lefts = []
    for seed in range(10):
        _, left, height, width = box_of(augment(place_frames(10, 250), generator(seed)))
        assert height == pytest.approx(10, abs=1)
        assert width == pytest.approx(20, abs=2)
        lefts.append(left)
    assert np.ptp(lefts) > 50
    _, _, height, width = box_of(augment(place_frames(250, 10), generator()))
    assert height == pytest.approx(20, abs=2)
    assert width == pytest.approx(10, abs=1)


def test_one_box_of_noise_is_erased() -> None:
    frames = random_frames(3, 40, 40)
    plain, shares = preprocess_frames(frames, 40), []
    for seed in range(60):
        view = Augment(size=40, erase=1.0)(frames, generator(seed))
        changed = (view != plain).any(dim=1)
        box = changed.any(dim=0)
        rows, columns = box.any(dim=1), box.any(dim=0)
        assert bool((box == rows[:, None] & columns).all())
        assert bool((changed == box).float().mean() > 0.99)
        noise = view[:, :, box]
        assert float(noise.abs().max()) <= 1
        assert not torch.equal(noise[0], noise[1])
        shares.append(float(box.float().mean()))
    assert 0.01 < min(shares) < 0.1
    assert 0.25 < max(shares) < 0.36
    assert torch.equal(Augment(size=40, erase=0.0)(frames, generator()), plain)


def test_random_operations_reach_the_view() -> None:
    frames = random_frames(2, 24, 24) // 2 + 40
    views = [Augment(size=24, rand_augment="m9-n2")(frames, generator(seed)) for seed in range(20)]
    changed = [not torch.equal(view, preprocess_frames(frames, 24)) for view in views]
    assert 9 <= sum(changed) < 20
    for view in views:
        levels = view * 127.5 + 127.5
        assert torch.allclose(levels, levels.round(), atol=1e-3)


@pytest.mark.parametrize(
    ("options", "finding"),
    [
        ({"size": 0}, "size is 0"),
        ({"crop": "centre"}, "crop is 'centre'; take letterbox or resized"),
        ({"crop_scale": (0.0, 1.0)}, "crop_scale is"),
        ({"crop_scale": (0.5, 1.1)}, "crop_scale is"),
        ({"crop_scale": (0.9, 0.5)}, "two rising shares"),
        ({"crop_ratio": (0.0, 1.0)}, "crop_ratio is"),
        ({"crop_ratio": (2.0, 1.0)}, "two rising numbers"),
        ({"flip": 1.5}, "flip is 1.5"),
        ({"erase": float("nan")}, "erase is nan"),
        ({"rand_augment": "n4-m7"}, "rand_augment is 'n4-m7'"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, object], finding: str) -> None:
    with pytest.raises(RecipeError, match=finding):
        Augment(**{"size": 8, **options})


def test_frames_that_are_none_are_refused() -> None:
    frames = random_frames(2, 8, 8)
    for wrong in (frames.float(), frames[0], frames[:, :2], frames[:0]):
        for crop in ("letterbox", "resized"):
            with pytest.raises(RequestError, match=r"give \(T, 3, H, W\) uint8"):
                Augment(size=8, crop=crop)(wrong, generator())


def test_classes_that_a_mirror_belies_are_found() -> None:
    belied = [
        "Pushing something from left to right",
        "turn_counter-clockwise",
        "Rotate anticlockwise",
        "PushLeft",
        "TURN RIGHT",
        "spinningClockwise",
        "left-handed throw",
        "moving rightwards",
    ]
    others = ["eating leftovers", "standing upright", "brightening", "clock repair", "opening", ""]
    mixed = [name for pair in zip(belied, [*others, "up", "down"], strict=True) for name in pair]
    assert direction_sensitive(mixed) == belied
    assert direction_sensitive(others) == []
