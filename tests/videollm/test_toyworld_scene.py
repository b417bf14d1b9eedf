"""Scenes: pure functions of their number, in the frame, visible, and free of held-out pairs."""

from collections import Counter

import numpy as np
import pytest

from videollm.errors import RequestError
from videollm.toyworld import (
    CLIP_SECONDS,
    COLOURS,
    FEATURE_GROUPS,
    FEATURE_WORDS,
    HELD_OUT_PAIRS,
    MOTIONS,
    SHAPES,
    SIZES,
    SPLITS,
    Scene,
    SceneObject,
    make_scene,
)
from videollm.toyworld.motion import draw_paths
from videollm.toyworld.shapes import EXTENTS

TIMES = np.linspace(0.0, CLIP_SECONDS, 81)[:-1]


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene("train", index) for index in range(300)]


@pytest.fixture(scope="module")
def things(scenes: list[Scene]) -> list[SceneObject]:
    return [thing for scene in scenes for thing in scene.objects]


def _track(thing: SceneObject) -> np.ndarray:
    return thing.positions(TIMES[thing.present(TIMES)])


@pytest.mark.parametrize("split", SPLITS)
def test_scene_depends_on_split_index_and_seed_alone(split: str) -> None:
    before = [make_scene(split, index, seed=3) for index in range(5)]
    make_scene("train", 99)
    np.random.default_rng(0).random(10)
    assert [make_scene(split, index, seed=3) for index in range(5)] == before


def test_no_scene_of_one_split_or_seed_is_in_another() -> None:
    layouts = [
        make_scene(split, index, seed).objects
        for split in SPLITS
        for seed in (0, 1)
        for index in range(12)
    ]
    assert len(set(layouts)) == len(layouts)


def test_held_out_pairs_cover_six_colours_and_every_shape() -> None:
    assert len({colour for colour, _ in HELD_OUT_PAIRS}) == 6
    assert {shape for _, shape in HELD_OUT_PAIRS} == set(SHAPES)


@pytest.mark.parametrize("split", SPLITS)
def test_held_out_pairs_are_in_compositional_scenes_alone(split: str) -> None:
    for index in range(60):
        pairs = [thing.pair for thing in make_scene(split, index).objects]
        assert len(set(pairs)) == len(pairs)
        assert any(pair in HELD_OUT_PAIRS for pair in pairs) == (split == "test_compositional")


def test_every_held_out_pair_is_tested() -> None:
    seen = {
        thing.pair
        for index in range(60)
        for thing in make_scene("test_compositional", index).objects
    }
    assert set(HELD_OUT_PAIRS) <= seen


def test_objects_stay_in_the_frame(things: list[SceneObject]) -> None:
    for thing in things:
        reach = EXTENTS[thing.shape] * thing.radius
        track = _track(thing)
        assert track.min() >= reach
        assert track.max() <= 1 - reach


def test_motion_words_describe_the_path(things: list[SceneObject]) -> None:
    signs = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
    for thing in things:
        track = _track(thing)
        steps = np.diff(track, axis=0)
        spread = np.ptp(track, axis=0)
        if thing.motion == "still":
            assert np.allclose(spread, 0)
        elif thing.motion in signs:
            assert (np.sign(np.round(steps, 9)) == signs[thing.motion]).all()
            assert spread.max() > 1 / 3
        elif thing.motion == "bounces":
            along = steps[:, int(spread[1] > spread[0])]
            assert np.isclose(spread.min(), 0)
            assert spread.max() > 1 / 3
            assert np.count_nonzero(np.diff(np.sign(along))) >= 2
        else:
            turned = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
            assert abs(turned[-1] - turned[0]) > 1.8 * np.pi
            assert spread.min() > 1 / 3


def test_presence_is_long_enough_to_see(things: list[SceneObject]) -> None:
    for thing in things:
        seconds = thing.end_seconds - thing.begin_seconds
        assert 0 <= thing.begin_seconds < thing.end_seconds <= CLIP_SECONDS
        assert seconds >= (2.9 if thing.motion in ("bounces", "loops") else 0.9)
        assert thing.begin_seconds == 0 or thing.end_seconds == CLIP_SECONDS
    timed = [t for t in things if t.end_seconds - t.begin_seconds < CLIP_SECONDS]
    assert 0.2 < len(timed) / len(things) < 0.5


def test_words_are_evenly_frequent(scenes: list[Scene], things: list[SceneObject]) -> None:
    for words, name in ((COLOURS, "colour"), (SHAPES, "shape"), (SIZES, "size")):
        shares = Counter(getattr(thing, name) for thing in things)
        assert set(shares) == set(words)
        assert max(shares.values()) < 1.6 * len(things) / len(words)
    motions = Counter(thing.motion for thing in things)
    assert set(motions) == set(MOTIONS)
    assert max(motions.values()) < 1.35 * len(things) / len(MOTIONS)
    counts = Counter(len(scene.objects) for scene in scenes)
    assert set(counts) == {1, 2, 3, 4}
    assert max(counts.values()) < 0.37 * len(scenes)


def test_one_word_stands_for_each_feature() -> None:
    groups = {"colour": tuple(COLOURS), "shape": SHAPES, "size": SIZES, "motion": MOTIONS}
    assert len(set(FEATURE_WORDS)) == len(FEATURE_WORDS)
    assert {name: FEATURE_WORDS[part] for name, part in FEATURE_GROUPS.items()} == groups
    assert sum(part.stop - part.start for part in FEATURE_GROUPS.values()) == len(FEATURE_WORDS)


@pytest.mark.parametrize("motion", MOTIONS)
def test_drawn_paths_keep_their_margin_and_survive_picking(motion: str) -> None:
    progress = np.linspace(0, 1, 50)
    for margin in (0.08, 0.21):
        batch = draw_paths(motion, 40, margin, np.random.default_rng(0))
        centres = batch.at(progress)
        assert centres.min() >= margin - 1e-9
        assert centres.max() <= 1 - margin + 1e-9
        assert np.array_equal(batch.pick(7).at(progress), centres[7])


def test_impossible_scenes_are_refused() -> None:
    with pytest.raises(RequestError, match="no split 'test': choose one of train, val"):
        make_scene("test", 0)
    with pytest.raises(RequestError, match="index -1 and seed 0 must both be at least 0"):
        make_scene("train", -1)
