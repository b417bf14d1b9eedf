"""Pictures of the shape world: pure, at any rate, of any length."""

import tracemalloc
from itertools import islice

import numpy as np
import pytest
import torch

from videollm.errors import RequestError
from videollm.shapeworld import (
    make_scene,
    object_coverage,
    render_frames,
    stream_frames,
    uniform_times,
)
from videollm.shapeworld.foreign import (
    FOREIGN_ANSWER,
    ask_foreign,
    make_foreign_scene,
    render_foreign,
)
from videollm.shapeworld.shapes import EXTENTS, LINE, REACH, coverage, signed_distance
from videollm.shapeworld.vocabulary import COLOURS, SHAPES


@pytest.mark.parametrize("index", range(8))
def test_a_frame_depends_on_its_own_time_alone(index: int) -> None:
    scene = make_scene("train", index)
    times = uniform_times(scene, 9)
    whole = render_frames(scene, times=times)
    assert whole.frames.shape == (9, 3, 64, 64)
    for number in (0, 4, 8):
        alone = render_frames(scene, times=times[number : number + 1])
        assert torch.equal(alone.frames[0], whole.frames[number])


@pytest.mark.parametrize(("fps", "size"), [(2, 64), (16, 96), (5, 48)])
def test_any_rate_and_size_can_be_drawn(fps: int, size: int) -> None:
    scene = make_scene("val", 4)
    clip = render_frames(scene, size=size, times=np.arange(int(scene.seconds * fps)) / fps)
    assert clip.frames.shape[1:] == (3, size, size)
    assert len(clip) == int(scene.seconds * fps)


def test_an_hour_is_drawn_frame_by_frame_in_constant_memory() -> None:
    scene = make_scene("test_long_60", 1)
    frames = stream_frames(scene, fps=0.05)
    list(islice(frames, 3))
    tracemalloc.start()
    most = 0
    for clip in islice(frames, 60):
        assert len(clip) == 1
        most = max(most, tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert most < 2_000_000
    at = np.array([1234.5])
    assert torch.equal(
        render_frames(scene, times=at).frames, render_frames(scene, times=[1234.5]).frames
    )


def test_objects_have_their_colour_where_they_are() -> None:
    for index in range(12):
        scene = make_scene("train", index)
        times = uniform_times(scene, 6)
        clip = render_frames(scene, times=times)
        cover = object_coverage(scene, times, 64)
        for thing in scene.objects:
            full = cover[:, thing.number] > 0.999
            if not full.any() or thing.colour != thing.last_colour:
                continue
            pixels = clip.frames.permute(0, 2, 3, 1).numpy()[full].astype(float)
            # Sensor noise and shakes by less than a pixel are all that may differ.
            error = np.abs(np.median(pixels, axis=0) - np.array(COLOURS[thing.colour]))
            assert error.max() < 8, (index, thing.colour)


def test_covered_and_empty_add_up_to_one() -> None:
    cover = object_coverage(make_scene("train", 3), [0.5, 1.5, 3.0], 8)
    assert cover.min() >= 0
    assert cover.sum(axis=1).max() <= 1 + 1e-6
    with pytest.raises(RequestError, match="grid is 7: choose a divisor of 64"):
        object_coverage(make_scene("train", 3), [0.5], 7)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_reach_as_far_as_they_say(shape: str) -> None:
    steps = np.linspace(-2, 2, 801, dtype=np.float32)
    inside = signed_distance(shape, steps[None, :], steps[:, None], np.float32(1)) < 0
    rows, columns = np.nonzero(inside)
    x, y = np.abs(steps[columns]), np.abs(steps[rows])
    assert max(x.max(), y.max()) == pytest.approx(EXTENTS[shape], abs=0.02)
    assert np.hypot(x, y).max() <= REACH[shape] + 0.01
    assert 2.0 < inside.mean() * 16 < 3.8


@pytest.mark.parametrize("shape", SHAPES)
def test_an_outline_is_hollow_even_when_small(shape: str) -> None:
    steps = np.arange(20, dtype=np.float32) + 0.5 - 10
    filled, hollow = (
        coverage(shape, fill, steps[None, :], steps[:, None], np.float32(6.4))
        for fill in ("filled", "outline")
    )
    assert (hollow <= filled + 1e-6).all()
    assert (filled - hollow > 0.5).sum() >= 8
    assert LINE * 6.4 > 1.5


def test_clips_of_another_kind_are_as_pure_and_get_one_answer() -> None:
    kinds = set()
    for index in range(12):
        for split in ("train", "test_compositional"):
            scene = make_foreign_scene(split, index)
            kinds.add((split, scene.kind))
            clip = render_foreign(scene, size=32, times=[0.5, 1.0, 2.0])
            assert clip.frames.shape == (3, 3, 32, 32)
            again = render_foreign(make_foreign_scene(split, index), size=32, times=[0.5, 1.0, 2.0])
            assert torch.equal(clip.frames, again.frames)
    trained, tested = (
        {kind for s, kind in kinds if s == split} for split in ("train", "test_compositional")
    )
    assert trained
    assert tested
    assert not trained & tested
    asked = ask_foreign(make_foreign_scene("test_iid", 1), "test_iid", count=5, seed=0)
    assert {question.answer for question in asked} == {FOREIGN_ANSWER}


def test_impossible_requests_are_refused() -> None:
    scene = make_scene("val", 0)
    with pytest.raises(RequestError, match="size is 8: shapes need frames of at least 16"):
        render_frames(scene, size=8)
    with pytest.raises(RequestError, match="num_frames is 0: ask for at least 1"):
        render_frames(scene, num_frames=0)
    with pytest.raises(RequestError, match="fps is 0: ask for more than 0"):
        next(stream_frames(scene, fps=0))
