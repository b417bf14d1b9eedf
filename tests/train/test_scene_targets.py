"""Targets from scenes: nothing is known before it can be seen, and words stay in their region."""

import numpy as np
import pytest
import torch

from videollm.toyworld.labels import KNOWN_SECONDS, known_words
from videollm.toyworld.render import object_presence, uniform_times
from videollm.toyworld.scene import Scene, make_scene
from videollm.toyworld.vocabulary import FEATURE_GROUPS, MOTIONS
from videollm.train import scene_targets as targets
from videollm.train.scene_targets import (
    PLACE_WORDS,
    balanced_weights,
    region_vocabulary,
    region_words,
    target_size,
)
from videollm.worlds import WORLDS

REGION_WORDS = region_vocabulary(WORLDS["toy"])
BACKGROUND, TARGET_SIZE = REGION_WORDS.index("nothing"), target_size(WORLDS["toy"])

SCENES = [make_scene("train", index) for index in range(12)]
TIMES = uniform_times(8)


def scene_target(scene: Scene, times: np.ndarray) -> torch.Tensor:
    return targets.scene_targets(scene, times, grid=4, tubelet=2)[0]


@pytest.mark.parametrize("scene", SCENES[:6], ids=lambda scene: str(scene.index))
def test_targets_are_causal(scene: Scene) -> None:
    whole = scene_target(scene, TIMES)
    for num_frames in (2, 4, 6):
        assert torch.equal(whole[: num_frames // 2], scene_target(scene, TIMES[:num_frames]))


def test_targets_have_unit_length_and_empty_cells_are_background() -> None:
    for scene in SCENES:
        values, covered = targets.scene_targets(scene, TIMES, grid=8, tubelet=2)
        assert values.shape == (4, 64, TARGET_SIZE)
        torch.testing.assert_close(values.norm(dim=-1), torch.ones(4, 64))
        empty = covered == 0
        assert empty.any()
        only_background = torch.zeros(TARGET_SIZE)
        only_background[BACKGROUND] = 1
        torch.testing.assert_close(
            values[empty], only_background.expand(int(empty.sum()), -1), atol=1e-6, rtol=0
        )


def test_motion_fades_in_while_an_object_is_watched() -> None:
    motion = FEATURE_GROUPS["motion"]
    assert set(KNOWN_SECONDS) <= set(MOTIONS)
    for scene in SCENES:
        known = known_words(scene, TIMES)[..., motion].sum(axis=-1)
        present = object_presence(scene, TIMES)
        for one, there in zip(known.T, present.T, strict=True):
            seen = one[there]
            assert (np.diff(seen) >= 0).all()
            assert seen.size == 0 or seen[0] == 0


def test_velocity_is_the_step_from_the_frame_before() -> None:
    for scene in SCENES:
        speeds = targets.velocities(scene, TIMES)
        assert not speeds[0].any()
        still = [index for index, thing in enumerate(scene.objects) if thing.motion == "still"]
        assert not speeds[:, still].any()
        for index, thing in enumerate(scene.objects):
            if thing.motion == "right":
                assert (speeds[:, index, 0] >= 0).all()
                assert speeds[:, index, 0].max() > 0


def test_region_words_name_what_is_there() -> None:
    for scene in SCENES:
        words, presence = region_words(scene, TIMES, grid=2, tubelet=2)
        assert words.shape == (4, 4, len(REGION_WORDS))
        said = {REGION_WORDS[i] for i in (words.amax(dim=(0, 1)) > 0).nonzero().flatten()}
        shown = {word for thing in scene.objects for word in thing.pair}
        assert shown <= said
        torch.testing.assert_close(words[..., BACKGROUND], 1 - presence)
        alone = presence == 0
        assert not words[alone][:, : -len(PLACE_WORDS) - 1].any()


def test_places_grow_towards_their_border() -> None:
    west, east, top, bottom = targets._sides(4).reshape(4, 4, 4).transpose(2, 0, 1)
    assert (np.diff(west, axis=1) <= 0).all()
    assert (np.diff(east, axis=1) >= 0).all()
    np.testing.assert_array_equal(top, west.T)
    np.testing.assert_array_equal(bottom, east.T)


def test_weights_balance_objects_and_background() -> None:
    full = (torch.rand(3, 5, 7) < 0.1).float()
    weights = balanced_weights(full)
    torch.testing.assert_close((weights * full).sum(), (weights * (1 - full)).sum())
    torch.testing.assert_close(balanced_weights(torch.rand(9, 9) ** 4).mean(), torch.tensor(1.0))
    assert torch.equal(balanced_weights(torch.zeros(4)), torch.ones(4))
