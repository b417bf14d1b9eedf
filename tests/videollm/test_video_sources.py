"""Everything that can be opened as video, and everything that is refused with one sentence."""

import functools
import http.server
import io
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tests.videollm.drawn import draw_sound, draw_video, numbered_frames, numbers_of
from videollm.errors import RequestError, VideoError
from videollm.sampling import load_clip
from videollm.video import VideoReader

NUM_FRAMES = 30
TIMES = [(number + 0.5) / 30 for number in range(NUM_FRAMES)]


@pytest.fixture(scope="module")
def mp4() -> bytes:
    # The index comes first, as in files made for the web, so that a server need not seek.
    return draw_video(numbered_frames(NUM_FRAMES), options={"movflags": "faststart", "g": "10"})


@pytest.fixture(scope="module")
def webm() -> bytes:
    options = {"deadline": "realtime", "cpu-used": "8", "g": "10"}
    return draw_video(
        numbered_frames(NUM_FRAMES), container="webm", codec="libvpx", options=options
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_one_video_in_every_form(mp4: bytes, tmp_path: Path) -> None:
    path = tmp_path / "100% a:b #1 \u00e9.mp4"
    path.write_bytes(mp4)
    with VideoReader.open(mp4) as reader:
        expected = reader.read(TIMES)
    assert numbers_of(expected.frames) == list(range(NUM_FRAMES))
    with path.open("rb") as file:
        file.seek(100)
        for source in (str(path), path, path.as_uri(), bytearray(mp4), io.BytesIO(mp4), file):
            with VideoReader.open(source) as reader:
                assert torch.equal(reader.read(TIMES).frames, expected.frames), source
        assert not file.closed


def test_a_pipe_is_read_whole(mp4: bytes) -> None:
    reading, writing = os.pipe()
    thread = threading.Thread(target=lambda: (os.write(writing, mp4), os.close(writing)))
    thread.start()
    with os.fdopen(reading, "rb") as pipe, VideoReader.open(pipe) as reader:
        assert numbers_of(reader.read([0.95, 0.0]).frames) == [0, 28]
    thread.join()


@pytest.mark.parametrize("as_array", [torch.from_numpy, np.asarray])
@pytest.mark.parametrize("channels_first", [True, False])
def test_frames_in_memory(as_array: object, channels_first: bool) -> None:
    pixels = numbered_frames(12)
    frames = pixels.transpose(0, 3, 1, 2) if channels_first else pixels
    with VideoReader.open(as_array(frames), fps=4.0) as reader:  # type: ignore[operator]
        assert reader.metadata.duration_seconds == 3.0
        assert (reader.metadata.height, reader.metadata.width) == (32, 64)
        clip = reader.read([0.3, 0.25, 0.2, 99.0, -1.0])
        assert numbers_of(clip.frames) == [0, 0, 1, 1, 11]
        assert clip.pts_seconds.tolist() == [0.0, 0.0, 0.25, 0.25, 2.75]
        streamed = torch.cat([chunk.frames for chunk in reader.stream(4.0, 5)])
    assert torch.equal(streamed, torch.from_numpy(pixels).permute(0, 3, 1, 2))


def test_a_folder_of_images_in_natural_order(tmp_path: Path) -> None:
    for number, pixels in enumerate(numbered_frames(12)):
        Image.fromarray(pixels).save(tmp_path / f"frame {number}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    with VideoReader.open(tmp_path, fps=10) as reader:
        assert reader.metadata.num_frames == 12
        assert numbers_of(reader.read([number / 10 for number in range(12)]).frames) == list(
            range(12)
        )


def test_a_folder_turns_tagged_images_and_refuses_other_sizes(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:, :12] = 255
    Image.fromarray(pixels).save(tmp_path / "1.png", exif=exif)
    with VideoReader.open(tmp_path) as reader:
        frames = reader.read([0.0]).frames
    assert frames.shape == (1, 3, 24, 16)
    assert frames[0, 0, :12].min() == 255
    assert frames[0, 0, 12:].max() == 0
    Image.fromarray(pixels).save(tmp_path / "2.png")
    with VideoReader.open(tmp_path) as reader, pytest.raises(VideoError, match="24x16 but 1.png"):
        reader.read([1.0])
    (tmp_path / "2.png").write_bytes(b"not a picture")
    with VideoReader.open(tmp_path) as reader, pytest.raises(VideoError, match="as an image"):
        reader.read([1.0])


def test_a_gif_of_one_frame_and_a_single_image(tmp_path: Path) -> None:
    for name in ("one.gif", "one.png", "one.jpg"):
        Image.fromarray(numbered_frames(7)[6]).save(tmp_path / name)
        clip = load_clip(tmp_path / name, num_frames=4)
        assert numbers_of(clip.frames) == [6]
        assert clip.pts_seconds.tolist() == [0.0]
        with pytest.raises(RequestError, match="num_frames is 0"):
            load_clip(tmp_path / name, num_frames=0)


def test_tags_that_are_not_utf8_do_no_harm(tmp_path: Path) -> None:
    title = b"a film by somebody"
    data = draw_video(numbered_frames(3), title=title.decode())
    assert title in data
    broken = data.replace(title, b"\xff\xfe\xe9" * 6)
    assert numbers_of(load_clip(broken, num_frames=3).frames) == [0, 1, 2]


@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_a_web_address(server: str, tmp_path: Path, name: str, mp4: bytes, webm: bytes) -> None:
    data = mp4 if name == "a.mp4" else webm
    (tmp_path / name).write_bytes(data)
    with VideoReader.open(f"{server}/{name}") as remote, VideoReader.open(data) as local:
        assert torch.equal(remote.read(TIMES).frames, local.read(TIMES).frames)
    with pytest.raises(VideoError, match="404"):
        VideoReader.open(f"{server}/b.mp4")


def test_an_uploaded_playlist_fetches_nothing(tmp_path: Path, mp4: bytes) -> None:
    (tmp_path / "secret.mp4").write_bytes(mp4)
    playlist = b"ffconcat version 1.0\nfile secret.mp4\n"
    (tmp_path / "list.txt").write_bytes(playlist)
    with pytest.raises(VideoError, match="is not a video"):
        VideoReader.open(playlist)
    playlist = f"#EXTM3U\n#EXTINF:10,\n{(tmp_path / 'secret.mp4').as_uri()}\n".encode()
    with pytest.raises(VideoError, match="is not a video"):
        VideoReader.open(playlist)


def test_what_is_no_video_is_refused_by_name(tmp_path: Path) -> None:
    text, empty, sound, folder = (tmp_path / name for name in ("t.mp4", "e.mp4", "s.mkv", "d"))
    text.write_text("only words\n" * 50)
    (tmp_path / "words.txt").write_text("only words\n" * 50)
    empty.touch()
    sound.write_bytes(draw_sound())
    folder.mkdir()
    os.mkfifo(tmp_path / "pipe")
    for source, finding in (
        (tmp_path / "none.mp4", "there is no such file"),
        (text, "is not a video"),
        (tmp_path / "words.txt", "no video stream"),
        (empty, "the file is empty"),
        (sound, "only audio"),
        (folder, "a folder without images"),
        (tmp_path / "pipe", "not a regular file"),
        ("", "the path is empty"),
        ("ftp://host/a.mp4", "ftp: addresses cannot be read"),
        ("file://elsewhere/a.mp4", "of the machine elsewhere"),
        (b"", "holds no bytes"),
        (b"only words", "is not a video"),
        (io.StringIO("words"), "opened as text"),
        (7.0, "is no video source"),
        (torch.zeros(4, 3, 8, 8), "not uint8"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "is not a video"),
        (np.zeros((0, 8, 8, 3), np.uint8), "is not a video"),
    ):
        with pytest.raises(VideoError, match=finding) as caught:
            VideoReader.open(source)  # type: ignore[arg-type]
        message = str(caught.value)
        assert "\n" not in message
        assert "; " in message
        if isinstance(source, (str, Path)):
            assert str(source) in message
        assert str(pickle.loads(pickle.dumps(caught.value))) == message


def broken_middle(data: bytes) -> bytes:
    """Overwrite the middle of the media data, between two keyframes."""
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") if data.index(b"moov") > start else len(data)
    middle = (start + end) // 2
    return data[:middle] + b"\xff" * 400 + data[middle + 400 :]


def test_a_damaged_middle_is_refused_and_the_part_before_is_read() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 64, 64, 3), dtype=np.uint8)
    data = broken_middle(draw_video(noise, options={"g": "60"}))
    with VideoReader.open(data) as reader:
        assert len(reader.read([0.0, 0.2])) == 2
        for time in (1.9, 1.99, 1.9):
            with pytest.raises(VideoError, match=r"damaged at [01]\.\d\d s"):
                reader.read([time])
        assert len(reader.read([0.2, 0.0])) == 2
    with pytest.raises(VideoError, match="damaged"):
        load_clip(data)


def test_a_download_cut_short_is_read_as_far_as_it_goes(webm: bytes) -> None:
    with VideoReader.open(webm[: len(webm) // 2]) as reader:
        assert 5 < reader.metadata.num_frames < NUM_FRAMES
        duration = reader.metadata.duration_seconds
        assert duration == pytest.approx(reader.metadata.num_frames / 30, abs=0.01)
        numbers = numbers_of(torch.cat([chunk.frames for chunk in reader.stream(30)]))
    assert numbers[:5] == [0, 1, 2, 3, 4]
    assert numbers == sorted(numbers)
    assert numbers[-1] >= len(numbers) - 3


def test_where_nothing_decodes_the_file_is_refused() -> None:
    data = draw_video(numbered_frames(10))
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    with pytest.raises(VideoError, match="not one frame of its h264"):
        VideoReader.open(data[:start] + b"\xff" * (end - start) + data[end:])


def flipped(data: bytes) -> Iterator[bytes]:
    """Yield a video with one bit flipped, at one place after another in its first third."""
    step = len(data) // 40
    for place in range(step, len(data) // 3, step):
        changed = bytearray(data)
        changed[place] ^= 0x10
        yield bytes(changed)


def test_damaged_pictures_do_not_depend_on_the_order_of_asking() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (12, 64, 64, 3), dtype=np.uint8)
    times = [number / 30 for number in range(12)]
    num_read = 0
    for data in flipped(draw_video(noise, container="flv", codec="flv")):
        with VideoReader.open(data) as reader:
            forwards = [reader.read([time]).frames for time in times]
        with VideoReader.open(data) as reader:
            backwards = [reader.read([time]).frames for time in reversed(times)]
        num_read += 1
        assert all(map(torch.equal, forwards, reversed(backwards)))
    assert num_read > 0


def test_what_a_damaged_picture_lacks_is_concealed_and_not_left_to_chance() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (8, 64, 64, 3), dtype=np.uint8)
    num_read = 0
    for data in flipped(draw_video(noise, container="flv")):
        try:
            with VideoReader.open(data) as reader:
                clip = reader.read([number / 30 for number in range(8)])
        except VideoError:
            continue
        num_read += 1
        with av.open(io.BytesIO(data)) as container:
            container.streams.video[0].codec_context.thread_count = 1
            bare = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
        # Concealed by its neighbours, a block of noise stays noise and is no empty patch.
        assert len(bare) == len(clip)
        for picture, gray in zip(clip.frames, bare, strict=True):
            assert abs(picture.float().mean() - gray.mean()) < 4
    assert num_read > 0


def test_a_spliced_file_ends_where_it_ends_also_after_going_back() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (12, 48, 48, 3), dtype=np.uint8)
    one, other = draw_video(noise, container="flv", codec="flv"), draw_video(noise[:4])
    for cut in range(len(one) // 3, len(one), 797):
        with VideoReader.open(one[:cut] + other[cut // 9 :]) as reader:
            times = [number / 30 for number in range(reader.metadata.num_frames)]
            forwards = [reader.read([time]).pts_seconds.item() for time in times]
            backwards = [reader.read([time]).pts_seconds.item() for time in reversed(times)]
            again = [reader.read([time]).pts_seconds.item() for time in times]
        assert forwards == backwards[::-1] == again
