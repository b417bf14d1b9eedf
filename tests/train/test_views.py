"""Laws of the views: where times may lie, that clips interleave, and where crops are cut."""

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.videollm.drawn import draw_video, numbered_frames, numbers_of
from videollm.errors import RequestError
from videollm.sampling_policies import sample_segments, sample_uniform
from videollm.train import views
from videollm.train.views import dense_times
from videollm.transforms import preprocess_frames
from videollm.video import VideoReader
from videollm.video_track import VideoMetadata

COUNTS = st.integers(1, 40)
SEEDS = st.integers(0, 2**32)
few = settings(deadline=None, max_examples=40)


def metadata_of(num_frames: int, fps: float = 30.0) -> VideoMetadata:
    return VideoMetadata(
        source="a.mp4",
        duration_seconds=num_frames / fps,
        fps=fps,
        num_frames=num_frames,
        height=4,
        width=4,
        codec="h264",
    )


def random_frames(num_frames: int, height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (num_frames, 3, height, width), dtype=torch.uint8)


@few
@given(length=st.integers(1, 5000), num_frames=COUNTS, seed=SEEDS, begin=st.floats(0, 0.9))
def test_random_times_lie_in_their_segments(
    length: int, num_frames: int, seed: int, begin: float
) -> None:
    metadata = metadata_of(length)
    start = begin * metadata.duration_seconds
    times = sample_segments(
        metadata, num_frames, rng=np.random.default_rng(seed), start_seconds=start
    )
    segment = (metadata.duration_seconds - start) / num_frames
    assert len(times) == num_frames
    assert times == sorted(times)
    for place, time in enumerate(times):
        assert start + place * segment - 1e-9 <= time <= start + (place + 1) * segment + 1e-9
    again = sample_segments(
        metadata, num_frames, rng=np.random.default_rng(seed), start_seconds=start
    )
    assert times == again


def test_random_times_fill_their_segments() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([sample_segments(metadata_of(40, 10.0), 4, rng=rng) for _ in range(500)])
    places = drawn - np.arange(4)
    assert (places.min(axis=0) < 0.05).all()
    assert (places.max(axis=0) > 0.95).all()
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.2


@few
@given(length=st.integers(1, 5000), num_frames=COUNTS, num_clips=st.integers(1, 10))
def test_clips_interleave_evenly_and_one_has_the_centres(
    length: int, num_frames: int, num_clips: int
) -> None:
    metadata = metadata_of(length)
    assert sample_segments(metadata, num_frames) == sample_uniform(metadata, num_frames)
    times = [
        time
        for clip in range(num_clips)
        for time in sample_segments(metadata, num_frames, clip=clip, num_clips=num_clips)
    ]
    assert sorted(times) == pytest.approx(sample_uniform(metadata, num_frames * num_clips))


@few
@given(
    spare=st.integers(0, 500),
    num_frames=COUNTS,
    stride=st.integers(1, 8),
    fps=st.sampled_from([1.0, 12.5, 24000 / 1001, 30.0, 59.94]),
    seed=SEEDS,
)
def test_a_window_keeps_its_stride_and_stays_inside(
    spare: int, num_frames: int, stride: int, fps: float, seed: int
) -> None:
    metadata = metadata_of((num_frames - 1) * stride + 1 + spare, fps)
    for options in ({"rng": np.random.default_rng(seed)}, {"clip": 1, "num_clips": 3}):
        times = dense_times(metadata, num_frames, stride, **options)
        numbers = [int(time * fps) for time in times]
        assert len(numbers) == num_frames
        assert 0 <= numbers[0] <= spare
        assert numbers == [numbers[0] + place * stride for place in range(num_frames)]
    ends = [dense_times(metadata, num_frames, stride, clip=clip, num_clips=2) for clip in (0, 1)]
    assert int(ends[0][0] * fps) == 0
    assert int(ends[1][0] * fps) == spare
    middle = dense_times(metadata, num_frames, stride)
    assert middle == dense_times(metadata, num_frames, stride, clip=1, num_clips=3)


def test_a_window_starts_anywhere_and_in_a_part_too() -> None:
    rng = np.random.default_rng(0)
    times = [dense_times(metadata_of(10, 5.0), 4, 2, rng=rng) for _ in range(100)]
    assert {int(drawn[0] * 5) for drawn in times} == {0, 1, 2, 3}
    part = {"start_seconds": 2.0, "end_seconds": 4.0}
    times = [dense_times(metadata_of(50, 5.0), 4, 2, rng=rng, **part) for _ in range(100)]
    assert {int(drawn[0] * 5) for drawn in times} == {10, 11, 12, 13}


def test_a_window_shows_the_frames_it_names() -> None:
    video = draw_video(numbered_frames(30), rate=25)
    with VideoReader.open(video) as reader:
        clip = reader.read(dense_times(reader.metadata, 5, 4, clip=2, num_clips=3))
        assert numbers_of(clip.frames) == [13, 17, 21, 25, 29]


def test_a_video_shorter_than_its_window_is_shown_whole_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    dense_times(metadata_of(13), 4, 4)
    assert caplog.text == ""
    short = metadata_of(12)
    assert dense_times(short, 4, 4, rng=np.random.default_rng(0)) == sample_uniform(short, 4)
    assert "a.mp4: 4 frames every 4 need 13 frames, 12 there; spread" in caplog.text
    for clip in (0, 1):
        view = {"clip": clip, "num_clips": 2}
        assert dense_times(short, 4, 4, **view) == sample_segments(short, 4, **view)


@pytest.mark.parametrize(
    ("options", "finding"),
    [
        ({"num_frames": 0}, "num_frames is 0"),
        ({"stride": 0}, "stride is 0"),
        ({"clip": 2, "num_clips": 2}, "clip is 2 of num_clips 2"),
        ({"clip": -1}, "clip is -1"),
        ({"num_clips": 0}, "num_clips 0"),
        ({"num_clips": 2, "rng": np.random.default_rng(0)}, "num_clips is 2 together with rng"),
        ({"start_seconds": 9.0}, "start_seconds is 9.0"),
        ({"end_seconds": 0.0}, "end_seconds is 0.0"),
    ],
)
def test_times_that_make_no_sense_are_refused(options: dict[str, object], finding: str) -> None:
    options = {"num_frames": 4, "stride": 2, **options}
    with pytest.raises(RequestError, match=finding):
        dense_times(metadata_of(60), **options)
    del options["stride"]
    if "stride" not in finding:
        with pytest.raises(RequestError, match=finding):
            sample_segments(metadata_of(60), **options)


@pytest.mark.parametrize(("height", "width"), [(20, 30), (33, 20), (20, 20), (20, 21)])
def test_crops_of_the_right_height_are_slices(height: int, width: int) -> None:
    frames = random_frames(2, height, width)
    crops = views.test_crops(frames, 20, 3)
    assert crops.shape == (3, 2, 3, 20, 20)
    assert crops.dtype == torch.float32
    for crop, share in zip(crops, (0.0, 0.5, 1.0), strict=True):
        top, left = int((height - 20) * share), int((width - 20) * share)
        cut = frames[:, :, top : top + 20, left : left + 20]
        assert torch.equal(crop, preprocess_frames(cut, 20))
    assert torch.equal(views.test_crops(frames, 20, 1), crops[1:2])


@few
@given(height=st.integers(1, 60), width=st.integers(1, 60), size=st.integers(1, 30))
def test_three_crops_cover_the_scaled_picture(height: int, width: int, size: int) -> None:
    frames = random_frames(2, height, width)
    crops = views.test_crops(frames, size, 3)
    assert crops.shape == (3, 2, 3, size, size)
    assert float(crops.abs().max()) <= 1 + 1e-5
    assert torch.equal(views.test_crops(frames, size, 1), crops[1:2])
    mirrored = views.test_crops(frames.flip((-2, -1)), size, 3).flip((-2, -1))
    assert torch.allclose(mirrored[2], crops[0], atol=1e-4)
    assert torch.allclose(mirrored[0], crops[2], atol=1e-4)


@few
@given(side=st.integers(1, 60), size=st.integers(2, 30))
def test_crops_of_a_square_are_all_of_it(side: int, size: int) -> None:
    frames = random_frames(2, side, side)
    whole = preprocess_frames(frames, size)
    for crop in views.test_crops(frames, size, 3):
        assert torch.allclose(crop, whole, atol=1e-5)


@pytest.mark.parametrize("width", [1, 2, 9])
def test_scaling_does_not_depend_on_the_layout_of_the_frames(width: int) -> None:
    frames = random_frames(2, 30, 16)
    pixels_first = frames.contiguous(memory_format=torch.channels_last)
    assert torch.equal(views.scaled(pixels_first, 15, width), views.scaled(frames, 15, width))


@few
@given(sides=st.tuples(*[st.integers(1, 60)] * 4), cut=st.booleans(), last=st.booleans())
def test_pictures_are_scaled_to_within_one(
    sides: tuple[int, int, int, int], cut: bool, last: bool
) -> None:
    height, width, new_height, new_width = sides
    frames = random_frames(2, height + 2, width + 3)
    layout = torch.channels_last if last else torch.contiguous_format
    frames = frames.contiguous(memory_format=layout)
    frames = frames[:, :, 1 : 1 + height, 2 : 2 + width] if cut else frames
    exact = 255 * views.scaled(frames, new_height, new_width)
    pictures = views.scaled_pictures(frames, new_height, new_width)
    assert pictures.dtype == torch.uint8
    assert float((exact - pictures).abs().max()) < 1.001


def test_every_frame_of_a_crop_is_treated_alike() -> None:
    crops = views.test_crops(random_frames(1, 30, 50).expand(4, -1, -1, -1), 16, 3)
    assert torch.equal(crops, crops[:, :1].expand_as(crops))


def test_crops_that_make_no_sense_are_refused() -> None:
    frames = random_frames(2, 8, 8)
    with pytest.raises(RequestError, match="num_crops is 2"):
        views.test_crops(frames, 4, 2)
    with pytest.raises(RequestError, match="size is 0"):
        views.test_crops(frames, 0, 1)
    for wrong in (frames.float(), frames[0], frames[:, :2], frames[:0]):
        with pytest.raises(RequestError, match=r"give \(T, 3, H, W\) uint8"):
            views.test_crops(wrong, 4, 1)
