"""A real RTSP server, where one is installed: GStreamer's, from Debian's packages."""

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.videollm.drawn import draw_video, number_of, numbered_frames, numbers_of
from videollm.errors import (
    LiveSourceError,
    SourceNotFoundError,
    SourceTimeoutError,
    SourceUnreachableError,
)
from videollm.live import LiveOptions, LiveStream
from videollm.video import VideoReader

pytestmark = pytest.mark.slow

PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).with_name("rtsp_server.py")
RATE = 20


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rtsp") / "numbers.mp4"
    options = {"g": "10", "bf": "0"}
    path.write_bytes(draw_video(numbered_frames(200), rate=RATE, options=options))
    return path


@contextmanager
def rtsp_server(video: Path, port: int = 0) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Yield a server's process and its port, or skip where it cannot run."""
    if not Path(PYTHON).exists():
        pytest.skip("no RTSP server: the system has no Python")
    command = [PYTHON, str(SERVER), str(video), str(port)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            line = process.stdout.readline()
            if not line:
                reason = process.stderr.read().strip().splitlines()[-1]
                pytest.skip(f"no RTSP server: {reason}; see {SERVER.name} for Debian's packages")
            yield process, int(line)
        finally:
            process.kill()


def test_rtsp_is_watched_and_cannot_be_read(video: Path) -> None:
    with rtsp_server(video) as (_, port):
        url = f"rtsp://127.0.0.1:{port}/test"
        with pytest.raises(SourceNotFoundError, match="no such stream"):
            LiveStream.open(url + "s")
        with LiveStream.open(url, 5.0) as stream:
            frames = [next(stream) for _ in range(6)]
        numbers = [number_of(frame.picture) for frame in frames]
        assert numbers == list(range(numbers[0], numbers[0] + 24, 4))
        times = [frame.media_seconds for frame in frames]
        assert times == pytest.approx([step / 5 for step in range(6)], abs=0.002)
        with VideoReader.open(url) as reader:
            assert (reader.metadata.height, reader.metadata.width) == (32, 64)
            with pytest.raises(LiveSourceError, match="no past"):
                reader.read([0.0])
            clip = next(iter(reader.stream(RATE, chunk_frames=4)))
        numbers = numbers_of(clip.frames)
        assert numbers == sorted(set(numbers))  # on a busy machine the oldest give way


def test_rtsp_is_opened_again_after_a_break(video: Path) -> None:
    options = LiveOptions(buffer_frames=500)
    with rtsp_server(video) as (process, port):
        url = f"rtsp://127.0.0.1:{port}/test"
        stream = LiveStream.open(url, RATE, options=options)
        process.kill()
    with stream, rtsp_server(video, port):
        frames = []
        for frame in stream:
            frames.append(frame)
            if frame.gap_seconds > 0:
                break
        assert stream.stats.num_reconnects == 1
    times = [frame.media_seconds for frame in frames]
    assert times == sorted(set(times))
    assert times[-1] - times[-2] == pytest.approx(frames[-1].gap_seconds, abs=1e-6)


def test_rtsp_that_falls_silent_is_left_in_time(video: Path) -> None:
    options = LiveOptions(timeout_seconds=2.0, reconnect_seconds=0.0)
    with rtsp_server(video) as (process, port):
        url = f"rtsp://127.0.0.1:{port}/test"
        first = LiveStream.open(url, RATE, options=options)
        with first, LiveStream.open(url, RATE, options=options) as second:
            process.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            first.close()
            assert time.monotonic() - began < 1.0
            with pytest.raises((SourceTimeoutError, SourceUnreachableError)):
                list(second)
            assert time.monotonic() - began < 5.0
            with pytest.raises(SourceTimeoutError, match="within 2 s"):
                LiveStream.open(url, options=options)
    names = [thread.name for thread in threading.enumerate() if "-live" in thread.name]
    assert names == []
