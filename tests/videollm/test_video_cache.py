"""A clip is decoded once for many questions, and never shown after its file has changed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.videollm.drawn import draw_video, numbered_frames, numbers_of
from videollm.clip import Clip
from videollm.errors import VideoError
from videollm.sampling import load_clip
from videollm.serve.frames import make_strip, see_frames
from videollm.serve.questions import Media
from videollm.video_cache import ClipCache


def counting(calls: list[object]) -> Callable[..., Clip]:
    """Return what decodes, and adds each source to a list."""

    def load(source: object, **options: object) -> Clip:
        calls.append(source)
        return load_clip(source, **options)  # type: ignore[arg-type]

    return load


@pytest.fixture
def decodes() -> list[object]:
    """Return the list to which every decoding of a clip is added."""
    return []


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(draw_video(numbered_frames(20)))
    return path


def test_the_second_question_does_not_decode(clip: Path, decodes: list[object]) -> None:
    cache = ClipCache(load=counting(decodes))
    first = cache.load_clip(clip, num_frames=4)
    again = cache.load_clip(str(clip), num_frames=4)
    assert again is first
    assert len(decodes) == 1
    assert torch.equal(first.frames, load_clip(clip, num_frames=4).frames)
    assert len(cache.load_clip(clip, num_frames=5)) == 5, "another number is another clip"
    assert cache.load_clip(clip, num_frames=4, max_side=16).width == 16
    assert len(decodes) == 3


def test_the_page_shows_and_asks_from_one_decoding(clip: Path, decodes: list[object]) -> None:
    cache = ClipCache(load=counting(decodes))
    media = Media(clip, 4)
    strip = see_frames(media, load=cache.load_clip)
    asked = cache.load_clip(clip, num_frames=4)
    assert see_frames(media, load=cache.load_clip) == strip == make_strip(asked)
    assert len(decodes) == 1


@pytest.mark.parametrize("keeps_its_time", [False, True])
def test_a_changed_file_is_decoded_again(clip: Path, keeps_its_time: bool) -> None:
    cache = ClipCache()
    assert numbers_of(cache.load_clip(clip, num_frames=20).frames)[3] == 3
    facts = clip.stat()
    clip.write_bytes(draw_video(numbered_frames(20)[::-1].copy()))
    if keeps_its_time:
        os.utime(clip, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert numbers_of(cache.load_clip(clip, num_frames=20).frames)[3] == 16
    clip.unlink()
    with pytest.raises(VideoError, match="no such file"):
        cache.load_clip(clip, num_frames=20)


def test_the_oldest_give_way_to_the_budget(tmp_path: Path, decodes: list[object]) -> None:
    paths = [tmp_path / f"{number}.mp4" for number in range(3)]
    for path in paths:
        path.write_bytes(draw_video(numbered_frames(6)))
    one = load_clip(paths[0], num_frames=6).frames.nbytes
    cache = ClipCache(max_bytes=2 * one, load=counting(decodes))
    for place in (0, 1, 0, 2, 0, 1):  # 2 drives out 1, which was asked for before 0
        cache.load_clip(paths[place], num_frames=6)
        assert cache.num_bytes <= 2 * one
    assert decodes == [paths[0], paths[1], paths[2], paths[1]]
    small = ClipCache(max_bytes=one - 1)
    small.load_clip(paths[0], num_frames=6)
    assert small.num_bytes == 0


def test_what_cannot_be_watched_is_not_kept(decodes: list[object], clip: Path) -> None:
    cache = ClipCache(load=counting(decodes))
    for source in (clip.read_bytes(), numbered_frames(4)):
        cache.load_clip(source, num_frames=2)
        cache.load_clip(source, num_frames=2)
    assert len(decodes) == 4
    assert cache.num_bytes == 0
