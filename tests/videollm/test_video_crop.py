"""Edges that the container cuts off are cut off, whichever container says so and wherever."""

import struct
from fractions import Fraction
from pathlib import Path
from typing import Never

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.videollm.drawn import draw_video, put_box, remux
from tests.videollm.web_server import serving
from videollm import video_survey
from videollm.errors import VideoError
from videollm.live import LiveStream
from videollm.transforms import shrink_frame
from videollm.video import VideoReader
from videollm.video_crop import Crop
from videollm.video_file import FileTrack
from videollm.video_indexed import IndexedTrack
from videollm.video_source import media_source

HEIGHT, WIDTH = 64, 128
LEFT, TOP, RIGHT, BOTTOM = 17, 3, 31, 9
SHOWN = (slice(None), slice(None), slice(TOP, HEIGHT - BOTTOM), slice(LEFT, WIDTH - RIGHT))
TIMES = [0.0, 0.1]
COLOURS = "colorprim=bt709:transfer=bt709:colormatrix=bt709:range=tv"


def draw(turn: float | None = None, pixel_aspect: Fraction | None = None) -> bytes:
    """Return an mp4 of blurred noise, so that no row and no column is like another."""
    noise = np.random.default_rng(0).integers(0, 255, (4, HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    return draw_video(
        noise.repeat(8, axis=1).repeat(8, axis=2),
        options={"qp": "0", "x264-params": COLOURS},
        turn=None if turn is None else (turn, False, False),
        pixel_aspect=pixel_aspect,
    )


def with_clap(data: bytes) -> bytes:
    """Return an mp4 with a clean aperture: its size, and where its middle is."""
    size = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM)
    shift = (LEFT - RIGHT, TOP - BOTTOM)
    content = struct.pack(">4I", size[0], 1, size[1], 1)
    content += struct.pack(">iIiI", shift[0], 2, shift[1], 2)
    entry = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1")
    return put_box(data, [*entry, b"clap"], content)


def with_pixel_crop(
    data: bytes, sides: tuple[int, int, int, int] = (LEFT, TOP, RIGHT, BOTTOM)
) -> bytes:
    """Return a video as Matroska, with cropping where the colours were."""
    changed = bytearray(remux(data, "matroska"))
    place = changed.index(b"\x55\xb0")
    length = 3 + (changed[place + 2] & 0x7F)
    numbers = (b"\x54\xcc", b"\x54\xbb", b"\x54\xdd", b"\x54\xaa")
    crop = b"".join(
        number + b"\x81" + bytes([side]) for number, side in zip(numbers, sides, strict=True)
    )
    rest = length - len(crop) - 2
    changed[place : place + length] = crop + bytes([0xEC, 0x80 + rest]) + bytes(rest)
    return bytes(changed)


def read(data: bytes, max_side: int | None = None) -> Tensor:
    with VideoReader.open(data) as reader:
        assert reader.metadata.warnings == ()
        assert (reader.metadata.stored_height, reader.metadata.stored_width) == (HEIGHT, WIDTH)
        clip = reader.read(TIMES, max_side=max_side)
        size = (reader.metadata.height, reader.metadata.width)
        assert max_side is not None or clip.frames.shape[2:] == size
        return clip.frames


@pytest.fixture(scope="module")
def whole() -> Tensor:
    """Return the pictures with their edges on."""
    return read(draw())


@pytest.mark.parametrize("container", ["mov", "matroska"])
def test_edges_are_cut_off_to_the_pixel(container: str, whole: Tensor) -> None:
    data = draw()
    cropped = with_clap(data) if container == "mov" else with_pixel_crop(data)
    assert torch.equal(read(cropped), whole[SHOWN])
    smaller = read(cropped, max_side=40)
    expected = torch.stack([shrink_frame(picture, 40) for picture in whole[SHOWN]])
    assert smaller.shape == expected.shape
    assert (smaller.float() - expected.float()).abs().mean() < 3


def test_cropping_comes_before_turning_and_stretching(whole: Tensor) -> None:
    turned = read(with_clap(draw(turn=90.0)))
    assert torch.equal(turned, torch.rot90(whole[SHOWN], 1, (2, 3)))
    stretched = read(with_clap(draw(pixel_aspect=Fraction(3, 2))))
    assert stretched.shape[2:] == (HEIGHT - TOP - BOTTOM, (WIDTH - LEFT - RIGHT) * 3 // 2)


def test_cropping_that_leaves_nothing_is_refused_or_told(
    whole: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = with_pixel_crop(draw(), (100, 0, 100, 0))
    with pytest.raises(VideoError, match="is not a video"):
        VideoReader.open(data)
    # The frames may be smaller than the header says.
    monkeypatch.setattr(video_survey, "stated_crop", lambda stream: Crop(left=WIDTH))
    with VideoReader.open(draw()) as reader:
        clip = reader.read(TIMES)
    assert torch.equal(clip.frames, whole)
    assert clip.warnings == ("its container cuts off more than there is; nothing is cut off",)


def test_every_way_of_reading_cuts_alike(tmp_path: Path, whole: Tensor) -> None:
    (tmp_path / "a.mp4").write_bytes(with_clap(draw()))
    with serving(tmp_path) as server, VideoReader.open(f"{server.address}/plain/a.mp4") as remote:
        assert torch.equal(remote.read(TIMES).frames, whole[SHOWN])
    with LiveStream.open(tmp_path / "a.mp4", fps=30.0) as stream:
        first = next(iter(stream))
    assert torch.equal(first.picture, whole[SHOWN][0])


def test_other_back_ends_refuse(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(with_clap(draw()))
    truth = FileTrack(media_source(tmp_path / "a.mp4"))

    def never() -> Never:
        raise AssertionError("nothing is opened")

    with pytest.raises(VideoError, match="other 1.0 does not cut off the edges that its container"):
        IndexedTrack(truth, backend="other 1.0", open_store=never)
    truth.close()
