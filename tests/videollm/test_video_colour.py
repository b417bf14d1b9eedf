"""Colours come back as they were filmed: every matrix, range, depth and way of storing them."""

import itertools

import pytest
import torch

from tests.videollm.drawn import draw_stored
from videollm.errors import VideoError
from videollm.video import VideoReader
from videollm.video_picture import PLANAR_FORMATS

WEIGHTS = {
    1: (0.2126, 0.0722),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""Shares of red and blue in brightness, by the number of the matrix."""

BT709, BT601 = 1, 6
LIMITED, FULL = 1, 2
COLOURS = [(200, 40, 60), (20, 180, 90), (250, 250, 250), (10, 20, 130)]


def stored(
    rgb: tuple[int, int, int], matrix: int, color_range: int, *, bits: int = 8
) -> list[list[int]]:
    """Return the brightness and the two colour differences that stand for a colour."""
    red_share, blue_share = WEIGHTS[matrix]
    red, green, blue = (value / 255 for value in rgb)
    luma = red_share * red + (1 - red_share - blue_share) * green + blue_share * blue
    differences = [(blue - luma) / (2 * (1 - blue_share)), (red - luma) / (2 * (1 - red_share))]
    scale, most = 2 ** (bits - 8), 2**bits - 1
    if color_range == FULL:
        values = [luma * most, *(value * most + 128 * scale for value in differences)]
    else:
        values = [
            (16 + 219 * luma) * scale,
            *((128 + 224 * value) * scale for value in differences),
        ]
    return [[min(round(value), most)] for value in values]


def shown(data: bytes) -> list[tuple[int, ...]]:
    """Return the colour near the middle, at full size and shrunk."""
    with VideoReader.open(data) as reader:
        pictures = [reader.read([0.0], max_side=side).frames[0] for side in (None, 24)]
    for picture in pictures:
        assert int(picture.flatten(1).float().std(dim=1).max()) == 0
    return [tuple(picture[:, 5, 7].tolist()) for picture in pictures]


def assert_close(found: list[tuple[int, ...]], rgb: tuple[int, ...], levels: int = 3) -> None:
    for colour in found:
        assert max(abs(a - b) for a, b in zip(colour, rgb, strict=True)) <= levels, (found, rgb)


@pytest.mark.parametrize("color_range", [LIMITED, FULL])
@pytest.mark.parametrize("matrix", sorted(WEIGHTS))
def test_a_stated_matrix_and_range_are_obeyed(matrix: int, color_range: int) -> None:
    kinds = [("yuv420p", 48), ("yuv422p", 48), ("yuv444p", 47), ("yuv411p", 48)]
    kinds += [("yuv420p10le", 48), ("yuv444p10le", 47)]
    assert {name in PLANAR_FORMATS for name, _ in kinds} == {True, False}
    for (name, height), rgb in itertools.product(kinds, COLOURS):
        bits = 10 if "10" in name else 8
        levels = stored(rgb, matrix, color_range, bits=bits)
        options = {"height": height, "matrix": matrix, "color_range": color_range}
        assert_close(shown(draw_stored(levels, name, **options)), rgb)


@pytest.mark.parametrize("matrix", [BT709, BT601])
@pytest.mark.parametrize("name", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_the_h264_of_everyday_is_obeyed(matrix: int, name: str) -> None:
    for color_range in (LIMITED, FULL):
        levels = stored((200, 40, 60), matrix, color_range, bits=10 if "10" in name else 8)
        data = draw_stored(
            levels, name, codec="libx264", container="mp4", matrix=matrix, color_range=color_range
        )
        assert_close(shown(data), (200, 40, 60))


@pytest.mark.parametrize(("height", "width"), [(48, 64), (600, 800)])
def test_an_unstated_matrix_is_bt601_and_limited_at_every_size(height: int, width: int) -> None:
    for name, rgb in itertools.product(["yuv420p", "yuv422p"], COLOURS[:2]):
        size = {"height": height, "width": width}
        assert_close(shown(draw_stored(stored(rgb, BT601, LIMITED), name, **size)), rgb)
    other = shown(draw_stored(stored((200, 40, 60), BT709, LIMITED), "yuv420p"))
    assert other == [(186, 22, 62)] * 2


def test_a_format_that_is_full_range_by_its_name_is_so() -> None:
    data = draw_stored(
        stored((200, 40, 60), BT601, FULL), "yuvj420p", codec="mjpeg", container="avi"
    )
    assert_close(shown(data), (200, 40, 60), levels=4)


@pytest.mark.parametrize(
    ("name", "level", "color_range", "grey"),
    [
        ("gray", 16, LIMITED, 0),
        ("gray", 126, LIMITED, 128),
        ("gray", 235, LIMITED, 255),
        ("gray", 255, LIMITED, 255),
        ("gray", 77, FULL, 77),
        ("gray", 77, None, 77),
        ("gray10le", 940, LIMITED, 255),
        ("gray10le", 1023, FULL, 255),
        ("gray16le", 32768, None, 128),
    ],
)
def test_grey_has_its_range(name: str, level: int, color_range: int | None, grey: int) -> None:
    data = draw_stored([[level]], name, color_range=color_range)
    assert_close(shown(data), (grey, grey, grey), levels=1)


def test_what_is_transparent_lies_on_white() -> None:
    red = draw_stored([[255, 0, 0, 128]], "rgba", codec="png", container="mov")
    assert_close(shown(red), (255, 127, 127), levels=1)
    yuva = draw_stored([[126], [128], [128], [128]], "yuva420p")
    assert_close(shown(yuva), (191, 191, 191), levels=1)
    grey = draw_stored([[0, 64]], "ya8", codec="png", container="mov")
    assert_close(shown(grey), (191, 191, 191), levels=1)
    clear = draw_stored([[3], [0, 0, 0, 0]], "pal8", codec="png", container="mov")
    assert_close(shown(clear), (255, 255, 255), levels=0)
    deep = draw_stored([[502], [512], [512], [512]], "yuva444p10le", codec="prores_ks")
    assert_close(shown(deep), (191, 191, 191), levels=1)


def test_palettes_and_rgb_of_every_depth() -> None:
    blue = draw_stored([[3], [255, 0, 0, 255]], "pal8", codec="png", container="mov")
    assert_close(shown(blue), (0, 0, 255), levels=0)
    plain = draw_stored([[10, 200, 30]], "rgb24", codec="png", container="mov")
    assert_close(shown(plain), (10, 200, 30), levels=0)
    deep = draw_stored([[800], [120], [40]], "gbrp10le")
    assert_close(shown(deep), (10, 200, 30), levels=1)
    for name, white in (("rgb555le", 0x7FFF), ("rgb565le", 0xFFFF)):
        coarse = draw_stored([[white]], name, codec="rawvideo", container="nut")
        assert_close(shown(coarse), (255, 255, 255), levels=0)


@pytest.mark.parametrize(("matrix", "name"), [(8, "ycgco"), (10, "constant"), (14, "ictcp")])
def test_colours_that_cannot_be_converted_are_refused(matrix: int, name: str) -> None:
    data = draw_stored([[90], [100], [150]], "yuv420p", matrix=matrix, codec="libx264")
    with pytest.raises(VideoError, match=f"colours are stored as .*{name}.*; convert it to"):
        VideoReader.open(data)


def test_colours_do_not_depend_on_what_was_shown_before() -> None:
    grey = draw_stored([[126]], "gray", color_range=LIMITED, num_frames=3)
    with VideoReader.open(grey) as reader:
        clips = [reader.read([0.0, 0.08]) for _ in range(2)]
    assert torch.equal(clips[0].frames, clips[1].frames)
    assert clips[0].frames.unique().tolist() == [128]
