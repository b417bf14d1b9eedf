"""Laws of the picture operations: all frames alike, effects that grow, and exact values."""

import numpy as np
import pytest
import torch

from videollm.errors import RecipeError
from videollm.train.rand_augment import OPERATIONS, RandAugment, apply_operations

GROWING = sorted(OPERATIONS.keys() - {"AutoContrast", "Equalize", "Invert"})
GEOMETRY = ("Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel")


def random_frames(num_frames: int, height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (num_frames, 3, height, width), dtype=torch.uint8)


def soft_frames(num_frames: int, side: int) -> torch.Tensor:
    """Return frames that change slowly, between 40 and 210, but for a dark box."""
    places = torch.linspace(0, 3, side)
    waves = torch.stack([(places[:, None] * k + places).sin() for k in (1.0, 0.5, -1.0)])
    picture = (125 + 85 * waves).to(torch.uint8)
    picture[:, side // 3 : side // 2, side // 4 : side // 2] = 40
    return picture.expand(num_frames, -1, -1, -1).clone()


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_treats_all_frames_alike_and_does_something(name: str) -> None:
    frames = soft_frames(3, 32)
    untouched = frames.clone()
    for level in (-1.0, 0.7, 1.0):
        changed = apply_operations(frames, [(name, level)])
        assert changed.shape == frames.shape
        assert changed.dtype == torch.uint8
        assert torch.equal(changed, changed[:1].expand_as(changed))
        assert not torch.equal(changed, frames)
    assert torch.equal(frames, untouched)
    mixed = torch.cat([frames[:1], random_frames(1, 32, 32)])
    alone = torch.cat([apply_operations(frame[None], [(name, 0.7)]) for frame in mixed])
    assert torch.equal(apply_operations(mixed, [(name, 0.7)]), alone)


@pytest.mark.parametrize("name", GROWING)
def test_an_operation_grows_with_its_level_in_either_direction(name: str) -> None:
    frames = soft_frames(1, 48)
    for sign in (-1, 1):
        effects = [
            float((apply_operations(frames, [(name, sign * level)]).int() - frames).abs().sum())
            for level in (0.0, 0.3, 0.6, 0.9)
        ]
        assert effects == sorted(effects)
        assert effects[-1] > effects[1] > 0
        assert name == "Posterize" or effects[0] == 0


def test_a_shift_is_exact_and_uncovers_grey() -> None:
    frames = random_frames(2, 40, 40)
    right = apply_operations(frames, [("TranslateXRel", 0.5)])
    assert torch.equal(right[..., :31], frames[..., 9:])
    assert bool((right[..., 31:] == 128).all())
    down = apply_operations(frames, [("TranslateYRel", -0.5)])
    assert torch.equal(down[..., 9:, :], frames[..., :31, :])
    assert bool((down[..., :9, :] == 128).all())


@pytest.mark.parametrize("name", GEOMETRY)
def test_geometry_fills_with_grey_and_goes_both_ways(name: str) -> None:
    white = torch.full((1, 3, 40, 40), 255, dtype=torch.uint8)
    for level in (-1.0, 1.0):
        assert int(apply_operations(white, [(name, level)]).min()) == 128
    frames = random_frames(1, 40, 40)
    there, back = (apply_operations(frames, [(name, level)]) for level in (1.0, -1.0))
    assert not torch.equal(there, back)


def test_colours_have_their_values() -> None:
    frames = torch.tensor([[0, 100, 127], [128, 200, 255]], dtype=torch.uint8)
    frames = frames.expand(1, 3, 2, 3).contiguous()
    expected = {
        ("SolarizeAdd", 0.5): [55, 155, 182, 128, 200, 255],
        ("Solarize", 0.5): [0, 100, 127, 127, 55, 0],
        ("Posterize", 0.5): [0, 64, 64, 128, 192, 192],
        ("Posterize", 1.0): [0, 0, 0, 128, 128, 128],
        ("Invert", 0.0): [255, 155, 128, 127, 55, 0],
        ("Brightness", -1.0): [0, 10, 12, 12, 20, 25],
    }
    for (name, level), values in expected.items():
        assert apply_operations(frames, [(name, level)])[0, 0].flatten().tolist() == values, name


def test_draws_are_half_applied_of_every_kind_and_size() -> None:
    rng, augment = (
        np.random.default_rng(0),
        RandAugment(magnitude=9, num_operations=4, magnitude_std=3),
    )
    drawn = [augment.draw(rng) for _ in range(500)]
    assert 1.8 < np.mean([len(operations) for operations in drawn]) < 2.2
    assert max(len(operations) for operations in drawn) == 4
    names = [name for operations in drawn for name, _ in operations]
    assert set(names) == set(OPERATIONS)
    assert len(OPERATIONS) == 15
    levels = np.array([level for operations in drawn for _, level in operations])
    assert np.abs(levels).max() == 1
    assert 0.4 < (levels < 0).mean() < 0.6
    steady = RandAugment(magnitude=7, num_operations=50).draw(rng)
    assert {abs(level) for _, level in steady} == {0.7}


def test_settings_of_random_operations_are_read() -> None:
    full = RandAugment(magnitude=7, num_operations=4, magnitude_std=0.5)
    assert RandAugment.parse("m7-n4-mstd0.5-inc1") == full
    assert RandAugment.parse("rand-m7-n4-mstd0.5-inc1") == full
    assert RandAugment.parse("m2.5-n1") == RandAugment(magnitude=2.5, num_operations=1)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("", "rand_augment is ''; write for instance m7-n4-mstd0.5-inc1"),
        ("n4-m7", "is 'n4-m7'"),
        ("m7", "is 'm7'"),
        ("m7-n4-inc0", "is 'm7-n4-inc0'"),
        ("m7-n4-mstdinf", "is 'm7-n4-mstdinf'"),
        ("m7-n2.5", "is 'm7-n2.5'"),
        ("m11-n4", "m is 11; give 0 to 10"),
        ("m7-n0", "n is 0; give 1 or more"),
    ],
)
def test_settings_of_random_operations_are_refused(text: str, finding: str) -> None:
    with pytest.raises(RecipeError, match=finding):
        RandAugment.parse(text)
    with pytest.raises(RecipeError, match="mstd is -1"):
        RandAugment(magnitude=7, num_operations=4, magnitude_std=-1)


def test_several_operations_are_one_after_the_other() -> None:
    operations = [("Rotate", 0.4), ("Equalize", 1.0), ("ShearX", -0.6)]
    frames = torch.randint(256, (2, 3, 12, 16), dtype=torch.uint8)
    stepwise = frames
    for operation in operations:
        stepwise = apply_operations(stepwise, [operation])
    assert torch.equal(apply_operations(frames, operations), stepwise)
    assert torch.equal(apply_operations(frames, []), frames)
