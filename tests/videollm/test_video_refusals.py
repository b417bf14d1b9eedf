"""Bad files are refused with a sentence that says why, before they cost memory."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tests.videollm.drawn import draw_video, numbered_frames, numbers_of, remux
from videollm.errors import RequestError, VideoError
from videollm.sampling import load_clip
from videollm.video import VideoReader
from videollm.video_backends import BACKENDS

NUM_FRAMES = 12
ENCODINGS = {
    "mp4": ("libx264", {"g": "4"}),
    "webm": ("libvpx", {"g": "4", "deadline": "realtime", "cpu-used": "8"}),
    "avi": ("mpeg4", {"g": "4"}),
}


def forged_avi(width: int, height: int) -> bytes:
    data = bytearray(draw_video(numbered_frames(3), container="avi", codec="rawvideo"))
    place = data.index(b"strf") + 12
    data[place : place + 8] = struct.pack("<ii", width, height)
    return bytes(data)


def forged_gif(width: int, height: int) -> bytes:
    data = bytearray(draw_video(numbered_frames(3), container="gif", codec="gif", rate=25))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def forged_png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "png")
    data = bytearray(file.getvalue())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def forged_webm(width: int, height: int) -> bytes:
    codec, options = ENCODINGS["webm"]
    data = draw_video(numbered_frames(3), container="webm", codec=codec, options=options)
    size = b"\xb0\x81\x40\xba\x81\x20"  # 64 x 32
    forged = b"\xb0\x83" + width.to_bytes(3, "big") + b"\xba\x83" + height.to_bytes(3, "big")
    return data.replace(size, forged)


@pytest.mark.parametrize(
    ("forge", "side"),
    [
        *[(forge, 100_000) for forge in (forged_avi, forged_png, forged_webm)],
        *[(forge, 0) for forge in (forged_avi, forged_gif, forged_png)],
    ],
)
def test_absurd_sizes_are_refused(forge: Callable[[int, int], bytes], side: int) -> None:
    with pytest.raises(VideoError, match="no size, or more than the 134.2 million|not a video"):
        VideoReader.open(forge(side, side))


@pytest.mark.parametrize("forge", [forged_avi, forged_gif, forged_png])
def test_large_sizes_are_refused(forge: Callable[[int, int], bytes]) -> None:
    finding = r"16000x16000 pixels; .* at most 134.2 million|more than the 134.2 million pixels"
    with pytest.raises(VideoError, match=finding):
        VideoReader.open(forge(16000, 16000))


def test_the_most_pixels_are_the_callers_choice(tmp_path: Path) -> None:
    data = draw_video(numbered_frames(3))
    for source in (data, forged_gif(64, 32)):
        assert len(load_clip(VideoReader.open(source, max_pixels=64 * 32), num_frames=2)) == 2
        with pytest.raises(VideoError, match="64x32 pixels|more than the 0.002047 million"):
            VideoReader.open(source, max_pixels=64 * 32 - 1)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    VideoReader.open(tmp_path, max_pixels=64)
    with pytest.raises(VideoError, match="8x8 pixels"):
        VideoReader.open(tmp_path, max_pixels=63)
    with pytest.raises(RequestError, match="max_pixels is 0"):
        VideoReader.open(data, max_pixels=0)


def test_frames_that_grow_midway_are_refused_before_they_are_decoded() -> None:
    small, large = (
        draw_video(numbered_frames(5, height=side, width=side), container="mpegts")
        for side in (64, 512)
    )
    grown = small + large
    with VideoReader.open(grown) as reader:
        assert len(reader.read([0.0, 99.0])) == 2
    with VideoReader.open(grown, max_pixels=64 * 64) as reader:
        assert numbers_of(reader.read([0.0, 1 / 30]).frames) == [0, 1]
        last = reader.read([99.0])
    assert last.pts_seconds.item() < 5 / 30


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file whose frames grow far behind what a decoder looks at first."""
    noise = np.random.default_rng(0).integers(0, 255, (180, 192, 192, 1), dtype=np.uint8)
    options = {"bf": "0", "qp": "1", "g": "50", "preset": "ultrafast"}
    small = draw_video(noise.repeat(3, axis=3), container="mpegts", options=options)
    large = draw_video(
        numbered_frames(5, height=512, width=512), container="mpegts", options=options
    )
    path = tmp_path_factory.mktemp("grown") / "grown.ts"
    path.write_bytes(small + remux(large, "mpegts", shift=lambda _: 180))
    return path


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_most_pixels_are_the_same_for_all(backend: str, grown: Path, tmp_path: Path) -> None:
    pytest.importorskip("av" if backend == "pyav" else backend)
    path = tmp_path / "a.mp4"
    path.write_bytes(draw_video(numbered_frames(3)))
    with VideoReader.open(path, backend=backend, max_pixels=64 * 32) as reader:
        assert numbers_of(reader.read([0.0]).frames) == [0]
    with pytest.raises(VideoError, match="its frames are 64x32 pixels"):
        VideoReader.open(path, backend=backend, max_pixels=64 * 32 - 1)
    with VideoReader.open(grown, backend=backend) as reader:
        assert reader.metadata.num_frames == 185
    if backend == "pyav":
        with VideoReader.open(grown, backend=backend, max_pixels=512 * 512 - 1) as reader:
            assert reader.read([99.0]).pts_seconds.item() < 180 / 30
    else:
        with pytest.raises(VideoError, match=f"{backend} .*keyframe is damaged or too large"):
            VideoReader.open(grown, backend=backend, max_pixels=512 * 512 - 1)


def test_an_encrypted_video_is_called_so() -> None:
    file = io.BytesIO()
    scheme = {"encryption_scheme": "cenc-aes-ctr"}
    key = {"encryption_key": "76a6c65c5ea762046bd749a2e632ccbb", "encryption_kid": "a7" * 16}
    with av.open(file, "w", format="mp4", options={**scheme, **key}) as output:
        stream = output.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        for pixels in numbered_frames(5):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode(None))
    with pytest.raises(VideoError, match="its h264 video is encrypted; decrypt it"):
        VideoReader.open(file.getvalue())


def test_archives_and_documents_are_called_by_their_kind(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("film.mp4", b"inside")
    with pytest.raises(VideoError, match="film.mp4: is a zip archive and not a video; unpack it"):
        VideoReader.open(path)
    locked = bytearray(path.read_bytes())
    locked[6] |= 1
    with pytest.raises(VideoError, match="zip archive, locked with a password, and not a video"):
        VideoReader.open(bytes(locked))
    with pytest.raises(VideoError, match="is a PDF document and not a video; give a video"):
        VideoReader.open(b"%PDF-1.7 and so on")


@pytest.mark.parametrize("container", ENCODINGS)
def test_any_beginning_of_a_file_is_read_rightly_or_refused(container: str) -> None:
    codec, options = ENCODINGS[container]
    data = draw_video(
        numbered_frames(NUM_FRAMES), container=container, codec=codec, options=options
    )
    rng = np.random.default_rng(0)
    cuts = {*range(1, 60, 6), *rng.integers(1, len(data), 70).tolist(), len(data) - 1, len(data)}
    num_read = 0
    for cut in sorted(cuts):
        try:
            with VideoReader.open(data[:cut]) as reader:
                num_frames = reader.metadata.num_frames
                clip = reader.read([number / 30 for number in range(num_frames)])
        except VideoError:
            continue
        num_read += 1
        shown = torch.round(clip.pts_seconds * 30).int().tolist()
        # The last frame of the part may be cut: what is missing of it cannot be known.
        whole = [at for at, number in enumerate(shown) if number < shown[-1]]
        numbers = numbers_of(clip.frames)
        assert [numbers[at] for at in whole] == [shown[at] for at in whole], cut
    assert num_read > 0
    assert numbers_of(load_clip(data, num_frames=NUM_FRAMES).frames) == list(range(NUM_FRAMES))
