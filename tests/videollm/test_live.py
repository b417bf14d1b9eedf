"""Live video: bounded buffers, broken connections, clean ends."""

import itertools
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.videollm.drawn import draw_video, number_of, numbered_frames, numbers_of
from tests.videollm.web_server import cut_in_parts, serving
from videollm.errors import (
    LiveSourceError,
    RequestError,
    SourceTimeoutError,
    SourceUnreachableError,
    VideoError,
)
from videollm.live import LiveOptions, LiveStream
from videollm.sampling import load_clip
from videollm.video import VideoReader

NUM_FRAMES = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live")
    frames = numbered_frames(NUM_FRAMES, height=64, width=128)
    options = {"g": "10", "crf": "5", "bf": "0"}
    for name, container in (("a.ts", "mpegts"), ("a.mkv", "matroska")):
        data = draw_video(frames, container=container, options=options)
        (folder / name).write_bytes(data)
    noise = torch.randint(0, 255, (60, 128, 128, 3), dtype=torch.uint8).numpy()
    (folder / "noise.ts").write_bytes(draw_video(noise, container="mpegts", options=options))
    return folder


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    deadline = time.monotonic() + 3
    while (left := watching()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []


def watching() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("videollm-")]


def settle() -> None:
    """Wait until no source is read any more."""
    while watching():
        time.sleep(0.01)


@pytest.mark.parametrize("fps", [3.0, 7.5, 30.0, 100.0])
def test_a_file_played_as_fast_as_it_goes(folder: Path, fps: float) -> None:
    with LiveStream.open(folder / "a.mkv", fps) as stream:
        frames = list(stream)
    times = [frame.media_seconds for frame in frames]
    numbers = [number_of(frame.picture) for frame in frames]
    ticks = [math.ceil(tick * 30 / fps - 1e-3) for tick in range(math.ceil(2 * fps))]
    assert numbers == sorted({tick for tick in ticks if tick < NUM_FRAMES})
    assert times == pytest.approx([number / 30 for number in numbers], abs=1.1e-3)
    assert sum(frame.num_dropped for frame in frames) == 0
    walls = [frame.wall_seconds for frame in frames]
    assert walls == sorted(walls)
    assert abs(walls[-1] - time.time()) < 60


def test_the_oldest_give_way_and_are_counted(folder: Path) -> None:
    options = LiveOptions(buffer_frames=4, when_full="drop_oldest")
    with LiveStream.open(folder / "a.mkv", 30.0, options=options) as stream:
        settle()
        frames = list(stream)
        assert [number_of(frame.picture) for frame in frames] == [56, 57, 58, 59]
        assert [frame.num_dropped for frame in frames] == [NUM_FRAMES - 4, 0, 0, 0]
        assert stream.stats.num_dropped == NUM_FRAMES - 4
        assert stream.stats.num_frames == 4


def test_a_full_buffer_that_blocks_loses_nothing(folder: Path) -> None:
    options = LiveOptions(buffer_frames=2)
    with LiveStream.open(folder / "a.mkv", 30.0, options=options) as stream:
        time.sleep(0.1)
        assert len(watching()) == 1
        assert [number_of(frame.picture) for frame in stream] == list(range(NUM_FRAMES))


def test_a_file_at_its_own_pace(folder: Path) -> None:
    options = LiveOptions(real_time=True)
    with LiveStream.open(folder / "a.mkv", 10.0, options=options) as stream:
        frames = list(itertools.islice(stream, 8))
    lags = [frame.wall_seconds - frame.media_seconds for frame in frames]
    assert frames[-1].wall_seconds - frames[0].wall_seconds > 0.65
    assert min(lags) > lags[0] - 0.05


def test_a_stream_that_breaks_is_opened_again(folder: Path) -> None:
    options = LiveOptions(when_full="block")
    with serving(folder) as server:
        url = f"{server.address}/live/a.ts"
        with LiveStream.open(url, 30.0, options=options) as stream:
            frames = list(itertools.islice(stream, 2 * NUM_FRAMES + 5))
            stats = stream.stats
    numbers = [number_of(frame.picture) for frame in frames]
    assert numbers == [*range(NUM_FRAMES), *range(NUM_FRAMES), *range(5)]
    times = torch.tensor([frame.media_seconds for frame in frames])
    assert bool((times[1:] > times[:-1]).all())
    gaps = {place: frame.gap_seconds for place, frame in enumerate(frames) if frame.gap_seconds}
    assert sorted(gaps) == [NUM_FRAMES, 2 * NUM_FRAMES]
    assert all(gap >= 0.25 for gap in gaps.values())
    assert float(times[NUM_FRAMES] - times[NUM_FRAMES - 1]) == pytest.approx(
        gaps[NUM_FRAMES], abs=1e-6
    )
    assert stats.num_reconnects == 2
    assert stats.gap_seconds == pytest.approx(sum(gaps.values()))


def test_a_recording_that_breaks_goes_on_where_it_stopped(folder: Path) -> None:
    with serving(folder) as server:
        # The server sends no parts, so that only a whole new try can bring the rest.
        server.num_drops_left = 8
        server.drop_bytes = (folder / "a.mkv").stat().st_size * 2 // 3
        url = f"{server.address}/whole-drop/a.mkv"
        options = LiveOptions(when_full="block")
        with LiveStream.open(url, 30.0, options=options) as stream:
            frames = list(stream)
            assert stream.stats.num_reconnects >= 1
    assert [number_of(frame.picture) for frame in frames] == list(range(NUM_FRAMES))
    assert {frame.gap_seconds for frame in frames} == {0.0}


def test_what_has_no_end_can_only_be_streamed(folder: Path) -> None:
    with (
        serving(folder) as server,
        VideoReader.open(f"{server.address}/live/a.ts") as reader,
    ):
        assert reader.metadata.duration_seconds == math.inf
        with pytest.raises(LiveSourceError, match="no past"):
            reader.read([0.0])
        with pytest.raises(LiveSourceError, match="no past"):
            load_clip(reader)
        clip = next(iter(reader.stream(30, chunk_frames=20)))
    assert len(clip) == 20
    assert numbers_of(clip.frames)[0] == round(float(clip.pts_seconds[0]) * 30)


def test_a_playlist_that_grows_is_watched_to_its_end(folder: Path) -> None:
    cut_in_parts(folder / "a.ts", folder)
    options = LiveOptions(when_full="block")
    with serving(folder) as server:
        url = f"{server.address}/growing/list.m3u8"
        with LiveStream.open(url, 30.0, options=options) as stream:
            frames = list(stream)
    assert [number_of(frame.picture) for frame in frames] == list(range(NUM_FRAMES))
    assert {frame.gap_seconds for frame in frames} == {0.0}


@pytest.mark.parametrize("seconds", [0.0, 0.6])
def test_reconnecting_is_given_up_in_time(folder: Path, seconds: float) -> None:
    options = LiveOptions(reconnect_seconds=seconds, when_full="block", buffer_frames=100)
    with serving(folder) as server:
        stream = LiveStream.open(f"{server.address}/live/a.ts", 30.0, options=options)
        server.shutdown()
        server.server_close()
    began = time.monotonic()
    with stream, pytest.raises(SourceUnreachableError):
        list(stream)
    assert time.monotonic() - began < 5


def test_closing_does_not_wait_for_a_silent_server(folder: Path) -> None:
    with serving(folder) as server:
        server.drop_bytes = (folder / "noise.ts").stat().st_size * 9 // 10
        stream = LiveStream.open(f"{server.address}/stall/noise.ts", 30.0)
        next(stream)
        began = time.monotonic()
        stream.close()
        assert time.monotonic() - began < 0.7
        assert watching() == []
        assert list(stream) == []


def test_a_stream_that_is_forgotten_stops(folder: Path) -> None:
    stream = LiveStream.open(folder / "a.mkv", 30.0, options=LiveOptions(buffer_frames=1))
    next(stream)
    assert len(watching()) == 1
    del stream
    settle()


def test_a_damaged_file_says_so(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = (folder / "noise.ts").read_bytes()
    middle = len(data) // 2
    with LiveStream.open(data[:middle] + b"\x00" * 40000 + data[middle + 40000 :], 30.0) as stream:
        times = [frame.media_seconds for frame in stream]
    assert times == sorted(set(times))
    assert caplog.text.count("left out as damaged") <= 1
    start, end = data[: 188 * 3], bytes(5000)
    with pytest.raises(VideoError):
        LiveStream.open(start + end)


def test_a_silent_source_is_given_up(folder: Path) -> None:
    began = time.monotonic()
    with serving(folder) as server, pytest.raises(SourceTimeoutError, match="within 0.4 s"):
        LiveStream.open(f"{server.address}/hang/a.ts", options=LiveOptions(timeout_seconds=0.4))
    assert time.monotonic() - began < 2


def test_a_clip_at_a_time(folder: Path) -> None:
    with LiveStream.open(folder / "a.mkv", 30.0) as stream:
        clips = list(stream.clips(25))
    assert [len(clip) for clip in clips] == [25, 25, 10]
    assert numbers_of(torch.cat([clip.frames for clip in clips])) == list(range(NUM_FRAMES))


def test_numbers_that_make_no_sense(folder: Path) -> None:
    for bad in ({"timeout_seconds": 0}, {"reconnect_seconds": -1}, {"buffer_frames": 0}):
        with pytest.raises(RequestError, match=next(iter(bad))):
            LiveOptions(**bad)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="fps is 0"):
        LiveStream.open(folder / "a.mkv", 0)
    with (
        LiveStream.open(folder / "a.mkv") as stream,
        pytest.raises(RequestError, match="chunk_frames is 0"),
    ):
        stream.clips(0)
