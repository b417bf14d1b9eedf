"""Long videos in training, seen as the memory of a stream shows them."""

import numpy as np
import pytest
import torch

from videollm.memory_entry import MemoryEntry, entries_text
from videollm.shapeworld import Scene, make_scene, shown_moments
from videollm.train.dialogue_arguments import MemberArguments
from videollm.train.toyworld_dialogues import ToyWorldDialogues
from videollm.worlds import WORLDS

FPS, UNIT = 2.0, 4


@pytest.fixture(scope="module")
def scene() -> Scene:
    """A video of five minutes."""
    return make_scene("train_stream", 1, 0)


def test_the_end_and_every_needle_are_shown(scene: Scene) -> None:
    assert scene.seconds == 300
    for seed in range(5):
        rng = np.random.default_rng(seed)
        times = shown_moments(scene, fps=FPS, num_frames=48, unit_frames=UNIT, rng=rng)
        assert 48 <= len(times) <= 80
        assert np.all(np.diff(times) >= 1 / FPS)
        assert times[-1] == scene.seconds - 0.5 / FPS
        assert np.allclose(np.diff(times[-16:]), 1 / FPS)
        for number in scene.needles:
            thing = scene.objects[number]
            inside = (times > thing.begin_seconds) & (times < thing.end_seconds)
            assert inside.sum() >= UNIT


def test_a_short_video_is_shown_whole() -> None:
    short = make_scene("train_long", 0, 0)
    times = shown_moments(
        short, fps=FPS, num_frames=48, unit_frames=UNIT, rng=np.random.default_rng(0)
    )
    assert np.allclose(times, (np.arange(len(times)) + 0.5) / FPS)


def test_a_sample_is_read_as_a_stream_would_write_it() -> None:
    data = ToyWorldDialogues(
        "train_stream",
        num_clips=3,
        seed=0,
        image_size=32,
        num_frames=16,
        questions=4,
        families=("colour", "when"),
        world=WORLDS["shapes"],
        frame_multiple=2,
        time_stride=2,
    )
    (clip,), dialogues = data[1].videos, data[1].dialogues
    assert dialogues
    assert torch.equal(clip.frames, data[1].videos[0].frames)
    places = np.round(clip.pts_seconds.numpy() * FPS - 0.5).astype(int)
    entries = tuple(
        MemoryEntry(
            tokens=torch.zeros(1, 1),
            first_frame=int(place) // 2,
            last_frame=int(place) // 2,
            start_seconds=float(seconds),
            end_seconds=float(seconds) + 1 / FPS,
        )
        for place, seconds in zip(places[::2], clip.pts_seconds[::2], strict=True)
    )
    starts = clip.pts_seconds[::UNIT].tolist()
    assert entries_text(entries, time_stride=2, placeholder="x") == "".join(
        f"{start:.1f}s:xx" for start in starts
    )


def test_the_split_is_allowed_in_mixtures() -> None:
    member = MemberArguments.parse("stream", {"world": "shapes", "split": "train_stream"})
    assert member.split == "train_stream"
