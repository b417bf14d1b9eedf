"""The shape world's scenes: pure, complete, and nothing in them too small or short to be seen."""

from collections import Counter
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from videollm.errors import RequestError
from videollm.shapeworld import (
    FEATURE_WORDS,
    FILLS,
    HELD_OUT_PAIRS,
    LONG_MINUTES,
    SPLITS,
    Scene,
    known_words,
    make_scene,
    object_coverage,
    object_presence,
)
from videollm.shapeworld.vocabulary import COLOURS, DIRECTIONS, PLOTS, SHAPES, SIDES, SPEEDS
from videollm.toyworld import make_scene as make_toy_scene

SHORT = [split for split in SPLITS if split not in LONG_MINUTES]
_scene = lru_cache(maxsize=None)(make_scene)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [_scene("train", index) for index in range(300)]


@pytest.mark.parametrize("split", SPLITS)
def test_a_scene_is_a_pure_function_of_split_index_and_seed(split: str) -> None:
    if split == "test_long_60":
        assert make_scene(split, 0).seconds == 3600
        return
    scene = make_scene(split, 3, 5)
    assert scene == make_scene(split, 3, 5)
    assert scene != make_scene(split, 4, 5)
    assert replace(scene, seed=5) != make_scene(split, 3, 6)


def test_all_that_there_is_comes_up(scenes: list[Scene]) -> None:
    things = [thing for scene in scenes for thing in scene.objects]
    for name, words in (("colour", COLOURS), ("shape", SHAPES), ("fill", FILLS), ("plot", PLOTS)):
        assert {getattr(thing, name) for thing in things} == set(words)
    assert {thing.direction for thing in things} == {*DIRECTIONS, ""}
    assert {thing.speed for thing in things} == {*SPEEDS, ""}
    assert {thing.side for thing in things} == {*SIDES, ""}
    kinds = Counter(event.kind for thing in things for event in thing.events)
    assert set(kinds) == {
        *("enters", "leaves", "starts", "stops", "bounces", "collides"),
        *("turns", "rests", "grows", "shrinks", "recolours"),
    }
    assert Counter(len(scene.shots) for scene in scenes).keys() == {1, 2, 3}


def test_pairs_are_distinct_and_held_out_ones_stay_out(scenes: list[Scene]) -> None:
    for scene in scenes:
        pairs = [thing.pair for thing in scene.objects]
        turned = [(t.last_colour, t.shape) for t in scene.objects if t.last_colour != t.colour]
        assert len({*pairs, *turned}) == len(pairs) + len(turned)
        assert not {*pairs, *turned} & set(HELD_OUT_PAIRS)
    for index in range(30):
        scene = _scene("test_compositional", index)
        assert {thing.pair for thing in scene.objects} & set(HELD_OUT_PAIRS)


def test_events_keep_clear_of_cuts(scenes: list[Scene]) -> None:
    for scene in scenes:
        for thing in scene.objects:
            for event in thing.events:
                assert thing.begin_seconds + 0.9 <= event.seconds
                assert event.seconds <= thing.end_seconds - 0.7
                assert abs(2 * event.seconds - round(2 * event.seconds)) <= 0.1 + 1e-9


def test_objects_stay_in_the_frame_unless_they_cross_its_border(scenes: list[Scene]) -> None:
    for scene in scenes[:150]:
        for thing in scene.objects:
            times = np.linspace(thing.begin_seconds, thing.end_seconds, 60)
            places = thing.positions(times)
            if thing.plot in ("enters", "leaves"):
                assert places.min() < 0 or places.max() > 1
            else:
                assert places.min() >= 0.08
                assert places.max() <= 0.92


def test_every_object_is_seen_whole_at_some_time(scenes: list[Scene]) -> None:
    for scene in scenes[:60]:
        times = np.arange(0.25, scene.seconds, 0.5)
        seen = object_coverage(scene, times, 8).sum(axis=(2, 3))
        for thing in scene.objects:
            alone = replace(scene, objects=(replace(thing, number=0),))
            whole = object_coverage(alone, times, 8).sum(axis=(2, 3))[:, 0]
            shown = whole > 0.3 * whole.max()
            share = seen[shown, thing.number] / whole[shown]
            assert share.max() > 0.85
            assert share.mean() > 0.6


def test_labels_know_neither_the_future_nor_what_was_before() -> None:
    for index in range(25):
        scene = _scene("train", index)
        times = np.arange(0.2, scene.seconds, 0.4)
        whole = known_words(scene, times)
        assert whole.min() >= 0
        assert whole.max() <= 1 + 1e-6
        np.testing.assert_array_equal(whole[:5], known_words(scene, times[:5]))
        late = known_words(scene, times[5:])
        motion = slice(20, 35)
        assert not late[0, :, motion].any()
        np.testing.assert_array_equal(late[..., :16], whole[5:, :, :16])


def test_labels_tell_what_an_object_does_while_it_does_it(scenes: list[Scene]) -> None:
    for scene in scenes[:60]:
        for thing in scene.objects:
            if thing.plot != "moves" or thing.events:
                continue
            at = np.array([thing.begin_seconds + 0.1, thing.begin_seconds + 1.2])
            words = known_words(scene, at)[1, thing.number]
            told = {word for word, true in zip(FEATURE_WORDS, words, strict=True) if true > 0.8}
            assert set(thing.direction.split()) <= told
            assert thing.speed in told
            assert "still" not in told


def test_presence_ends_at_the_border() -> None:
    for index in range(40):
        scene = _scene("train", index)
        times = np.arange(0.05, scene.seconds, 0.1)
        there = object_presence(scene, times)
        for thing in scene.objects:
            if thing.plot == "leaves":
                after = times > thing.events[-1].seconds + 0.01
                assert not there[after, thing.number].any()


def test_a_long_video_has_needles_that_nobody_is_like() -> None:
    for index in range(6):
        scene = _scene("test_long", index)
        assert scene.seconds == 60 * (1, 2, 5)[index % 3]
        assert scene.shots[-1].end_seconds == scene.seconds
        needles = [scene.objects[number] for number in scene.needles]
        others = [thing for thing in scene.objects if thing.number not in scene.needles]
        assert len(needles) >= 2
        assert not {thing.shape for thing in needles} & {thing.shape for thing in others}
        assert not {thing.colour for thing in needles} & {thing.colour for thing in others}
        assert len({thing.shape for thing in needles}) == len(needles)


def test_neighbouring_shots_have_other_backgrounds(scenes: list[Scene]) -> None:
    for scene in scenes:
        means = [np.mean(shot.backdrop.colours, axis=0) for shot in scene.shots]
        for one, other in zip(means[:-1], means[1:], strict=True):
            assert np.abs(one - other).max() > 8


def test_the_toy_world_is_as_the_released_checkpoint_saw_it() -> None:
    thing = make_toy_scene("train", 7).objects[0]
    known = (thing.colour, thing.shape, thing.size, thing.motion, round(thing.radius, 9))
    assert known == ("yellow", "circle", "large", "up", 0.148194753)


def test_unknown_splits_and_negative_numbers_are_refused() -> None:
    with pytest.raises(RequestError, match="no split 'tset': choose one of train, val"):
        make_scene("tset", 0)
    with pytest.raises(RequestError, match="index -1 and seed 0 must both be at least 0"):
        make_scene("train", -1)
