"""Laws of the sampling policies: centres, steady steps, windows, and clips of every length."""

import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.videollm.drawn import draw_video, numbered_frames, numbers_of
from videollm.errors import RequestError, VideoError
from videollm.sampling import load_clip
from videollm.sampling_policies import sample_fps, sample_uniform
from videollm.video import VideoReader
from videollm.video_track import VideoMetadata

DURATIONS = st.floats(0.01, 1e5)
COUNTS = st.integers(1, 300)


def metadata_of(duration_seconds: float) -> VideoMetadata:
    return VideoMetadata(
        source="a.mp4",
        duration_seconds=duration_seconds,
        fps=30.0,
        num_frames=max(round(duration_seconds * 30), 1),
        height=4,
        width=4,
        codec="h264",
    )


@settings(deadline=None)
@given(duration=DURATIONS, num_frames=COUNTS)
def test_uniform_times_are_the_centres_of_equal_segments(duration: float, num_frames: int) -> None:
    times = sample_uniform(metadata_of(duration), num_frames)
    segment = duration / num_frames
    assert len(times) == num_frames
    assert times == sorted(times)
    assert times[0] == pytest.approx(segment / 2)
    assert times[-1] == pytest.approx(duration - segment / 2)
    assert [b - a for a, b in zip(times, times[1:], strict=False)] == pytest.approx(
        [segment] * (num_frames - 1), rel=1e-6
    )


@settings(deadline=None)
@given(duration=DURATIONS, num_frames=COUNTS, start=st.floats(0, 0.9), share=st.floats(0.1, 1))
def test_a_window_is_a_video_of_its_own(
    duration: float, num_frames: int, start: float, share: float
) -> None:
    begin = start * duration
    end = begin + share * (duration - begin)
    times = sample_uniform(metadata_of(duration), num_frames, start_seconds=begin, end_seconds=end)
    alone = sample_uniform(metadata_of(end - begin), num_frames)
    assert times == pytest.approx([begin + time for time in alone])
    assert all(begin <= time < end for time in times)


@settings(deadline=None)
@given(duration=DURATIONS, fps=st.floats(0.01, 120), max_frames=COUNTS)
def test_a_rate_gives_steady_times_or_spreads_the_most_it_may(
    duration: float, fps: float, max_frames: int
) -> None:
    metadata = metadata_of(duration)
    times = sample_fps(metadata, fps, max_frames)
    assert 1 <= len(times) <= max_frames
    if duration * fps <= max_frames:
        assert times == [number / fps for number in range(len(times))]
        assert times[-1] < duration <= len(times) / fps + 1e-5 / fps
    elif duration * fps > max_frames + 1e-5:
        assert times == sample_uniform(metadata, max_frames)


def test_whole_durations_have_whole_numbers_of_frames() -> None:
    assert sample_fps(metadata_of(10.0), 2.0, 64) == [number / 2 for number in range(20)]
    assert len(sample_fps(metadata_of(0.1 + 0.2), 10.0, 64)) == 3
    assert sample_fps(metadata_of(0.05), 1.0, 64) == [0.0]


def test_requests_out_of_range_are_refused() -> None:
    metadata = metadata_of(10.0)
    for num_frames in (0, -3):
        with pytest.raises(RequestError, match=f"num_frames is {num_frames}"):
            sample_uniform(metadata, num_frames)
    with pytest.raises(RequestError, match="fps is 0"):
        sample_fps(metadata, 0, 5)
    with pytest.raises(RequestError, match="fps is nan"):
        sample_fps(metadata, float("nan"), 5)
    with pytest.raises(RequestError, match="max_frames is 0"):
        sample_fps(metadata, 1, 0)
    for start in (-1.0, 10.0, float("nan")):
        with pytest.raises(RequestError, match=r"a\.mp4 lasts from 0 to 10\.00 s"):
            sample_uniform(metadata, 4, start_seconds=start)
    for end in (3.0, 2.0, -1.0, float("nan")):
        with pytest.raises(RequestError, match="must come after start_seconds"):
            sample_uniform(metadata, 4, start_seconds=3.0, end_seconds=end)
    assert sample_uniform(metadata, 1, start_seconds=8.0, end_seconds=99.0) == [9.0]


@settings(deadline=None)
@given(num_video=st.integers(1, 60), num_asked=st.integers(1, 40))
def test_a_clip_has_the_frames_asked_and_repeats_only_where_it_must(
    num_video: int, num_asked: int
) -> None:
    frames = torch.arange(num_video, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2)
    with VideoReader.open(frames, fps=25) as reader:
        clip = load_clip(reader, num_frames=num_asked)
        shown = clip.frames[:, 0, 0, 0]
        assert len(clip) == num_asked
        assert len(shown.unique()) == min(num_video, num_asked)
        assert torch.equal(clip.pts_seconds, shown.double() / 25)
        reader.read([0.0])


def test_every_frame_of_a_short_file_is_seen(caplog: pytest.LogCaptureFixture) -> None:
    data = draw_video(numbered_frames(3))
    with caplog.at_level(logging.INFO, "videollm.sampling"):
        clip = load_clip(data)
    assert len(clip) == 16
    assert sorted(set(numbers_of(clip.frames))) == [0, 1, 2]
    assert "16 frames asked, 3 distinct ones there" in caplog.text
    assert numbers_of(load_clip(draw_video(numbered_frames(1)), num_frames=4).frames) == [0] * 4


def test_a_clip_at_a_rate_and_of_a_part() -> None:
    data = draw_video(numbered_frames(90), rate=30)
    assert numbers_of(load_clip(data, fps=10.0, max_frames=30).frames) == list(range(0, 90, 3))
    assert len(load_clip(data, fps=30.0, max_frames=12)) == 12
    part = load_clip(data, num_frames=5, start_seconds=1.0, end_seconds=1.5)
    assert numbers_of(part.frames) == [31, 34, 37, 40, 43]
    with pytest.raises(VideoError, match="no such file"):
        load_clip("nowhere.mp4")
