"""The toy world as data: each batch depends on its indices alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from videollm.encoder import VideoMAPConfig, demo_config
from videollm.errors import DataError, RecipeError
from videollm.toyworld.render import uniform_times
from videollm.train.arguments import PretrainArguments
from videollm.train.masks import MaskDrawer
from videollm.train.motion_clips import MotionClips, MotionTest
from videollm.train.pretrain_batches import PretrainBatches
from videollm.train.toyworld_data import (
    SceneCollator,
    ToyWorldScenes,
    WordCollator,
    batch_generator,
    check_frames,
)
from videollm.train.toyworld_dialogues import ToyWorldDialogues
from videollm.worlds import WORLDS

ENCODER = demo_config(image_size=32, patch_size=8)
SCENES = ToyWorldScenes("train", 100, 0)


def collator(**options: object) -> SceneCollator:
    objective = PretrainArguments(**{"teacher": "scene", **options})
    masks = MaskDrawer(keep_ratios=tuple(objective.keep_ratios), seed=3)
    return SceneCollator(
        encoder=ENCODER,
        objective=objective,
        num_frames=8,
        seed=3,
        batches=PretrainBatches(encoder=ENCODER, masks=masks),
    )


def test_same_indices_give_the_same_batch_in_any_state() -> None:
    first = collator()([SCENES[index] for index in (4, 9)])
    torch.manual_seed(123)
    np.random.seed(5)
    second = collator()([ToyWorldScenes("train", 50, 0)[index] for index in (4, 9)])
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name])


def test_other_batches_get_other_masks() -> None:
    make = collator(keep_ratios=[0.5])
    masks = [make([SCENES[index], SCENES[index + 1]])["visible"] for index in range(3)]
    assert not torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[1], masks[2])


@pytest.mark.parametrize("keep", [1.0, 0.5, 0.2])
def test_every_frame_keeps_the_same_share(keep: float) -> None:
    visible = collator(keep_ratios=[keep])([SCENES[0], SCENES[1]])["visible"]
    assert visible.shape == (2, 4, 16)
    assert (visible.sum(dim=2) == round(16 * keep)).all()


def test_all_ratios_are_drawn() -> None:
    make = collator(keep_ratios=[1.0, 0.5, 0.25])
    drawn = {float(make([SCENES[index]])["visible"].float().mean()) for index in range(20)}
    assert drawn == {1.0, 0.5, 0.25}


def test_windows_are_parts_of_the_clip_and_targets_know_no_more() -> None:
    make = collator(subclip_frames=4, subclip_share=1.0)
    whole, part = uniform_times(8), make._windows([SCENES[0]] * 50, batch_generator(0, [0]))
    starts = {int(np.searchsorted(whole, times[0])) for times in part}
    assert starts == {0, 1, 2, 3, 4}
    for times in part:
        start = int(np.searchsorted(whole, times[0]))
        np.testing.assert_array_equal(times, whole[start : start + 4])
    batch = make([SCENES[0], SCENES[1]])
    assert batch["pixel_values"].shape == (2, 4, 3, 32, 32)
    assert batch["targets"].shape[:3] == batch["visible"].shape == (2, 2, 16)


def test_share_of_short_batches_is_kept() -> None:
    make = collator(subclip_frames=4, subclip_share=0.25)
    short = [len(make._windows([SCENES[0]], batch_generator(0, [i]))[0]) == 4 for i in range(400)]
    assert 0.18 < sum(short) / 400 < 0.32


def test_pixels_need_no_targets() -> None:
    assert collator(teacher="pixels")([SCENES[0]]).keys() == {"pixel_values", "visible"}


def test_word_batches_fit_the_projector() -> None:
    make = WordCollator(encoder=ENCODER, tokens_per_frame=4, num_frames=8)
    batch = make([SCENES[0], SCENES[1], SCENES[2]])
    assert batch["pixel_values"].shape == (3, 8, 3, 32, 32)
    assert batch["words"].shape[:3] == batch["weights"].shape == (3, 4, 4)


def dialogues(families: tuple[str, ...] = ()) -> ToyWorldDialogues:
    return ToyWorldDialogues(
        "train",
        num_clips=10,
        seed=0,
        image_size=32,
        num_frames=4,
        questions=5,
        families=families,
    )


def test_dialogues_are_pure_functions_of_their_index() -> None:
    for index in (0, 7):
        first, second = dialogues()[index], dialogues()[index]
        assert first.dialogues == second.dialogues
        (one,), (other,) = first.videos, second.videos
        assert torch.equal(one.frames, other.frames)


def test_scenes_without_a_question_are_passed_over() -> None:
    data = dialogues(("time",))
    assert all(data[index].dialogues for index in range(10))


def test_families_that_ask_nothing_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    data = dialogues()
    monkeypatch.setattr(data, "world", replace(data.world, ask=lambda *_, **__: []))
    with pytest.raises(DataError, match="ask nothing"):
        data[0]


def test_frames_must_fill_tubelets() -> None:
    check_frames(6, VideoMAPConfig(tubelet_size=3))
    with pytest.raises(RecipeError, match="num_frames: 7 given; the encoder needs a multiple of 3"):
        check_frames(7, VideoMAPConfig(tubelet_size=3))


def test_one_object_makes_the_clips_that_classify_learns() -> None:
    single = ToyWorldScenes("val", 6, 0, max_objects=1)
    motions = MotionClips(WORLDS["toy"], "val", 6, seed=0, num_frames=8, size=32)
    labelled = MotionTest(motions)
    clips = collator()([single[index] for index in range(6)])["pixel_values"]
    for index in range(6):
        assert len(single[index].objects) == 1
        assert torch.equal(clips[index], labelled[index].views[0])
    whole = [ToyWorldScenes("val", 6, 0)[index] for index in range(6)]
    assert any(len(scene.objects) > 1 for scene in whole)
    assert ToyWorldScenes("val", 6, 0, max_objects=4)[0] == whole[0]


def test_objects_cannot_be_fewer_than_none() -> None:
    with pytest.raises(RecipeError, match="max_objects: -1 given, 0 or more allowed"):
        PretrainArguments(max_objects=-1)
