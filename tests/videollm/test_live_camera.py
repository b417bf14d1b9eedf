"""Cameras, absent, busy, hesitant and (played by the decoder's test picture) working; the clock."""

import errno
import itertools
import math
from collections.abc import Iterator
from fractions import Fraction

import av
import pytest
from av.container import InputContainer
from av.video.stream import VideoStream
from hypothesis import given, settings
from hypothesis import strategies as st

from videollm import live_reader, live_source
from videollm.errors import (
    LiveSourceError,
    SourceAccessError,
    SourceNotFoundError,
    SourceTimeoutError,
    SourceUnreachableError,
)
from videollm.live import LiveOptions, LiveStream
from videollm.live_clock import LiveClock
from videollm.live_source import NON_BLOCKING, DeviceSource
from videollm.video import VideoReader
from videollm.video_patience import Patience


def test_a_camera_that_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_source, "cameras", lambda: ["/dev/video8", "/dev/video9"])
    for source in (77, "camera:77", "/dev/video77", "camera:/dev/video77"):
        with pytest.raises(SourceNotFoundError, match="no such camera; there are /dev/video8, "):
            LiveStream.open(source)
        with pytest.raises(SourceNotFoundError, match="no such camera"):
            VideoReader.open(source)
    monkeypatch.setattr(live_source, "cameras", list)
    with pytest.raises(SourceNotFoundError, match="this machine has none"):
        LiveStream.open(77)


@pytest.mark.parametrize(
    ("code", "kind", "finding"),
    [
        (errno.EBUSY, SourceAccessError, "in use"),
        (errno.EACCES, SourceAccessError, "may not be used"),
        (errno.EIO, SourceUnreachableError, "gives no pictures"),
    ],
)
def test_a_camera_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception], finding: str
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise av.FFmpegError(code, "no")

    pretend_camera(monkeypatch)
    monkeypatch.setattr(live_source.av, "open", refuse)
    with pytest.raises(kind, match=finding):
        LiveStream.open(0)


def pretend_camera(monkeypatch: pytest.MonkeyPatch, timeout_seconds: float = 5.0) -> None:
    """Let the decoder's own test picture stand for every camera: it never ends."""

    def find(name: str, camera: str, patience: Patience) -> DeviceSource:
        return DeviceSource(
            name=name,
            url="testsrc=size=64x32:rate=20",
            format_name="lavfi",
            options=NON_BLOCKING,
            patience=Patience(timeout_seconds),
        )

    monkeypatch.setattr(live_source, "_camera_source", find)


@pytest.mark.parametrize("source", [0, "camera:0", "CAMERA:front door"])
def test_a_camera_is_watched(monkeypatch: pytest.MonkeyPatch, source: int | str) -> None:
    pretend_camera(monkeypatch)
    with LiveStream.open(source, 4.0, options=LiveOptions(when_full="block")) as stream:
        frames = list(itertools.islice(stream, 5))
    assert [frame.media_seconds for frame in frames] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert frames[0].picture.shape == (3, 32, 64)
    with VideoReader.open(source) as reader:
        assert reader.metadata.duration_seconds == math.inf
        with pytest.raises(LiveSourceError, match="has no past"):
            reader.read([0.0])
        clips = list(itertools.islice(reader.stream(20, chunk_frames=3), 2))
    assert [clip.frames.shape for clip in clips] == [(3, 3, 32, 64)] * 2


def test_a_camera_that_has_nothing_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_camera(monkeypatch)
    read = live_reader.read_packets
    calls = itertools.count()

    def hesitate(container: InputContainer, stream: VideoStream) -> Iterator[object]:
        if next(calls) % 3 < 2:
            raise av.BlockingIOError(errno.EAGAIN, "not yet")
        yield next(read(container, stream))
        raise av.BlockingIOError(errno.EAGAIN, "not yet")

    monkeypatch.setattr(live_reader, "read_packets", hesitate)
    with LiveStream.open(0, 20.0) as stream:
        times = [frame.media_seconds for frame in itertools.islice(stream, 4)]
    assert times == pytest.approx([0.0, 0.05, 0.1, 0.15])

    def say_nothing(container: InputContainer, stream: VideoStream) -> Iterator[object]:
        raise av.BlockingIOError(errno.EAGAIN, "not yet")

    monkeypatch.setattr(live_reader, "read_packets", say_nothing)
    with pytest.raises(SourceTimeoutError):
        LiveStream.open(0, options=LiveOptions(timeout_seconds=0.3))


STAMPS = st.none() | st.fractions(min_value=-100, max_value=100, max_denominator=1000)


@settings(max_examples=40)
@given(
    is_endless=st.booleans(),
    steps=st.lists(st.tuples(STAMPS, st.floats(0, 20), st.booleans()), min_size=1),
)
def test_media_times_always_rise(
    is_endless: bool, steps: list[tuple[Fraction | None, float, bool]]
) -> None:
    clock, wall, last = LiveClock(is_endless=is_endless), 1e9, -1.0
    clock.connect()
    for stamp, passed, reconnects in steps:
        wall += passed
        if reconnects:
            clock.connect()
        told = clock.tell(stamp, wall, 0.04)
        assert told is not None or not is_endless
        if told is not None:
            assert told[0] > last
            assert told[1] == 0 or is_endless
            last = told[0]
