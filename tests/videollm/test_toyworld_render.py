"""Pictures agree with their scene, and labels with their pictures."""

import dataclasses

import numpy as np
import pytest
import torch

from videollm.errors import RequestError
from videollm.toyworld import (
    COLOURS,
    FEATURE_WORDS,
    SHAPES,
    Scene,
    SceneObject,
    make_scene,
    object_coverage,
    object_features,
    object_positions,
    object_presence,
    region_labels,
    render_frames,
    uniform_times,
)
from videollm.toyworld.motion import Path
from videollm.toyworld.shapes import EXTENTS, signed_distance

SCENES = [make_scene("train", index) for index in range(40)]


def _thing(colour: str, shape: str, x: float = 0.5, *, radius: float = 0.15) -> SceneObject:
    return SceneObject(
        colour, shape, "large", radius, Path("still", (x, 0.5), (0.0, 0.0), 1.0), 0.0, 4.0
    )


def _scene(*things: SceneObject) -> Scene:
    return Scene("train", 0, 0, things, ((20.0, 20.0, 20.0), (20.0, 20.0, 20.0)), 0.0)


def test_clip_has_the_asked_frames_at_the_centres_of_equal_segments() -> None:
    clip = render_frames(SCENES[0], size=48, num_frames=8)
    assert clip.frames.shape == (8, 3, 48, 48)
    assert clip.pts_seconds.tolist() == [0.25 + 0.5 * k for k in range(8)]


def test_drawing_twice_gives_the_same_bits() -> None:
    for scene in SCENES[:10]:
        assert torch.equal(render_frames(scene).frames, render_frames(scene).frames)


def test_frame_depends_on_its_own_time_alone() -> None:
    noisy = [scene for scene in SCENES if scene.noise > 0]
    assert noisy
    for scene in [*SCENES[:6], noisy[0]]:
        together = render_frames(scene, num_frames=16).frames
        alone = [render_frames(scene, times=[t]).frames[0] for t in uniform_times(16)]
        assert torch.equal(together, torch.stack(alone))


def test_objects_show_their_colour_where_they_are() -> None:
    times = uniform_times(16)
    for scene in SCENES:
        frames = render_frames(dataclasses.replace(scene, noise=0.0), size=64, times=times).frames
        cells = object_coverage(scene, times, 64)
        for number, thing in enumerate(scene.objects):
            full = cells[:, number] > 0.999
            assert full.any()
            shown = frames.permute(0, 2, 3, 1).numpy()[full]
            assert (np.abs(shown.astype(int) - COLOURS[thing.colour]) <= 1).all()


def test_picture_is_its_coverage_filled_with_colours() -> None:
    scene = dataclasses.replace(SCENES[2], noise=0.0)
    times = uniform_times(4)
    cells = object_coverage(scene, times, 64)
    colours = np.array([COLOURS[thing.colour] for thing in scene.objects], dtype=np.float32)
    top, bottom = (np.array(rgb)[:, None, None] for rgb in scene.background)
    down = ((np.arange(64) + 0.5) / 64)[:, None]
    ground = (top + (bottom - top) * down) * (1 - cells.sum(1))[:, None]
    wanted = np.einsum("tohw,oc->tchw", cells, colours) + ground
    shown = render_frames(scene, times=times).frames.numpy()
    assert np.abs(shown - wanted).max() <= 0.51


def test_noise_is_small_fair_and_different_each_time() -> None:
    scene = dataclasses.replace(SCENES[0], noise=4.0)
    clean = render_frames(dataclasses.replace(scene, noise=0.0)).frames.float()
    noise = (render_frames(scene).frames.float() - clean).flatten(1)
    assert abs(noise.mean()) < 0.2
    assert 3.0 < noise.std() < 5.0
    assert not torch.equal(noise[0], noise[1])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("side", [64, 128])
def test_outline_fills_its_area_up_to_its_extent(shape: str, side: int) -> None:
    scene = _scene(_thing("red", shape))
    red = render_frames(scene, size=side, times=[0.0]).frames[0, 0].double()
    share = float(((red - 20) / (225 - 20)).mean())
    steps = (np.arange(1000) + 0.5) / 1000 - 0.5
    inside = signed_distance(shape, steps[None, :], steps[:, None], 0.15) <= 0
    assert share == pytest.approx(inside.mean(), rel=0.03)
    reach = max(np.abs(steps[inside.any(axis)]).max() for axis in (0, 1))
    assert reach == pytest.approx(EXTENTS[shape] * 0.15, rel=0.02)


def test_shapes_of_one_radius_have_similar_areas() -> None:
    steps = np.linspace(-0.5, 0.5, 500)
    areas = [
        (signed_distance(shape, steps[None, :], steps[:, None], 0.25) <= 0).mean()
        for shape in SHAPES
    ]
    assert max(areas) < 1.6 * min(areas)


def test_shapes_differ_even_when_small() -> None:
    pictures = [
        render_frames(_scene(_thing("white", shape, radius=0.085)), times=[0.0]).frames.float()
        for shape in SHAPES
    ]
    for i, one in enumerate(pictures):
        for other in pictures[:i]:
            assert (one - other).abs().sum() > 0.12 * (one - 20).sum()


def test_coverage_is_a_share_and_only_of_what_is_there() -> None:
    times = uniform_times(16)
    for scene in SCENES:
        cells = object_coverage(scene, times, 8)
        assert cells.shape == (16, len(scene.objects), 8, 8)
        assert cells.dtype == np.float32
        assert cells.min() >= 0
        assert cells.sum(axis=1).max() <= 1 + 1e-5
        there = object_presence(scene, times)
        assert ((cells.sum(axis=(2, 3)) > 0) == there).all()


def test_coarser_grids_average_finer_ones() -> None:
    times = uniform_times(3)
    fine = object_coverage(SCENES[3], times, 16)
    coarse = object_coverage(SCENES[3], times, 4)
    pooled = fine.reshape(*fine.shape[:2], 4, 4, 4, 4).mean(axis=(3, 5))
    assert np.allclose(pooled, coarse, atol=1e-6)


def test_coverage_is_centred_on_the_object() -> None:
    times = uniform_times(8)
    middles = (np.arange(64) + 0.5) / 64
    for scene in SCENES:
        for thing in scene.objects:
            alone = dataclasses.replace(scene, objects=(thing,))
            cells = object_coverage(alone, times, 64)[:, 0]
            there = object_presence(alone, times)[:, 0]
            mass = cells.sum(axis=(1, 2))[there]
            x = (cells.sum(axis=1) @ middles)[there] / mass
            y = (cells.sum(axis=2) @ middles)[there] / mass
            places = object_positions(alone, times)[there, 0]
            assert np.abs(np.stack((x, y), axis=1) - places).max() < 0.3 * thing.radius


def test_later_object_hides_earlier_one() -> None:
    below, above = _thing("red", "circle"), _thing("blue", "circle", 0.55)
    hidden, shown = object_coverage(_scene(below, above), [1.0], 64)[0]
    alone = object_coverage(_scene(above), [1.0], 64)[0, 0]
    assert np.array_equal(shown, alone)
    assert hidden[:, 40:].sum() == 0
    assert hidden.sum() < 0.5 * alone.sum()


def test_every_object_can_be_seen_for_most_of_its_presence() -> None:
    times = uniform_times(16)
    for scene in SCENES:
        seen = object_coverage(scene, times, 1)[:, :, 0, 0]
        there = object_presence(scene, times)
        for number, thing in enumerate(scene.objects):
            alone = dataclasses.replace(scene, objects=(thing,))
            whole = object_coverage(alone, times, 1)[:, 0, 0, 0]
            clear = seen[:, number] > 0.7 * whole
            assert clear[there[:, number]].mean() >= 0.75


def test_features_name_what_the_object_is_while_it_is_there() -> None:
    times = uniform_times(16)
    for scene in SCENES:
        features = object_features(scene, times)
        there = object_presence(scene, times)
        assert features.shape == (16, len(scene.objects), len(FEATURE_WORDS))
        assert (features[~there] == 0).all()
        for number, thing in enumerate(scene.objects):
            for row in features[there[:, number], number]:
                words = [FEATURE_WORDS[k] for k in np.flatnonzero(row)]
                assert words == [thing.colour, thing.shape, thing.size, thing.motion]


def test_region_labels_put_words_where_objects_are() -> None:
    times = uniform_times(4)
    scene = SCENES[5]
    wanted = np.einsum(
        "tohw,tof->thwf", object_coverage(scene, times, 8), object_features(scene, times)
    )
    assert np.allclose(region_labels(scene, times, 8), wanted, atol=1e-6)


def test_impossible_pictures_are_refused() -> None:
    with pytest.raises(RequestError, match="size is 8: .* at least 16"):
        render_frames(SCENES[0], size=8)
    with pytest.raises(RequestError, match="num_frames is 0"):
        render_frames(SCENES[0], num_frames=0)
    with pytest.raises(RequestError, match="grid is 7: choose a divisor of 64"):
        object_coverage(SCENES[0], [0.0], 7)
