"""Laws of the reader: true times, the same pixels in any order, upright square pixels."""

import gc
import math
import random
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.videollm.drawn import draw_video, number_of, numbered_frames, numbers_of
from videollm import video_survey
from videollm.errors import RequestError, VideoError
from videollm.video import Clip, VideoReader
from videollm.video_file import FileCursor

SHORT_GOP = {"x264-params": "keyint=30:min-keyint=30:bframes=3:open-gop=1"}
X265 = {"x265-params": "keyint=30:min-keyint=30:bframes=4:open-gop=1:log-level=none:pools=1"}

ENCODINGS = {
    "mp4-h264": ("mp4", "libx264", SHORT_GOP),
    "mkv-h264": ("matroska", "libx264", SHORT_GOP),
    "ts-h264": ("mpegts", "libx264", SHORT_GOP),
    "ts-intra-refresh": ("mpegts", "libx264", {"x264-params": "keyint=30:intra-refresh=1"}),
    "mp4-intra-refresh": ("mp4", "libx264", {"x264-params": "keyint=30:intra-refresh=1"}),
    "ts-mpeg4": ("mpegts", "mpeg4", {"g": "30", "bf": "2"}),
    "mp4-hevc": ("mp4", "libx265", X265),
    "webm-vp9": ("webm", "libvpx-vp9", {"g": "30", "deadline": "realtime", "cpu-used": "8"}),
    "avi-mpeg4": ("avi", "mpeg4", {"g": "30", "bf": "2"}),
    "mpg-mpeg2": ("mpeg", "mpeg2video", {"g": "15", "bf": "2"}),
    "flv-h264": ("flv", "libx264", SHORT_GOP),
    "gif": ("gif", "gif", {}),
}

NUM_FRAMES = 120


@pytest.fixture(scope="module")
def numbered_mp4() -> bytes:
    return draw_video(numbered_frames(NUM_FRAMES), options=SHORT_GOP)


def test_clip_refuses_what_does_not_fit_and_prints_every_shape() -> None:
    frames = torch.zeros(2, 3, 4, 5, dtype=torch.uint8)
    times = torch.tensor([0.0, 0.5], dtype=torch.float64)
    clip = Clip(frames=frames, pts_seconds=times)
    assert (len(clip), clip.num_frames, clip.height, clip.width) == (2, 2, 4, 5)
    assert repr(clip) == "Clip(2 frames of 5x4, 0.000 s to 0.500 s)"
    Clip(frames=frames, pts_seconds=torch.zeros(2, dtype=torch.float64))
    for bad_frames, bad_times, finding in (
        (frames[0], times, "wrong shape"),
        (frames.transpose(1, 3), times, "wrong shape"),
        (frames[:0], times[:0], "wrong shape"),
        (frames, times[:1], "one time each"),
        (frames.float(), times, "dtype"),
        (frames, times.float(), "dtype"),
        (frames, times.flip(0), "times fall"),
        (frames, times * math.nan, "not finite"),
    ):
        with pytest.raises(ValueError, match=finding) as caught:
            Clip(frames=bad_frames, pts_seconds=bad_times)
        assert str(tuple(bad_frames.shape)) in str(caught.value)
        assert str(tuple(bad_times.shape)) in str(caught.value)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_frames_do_not_depend_on_the_order_of_asking(encoding: str) -> None:
    container, codec, options = ENCODINGS[encoding]
    rate = 25 if codec == "gif" else 30
    data = draw_video(
        numbered_frames(NUM_FRAMES), container=container, codec=codec, options=options, rate=rate
    )
    times = [(number + 0.5) / rate for number in range(NUM_FRAMES)]
    with VideoReader.open(data) as reader:
        forwards = reader.read(times)
        assert reader.metadata.num_frames == NUM_FRAMES
        assert reader.metadata.duration_seconds == pytest.approx(NUM_FRAMES / rate, abs=2e-3)
        assert numbers_of(forwards.frames) == list(range(NUM_FRAMES))
        expected = torch.arange(NUM_FRAMES, dtype=torch.float64) / rate
        assert torch.allclose(forwards.pts_seconds, expected, atol=1e-3)
        places = random.Random(encoding).choices(range(NUM_FRAMES), k=30)
        for place in places:
            alone = reader.read([times[place]])
            assert torch.equal(alone.frames[0], forwards.frames[place]), place
            assert alone.pts_seconds[0] == forwards.pts_seconds[place]
        shuffled = reader.read([times[place] for place in places])
        assert torch.equal(shuffled.frames, forwards.frames[sorted(places)])


@pytest.mark.parametrize("encoding", ["mp4-h264", "mkv-h264", "ts-h264", "mp4-hevc", "webm-vp9"])
def test_a_believed_header_gives_the_same_frames(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    container, codec, options = ENCODINGS[encoding]
    data = draw_video(numbered_frames(60), container=container, codec=codec, options=options)
    times = random.Random(0).sample([(number + 0.5) / 30 for number in range(60)], k=20)
    with VideoReader.open(data) as reader:
        scanned = reader.read(times)
    monkeypatch.setattr(video_survey, "MAX_SCAN_BYTES", 0)
    with VideoReader.open(data) as reader:
        assert reader.metadata.num_frames == pytest.approx(60, abs=1)
        believed = torch.cat([reader.read([time]).frames for time in sorted(times)])
    assert torch.equal(scanned.frames, believed)


def test_a_far_frame_is_reached_without_decoding_what_lies_before(
    numbered_mp4: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    decode = FileCursor._decode

    def counting(self: FileCursor, *args: object) -> object:
        for shown in decode(self, *args):
            decoded.append(shown.seconds)
            yield shown

    monkeypatch.setattr(FileCursor, "_decode", counting)
    with VideoReader.open(numbered_mp4) as reader:
        clip = reader.read([3.05])
    assert numbers_of(clip.frames) == [91]
    assert not any(0.1 < seconds < 2.0 for seconds in decoded)


def test_a_variable_rate_is_read_by_its_timestamps() -> None:
    ticks = [0, 40, 50, 500, 1500, 1510, 2400, 3000]
    data = draw_video(numbered_frames(8), container="matroska", ticks=ticks)
    times = [-1.0, 0.0, 0.045, 0.3, 0.5, 1.499, 1.505, 2.999, 3.0, 99.0]
    with VideoReader.open(data) as reader:
        assert reader.metadata.num_frames == 8
        clip = reader.read(times)
        mean_rate = reader.metadata.num_frames / reader.metadata.duration_seconds
        assert reader.metadata.fps == pytest.approx(mean_rate)
    assert numbers_of(clip.frames) == [0, 0, 1, 2, 3, 3, 4, 6, 7, 7]
    shown = [0, 0, 40, 50, 500, 500, 1500, 2400, 3000, 3000]
    assert clip.pts_seconds.tolist() == pytest.approx([tick / 1000 for tick in shown])


@settings(max_examples=25, deadline=None)
@given(times=st.lists(st.floats(-1, 5), min_size=1, max_size=8))
def test_the_frame_is_the_last_at_or_before_its_time(
    numbered_mp4: bytes, times: list[float]
) -> None:
    with VideoReader.open(numbered_mp4) as reader:
        clip = reader.read(times)
    for picture, pts, time in zip(clip.frames, clip.pts_seconds, sorted(times), strict=True):
        number = number_of(picture)
        assert float(pts) == pytest.approx(number / 30)
        assert number == 0 or number / 30 <= time + 1e-4
        assert number == NUM_FRAMES - 1 or time < (number + 1) / 30


@pytest.mark.parametrize("first", [0, 33])
def test_times_rounded_to_milliseconds_skip_no_frame(first: int) -> None:
    ticks = [first + round(number * 1000 / 30) for number in range(45)]
    data = draw_video(numbered_frames(45), container="matroska", ticks=ticks)
    with VideoReader.open(data) as reader:
        streamed = torch.cat([clip.frames for clip in reader.stream(30.0)])
    assert numbers_of(streamed) == list(range(45))


def test_times_count_from_the_first_frame() -> None:
    ticks = [700 + 40 * number for number in range(10)]
    data = draw_video(numbered_frames(10), container="matroska", ticks=ticks)
    with VideoReader.open(data) as reader:
        clip = reader.read([0.0, 0.05, 0.2])
    assert numbers_of(clip.frames) == [0, 1, 5]
    assert clip.pts_seconds.tolist() == pytest.approx([0.0, 0.04, 0.2])


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
@pytest.mark.parametrize("mirror", [(False, False), (True, False), (False, True)])
def test_display_turns_and_mirrors_are_applied(quarters: int, mirror: tuple[bool, bool]) -> None:
    stored = np.full((3, 48, 80, 3), 60, np.uint8)
    stored[:, :16, :16] = (230, 40, 40)
    stored[:, :16, 64:] = (40, 40, 230)
    wanted = np.rot90(stored[0], quarters)
    wanted = wanted[:, ::-1] if mirror[0] else wanted
    wanted = wanted[::-1] if mirror[1] else wanted
    data = draw_video(stored, turn=(90.0 * quarters, *mirror), options={"crf": "1"})
    with VideoReader.open(data) as reader:
        picture = reader.read([0.0]).frames[0].permute(1, 2, 0).numpy()
        assert (reader.metadata.height, reader.metadata.width) == wanted.shape[:2]
    assert picture.shape == wanted.shape
    assert np.abs(picture.astype(int) - wanted).mean() < 6


def test_pixels_come_out_square() -> None:
    data = draw_video(numbered_frames(4, height=48, width=64), pixel_aspect=Fraction(4, 3))
    with VideoReader.open(data) as reader:
        assert (reader.metadata.height, reader.metadata.width) == (48, 85)
        assert numbers_of(reader.read([0.0, 1.0]).frames) == [0, 3]


@pytest.mark.parametrize(("height", "width"), [(34, 66), (51, 97), (2, 16), (131, 18)])
def test_awkward_sizes_are_kept(height: int, width: int) -> None:
    data = draw_video(numbered_frames(3, height=height, width=width))
    with VideoReader.open(data) as reader:
        frames = reader.read([0.0, 0.05]).frames
    assert frames.shape == (2, 3, height, width)
    assert numbers_of(frames) == [0, 1]


def test_colours_keep_their_levels() -> None:
    levels = np.array([[230, 40, 40], [40, 230, 40], [40, 40, 230], [128, 128, 128]], np.uint8)
    stored = np.broadcast_to(levels[:, None, None], (4, 32, 32, 3)).copy()
    with VideoReader.open(draw_video(stored, options={"crf": "1", "g": "1"})) as reader:
        frames = reader.read([number / 30 for number in range(4)]).frames
    means = frames.double().mean(dim=(2, 3))
    assert (means - torch.from_numpy(levels)).abs().max() < 4


@pytest.mark.parametrize("fps", [7.0, 30.0, 45.0])
@pytest.mark.parametrize("chunk_frames", [1, 8, 1000])
def test_a_stream_is_read_in_chunks(numbered_mp4: bytes, fps: float, chunk_frames: int) -> None:
    with VideoReader.open(numbered_mp4) as reader:
        chunks = list(reader.stream(fps, chunk_frames))
        num_frames = math.ceil(reader.metadata.duration_seconds * fps - 1e-6)
        whole = reader.read([number / fps for number in range(num_frames)])
    assert all(len(chunk) == chunk_frames for chunk in chunks[:-1])
    assert torch.equal(torch.cat([chunk.frames for chunk in chunks]), whole.frames)
    assert torch.equal(torch.cat([chunk.pts_seconds for chunk in chunks]), whole.pts_seconds)


def test_streams_and_reads_do_not_disturb_each_other(numbered_mp4: bytes) -> None:
    with VideoReader.open(numbered_mp4) as reader:
        alone = [numbers_of(clip.frames) for clip in reader.stream(30, 16)]
        mixed = []
        for clip, other in zip(reader.stream(30, 16), reader.stream(30, 16), strict=True):
            reader.read([1.0])
            assert torch.equal(clip.frames, other.frames)
            mixed.append(numbers_of(clip.frames))
    assert mixed == alone


def test_requests_out_of_range_are_refused(numbered_mp4: bytes) -> None:
    with VideoReader.open(numbered_mp4) as reader:
        for times in ([], [math.nan], [0.0, math.inf]):
            with pytest.raises(RequestError, match="finite"):
                reader.read(times)
        with pytest.raises(RequestError, match="fps is 0"):
            reader.stream(0)
        with pytest.raises(RequestError, match="chunk_frames is 0"):
            reader.stream(1, 0)
    with pytest.raises(ValueError, match="closed"):
        reader.read([0.0])
    with pytest.raises(RequestError, match="times of its own"):
        VideoReader.open(numbered_mp4, fps=5)
    with pytest.raises(RequestError, match="fps is -1"):
        VideoReader.open(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), fps=-1)
    with pytest.raises(RequestError, match="has no streams"):
        VideoReader.open(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), video_stream=0)
    with pytest.raises(VideoError, match="1 video streams"):
        VideoReader.open(numbered_mp4, video_stream=1)


def test_a_closed_reader_holds_no_decoder(numbered_mp4: bytes) -> None:
    """A decoder that waits for the garbage collector hangs the forked process that collects it."""

    def held() -> int:
        kinds = {"InputContainer", "VideoCodecContext", "MediaPass", "FileCursor"}
        return sum(type(item).__name__ in kinds for item in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = held()
        with VideoReader.open(numbered_mp4) as reader:
            reader.read([0.0, reader.metadata.duration_seconds / 2, 0.1])
            next(reader.stream(5.0))
            assert held() > before
        assert held() == before
    finally:
        gc.enable()
