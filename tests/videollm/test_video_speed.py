"""What makes reading quick must not change what is read."""

from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import VideoReformatter

from tests.videollm.drawn import draw_video, numbered_frames, numbers_of
from videollm import video_pass, video_survey
from videollm.errors import RequestError, VideoError
from videollm.sampling import load_clip
from videollm.transforms import fitted_size, preprocess_frames, shrink_frame
from videollm.video import VideoReader
from videollm.video_picture import CONVERSION, PLANAR_FORMATS, Geometry, Painter


@pytest.mark.parametrize("name", sorted(PLANAR_FORMATS))
def test_planes_hold_the_values_of_packed_pixels(name: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(6):
        height, width, stretched = (int(side) for side in rng.integers(9, 130, size=3))
        noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        stored = VideoReformatter().reformat(av.VideoFrame.from_ndarray(noise), format=name)
        for shown in (width, stretched):
            geometry = Geometry(stored_height=height, stored_width=shown)
            packed = stored.to_ndarray(
                width=shown,
                height=height,
                format="rgb24",
                interpolation=CONVERSION,
                dst_color_range="JPEG",
            )
            picture = Painter(geometry, "noise").picture(stored)
            assert np.array_equal(picture.permute(1, 2, 0).numpy(), packed), (height, width, shown)


@pytest.mark.parametrize("turn", [(0.0, False, False), (90.0, True, False)])
def test_a_smaller_picture_is_the_scaled_one_within_one_level(
    turn: tuple[float, bool, bool],
) -> None:
    rng = np.random.default_rng(1)
    coarse = torch.from_numpy(rng.uniform(0, 255, (5, 3, 12, 16)))
    smooth = torch.nn.functional.interpolate(coarse, (180, 240), mode="bicubic")
    frames = smooth.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    video = draw_video(frames, turn=turn, pixel_aspect=Fraction(4, 3))
    whole, small = load_clip(video, num_frames=5), load_clip(video, num_frames=5, max_side=96)
    assert (small.height, small.width) == fitted_size(whole.height, whole.width, 96)
    assert max(small.height, small.width) == 96
    assert torch.equal(whole.pts_seconds, small.pts_seconds)
    difference = preprocess_frames(whole.frames, 96) - preprocess_frames(small.frames, 96)
    assert float(difference.abs().mean()) * 127.5 < 1
    beyond = load_clip(video, num_frames=5, max_side=10_000)
    assert torch.equal(beyond.frames, whole.frames)


def test_frames_in_memory_are_shrunk_as_the_transform_does() -> None:
    frames = torch.randint(256, (3, 3, 40, 30), dtype=torch.uint8)
    clip = load_clip(frames, num_frames=3, max_side=20)
    assert clip.frames.shape == (3, 3, 20, 15)
    assert torch.equal(clip.frames[1], shrink_frame(frames[1], 20))


def test_a_side_of_nothing_is_refused() -> None:
    with pytest.raises(RequestError, match="max_side is 0; it must be at least 1"):
        load_clip(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), max_side=0)


def long_video() -> bytes:
    frames = numbered_frames(120, height=96, width=128)
    return draw_video(frames, options={"g": "24", "bf": "3"})


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that fixes how many threads decode what is opened from then on."""
    return lambda number: monkeypatch.setattr(video_survey, "threads_for", lambda _: number)


def test_threads_change_no_frame(threads: Callable[[int], None]) -> None:
    video, times = long_video(), torch.rand(12).mul(4).tolist()
    clips = []
    for number in (1, 3):
        threads(number)
        with VideoReader.open(video) as reader:
            clips.append((reader.read(times), [reader.read([time]) for time in times[:4]]))
    (alone, alone_each), (together, together_each) = clips
    assert torch.equal(alone.frames, together.frames)
    assert torch.equal(alone.pts_seconds, together.pts_seconds)
    for one, other in zip(alone_each, together_each, strict=True):
        assert torch.equal(one.frames, other.frames)


@pytest.mark.parametrize("place", [0.03, 0.5, 0.97])
def test_threads_find_the_same_damage(threads: Callable[[int], None], place: float) -> None:
    broken = bytearray(draw_video(numbered_frames(90), container="matroska", codec="mpeg4"))
    middle = int(len(broken) * place)
    broken[middle : middle + 60] = bytes(60)
    verdicts = []
    for number in (1, 3):
        threads(number)
        try:
            with VideoReader.open(bytes(broken)) as reader:
                verdicts.append(str(reader.read([0.1, 1.0, 2.9]).frames.double().mean().item()))
        except VideoError as error:
            verdicts.append(error.finding)
    assert verdicts[0] == verdicts[1]


def test_the_number_of_threads_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert video_pass.threads_for(10**10) == video_pass.MAX_THREADS
    assert video_pass.threads_for(10**5) == 1
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert video_pass.threads_for(10**10) == 1


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return the list to which every opening of a file is added."""
    opened: list[object] = []
    genuine = video_pass.open_media

    def count(*arguments: object) -> object:
        opened.append(arguments)
        return genuine(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(video_pass, "open_media", count)
    return opened


def test_an_ordinary_clip_is_opened_once(openings: list[object]) -> None:
    with VideoReader.open(long_video()) as reader:
        assert numbers_of(reader.read([0.5, 3.0]).frames) == [15, 90]
        assert len(openings) == 1
        assert numbers_of(reader.read([1.5]).frames) == [45], "a keyframe lies before it"
        assert len(openings) == 1
        first = next(reader.stream(30.0, 4))
        assert len(openings) == 2, "a stream has its own view of the file"
        assert numbers_of(first.frames) == [0, 1, 2, 3]


def test_packets_beyond_the_bound_are_read_again(
    monkeypatch: pytest.MonkeyPatch, openings: list[object]
) -> None:
    video = long_video()
    with VideoReader.open(video) as reader:
        expected = reader.read([0.5, 3.0])
    monkeypatch.setattr(video_pass, "MAX_KEPT_BYTES", 2000)
    openings.clear()
    with VideoReader.open(video) as reader:
        clip = reader.read([0.5, 3.0])
    assert len(openings) == 2
    assert torch.equal(clip.frames, expected.frames)
