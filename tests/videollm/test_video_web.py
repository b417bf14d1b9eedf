"""Web addresses: ranges, playlists, and servers that are slow, break off, lie or refuse."""

import pickle
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.videollm.drawn import draw_video, numbered_frames, numbers_of
from tests.videollm.web_server import Server, cut_in_parts, serving
from videollm.errors import (
    NoVideoError,
    SourceAccessError,
    SourceNotFoundError,
    SourceTimeoutError,
    SourceUnreachableError,
    VideoError,
)
from videollm.video import VideoReader

NUM_FRAMES = 60
TIMES = [(number + 0.5) / 30 for number in range(NUM_FRAMES)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web")
    frames = numbered_frames(NUM_FRAMES, height=64, width=128)
    big = {"g": "10", "crf": "5"}
    (folder / "last.mp4").write_bytes(draw_video(frames, options=big))
    (folder / "a.mp4").write_bytes(draw_video(frames, options={**big, "movflags": "faststart"}))
    (folder / "a.ts").write_bytes(draw_video(frames, container="mpegts", options=big))
    (folder / "words.txt").write_text("only words\n" * 500)
    (folder / "empty.mp4").write_bytes(b"")
    cut_in_parts(folder / "a.ts", folder)
    return folder


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with serving(folder) as server:
        yield server


@pytest.mark.parametrize("name", ["a.mp4", "last.mp4", "a.ts"])
@pytest.mark.parametrize("kind", ["plain", "moved", "whole", "ranges", "drop"])
def test_every_server_gives_the_same_pictures(
    server: Server, folder: Path, name: str, kind: str
) -> None:
    server.num_drops_left = 2
    url = f"{server.address}/{kind}/{name}"
    with VideoReader.open(url) as remote, VideoReader.open(folder / name) as local:
        assert numbers_of(remote.read(TIMES).frames) == list(range(NUM_FRAMES))
        assert torch.equal(remote.read([0.7, 0.1]).frames, local.read([0.7, 0.1]).frames)


def test_seeking_asks_for_the_part_that_is_needed(tmp_path: Path) -> None:
    noise = torch.randint(0, 255, (90, 160, 160, 3), dtype=torch.uint8).numpy()
    options = {"g": "10", "movflags": "faststart"}
    (tmp_path / "noise.mp4").write_bytes(draw_video(noise, options=options))
    size = (tmp_path / "noise.mp4").stat().st_size
    with serving(tmp_path) as server:
        with VideoReader.open(f"{server.address}/plain/noise.mp4") as reader:
            reader.read([2.9])
        starts = [int((asked or "bytes=0-")[6:-1]) for _, asked in server.asked]
    assert size > 9 * 10**5
    assert max(starts) > size * 0.8


def test_a_playlist_is_read_whatever_it_is_called(server: Server, folder: Path) -> None:
    (folder / "odd name").write_bytes((folder / "list.m3u8").read_bytes())
    for name in ("list.m3u8", "odd%20name"):
        with VideoReader.open(f"{server.address}/plain/{name}") as reader:
            assert reader.metadata.duration_seconds == pytest.approx(2.0, abs=0.05)
            numbers = numbers_of(reader.read([1.9, 0.1, 1.05]).frames)
            assert numbers == [3, 31, 57]


def test_a_playlist_with_a_missing_part_is_an_error_that_names_it(
    server: Server, folder: Path
) -> None:
    text = (folder / "list.m3u8").read_text().replace("part2.bin", "part9.bin")
    (folder / "holes.m3u8").write_text(text)
    with VideoReader.open(f"{server.address}/plain/holes.m3u8") as reader:
        assert numbers_of(reader.read([0.1]).frames) == [3]
        with pytest.raises(SourceNotFoundError, match="part9.bin"):
            reader.read([1.9])
        assert numbers_of(reader.read([0.1]).frames) == [3]


@pytest.mark.parametrize("line", ["file://{}", "{}", "concat:{}", "ftp://127.0.0.1/{}"])
def test_a_playlist_fetches_nothing_but_web_addresses(
    server: Server, folder: Path, line: str
) -> None:
    entry = line.format(folder / "a.ts")
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{entry}\n#EXT-X-ENDLIST\n"
    (folder / "bad.m3u8").write_text(text)
    with pytest.raises(VideoError):
        VideoReader.open(f"{server.address}/plain/bad.m3u8")
    with pytest.raises(NoVideoError):
        VideoReader.open(text.encode())


def test_an_encrypted_playlist_says_so(server: Server, folder: Path) -> None:
    key = '#EXT-X-KEY:METHOD=AES-128,URI="/plain/words.txt"\n#EXTINF'
    text = (folder / "list.m3u8").read_text().replace("#EXTINF", key, 1)
    (folder / "locked.m3u8").write_text(text)
    with pytest.raises(VideoError, match="encrypted"):
        VideoReader.open(f"{server.address}/plain/locked.m3u8")


@pytest.mark.parametrize(
    ("path", "kind", "finding"),
    [
        ("missing/a.mp4", SourceNotFoundError, "the server says 404"),
        ("gone/a.mp4", SourceNotFoundError, "the server says 410"),
        ("forbidden/a.mp4", SourceAccessError, "the server says 403"),
        ("locked/a.mp4", SourceAccessError, "the server says 401"),
        ("broken/a.mp4", SourceUnreachableError, "the server says 503"),
        ("circle/a", SourceUnreachableError, "in a circle"),
        ("chain/a", SourceUnreachableError, "too often"),
        ("elsewhere/a", SourceAccessError, "leads to file:///etc/hostname"),
        ("plain/words.txt", NoVideoError, "no video stream|is not a video"),
        ("plain/empty.mp4", NoVideoError, "holds no bytes"),
        ("whole/empty.mp4", NoVideoError, "holds no bytes"),
        ("hang/a.mp4", SourceTimeoutError, "no picture within 0.6 s"),
        ("slow-head/a.mp4", SourceTimeoutError, "no picture within 0.6 s"),
        ("drip/last.mp4", SourceTimeoutError, "no picture within 0.6 s"),
        ("stall/last.mp4", SourceTimeoutError, "no picture within 0.6 s"),
        ("long/last.mp4", SourceUnreachableError, "nothing after byte"),
    ],
)
def test_what_goes_wrong_is_one_error_of_its_kind(
    server: Server, path: str, kind: type[VideoError], finding: str
) -> None:
    url = f"{server.address}/{path}"
    began = time.monotonic()
    with pytest.raises(kind, match=finding) as caught:
        VideoReader.open(url, timeout_seconds=0.6)
    assert time.monotonic() - began < 3
    assert url in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is type(caught.value)
    assert str(again) == str(caught.value)


def test_a_password_goes_to_the_server_and_into_no_message(server: Server) -> None:
    address = server.address.replace("://", "://name:sesame@")
    with VideoReader.open(f"{address}/plain/a.mp4") as reader:
        assert "sesame" not in reader.metadata.source
    with pytest.raises(SourceNotFoundError, match=r"name:\*\*\*@") as caught:
        VideoReader.open(f"{address}/missing/a.mp4")
    assert "sesame" not in str(caught.value)
    assert server.passwords == {"Basic bmFtZTpzZXNhbWU="}


def test_no_server_and_no_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(SourceUnreachableError, match=r"127\.0\.0\.1 cannot be reached"):
        VideoReader.open(f"http://127.0.0.1:{port}/a.mp4")
    with pytest.raises((SourceUnreachableError, SourceTimeoutError), match="no-such-host"):
        VideoReader.open("http://no-such-host.invalid/a.mp4", timeout_seconds=2)


def test_a_connection_that_breaks_for_good_is_an_error(server: Server, folder: Path) -> None:
    url = f"{server.address}/plain/a.mp4"
    with VideoReader.open(url) as reader:
        server.shutdown()
        server.server_close()
        with pytest.raises(SourceUnreachableError, match="cannot be reached"):
            reader.read([1.9])
