"""Animated pictures: times from their own durations, and white where they are transparent."""

import io
import random
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tests.videollm.drawn import draw_video, numbered_frames, numbers_of
from tests.videollm.web_server import serving
from videollm.errors import VideoError
from videollm.video import VideoReader

DURATIONS_MS = [100, 300, 50, 200, 400, 70]
STARTS = [0.0, 0.1, 0.4, 0.45, 0.65, 1.05]
KINDS = ["GIF", "WEBP", "PNG"]


def animate(pictures: list[Image.Image], kind: str) -> bytes:
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {"disposal": 2}
    if kind == "PNG":
        options = {"disposal": 1}
    file = io.BytesIO()
    pictures[0].save(
        file, kind, save_all=True, append_images=pictures[1:], duration=DURATIONS_MS, **options
    )
    return file.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_shown_as_long_as_they_say(kind: str) -> None:
    data = animate([Image.fromarray(pixels) for pixels in numbered_frames(6)], kind)
    with VideoReader.open(data) as reader:
        assert reader.metadata.num_frames == 6
        assert reader.metadata.duration_seconds == pytest.approx(1.12, abs=0.02)
        times = [0.0, 0.05, 0.1, 0.39, 0.41, 0.46, 0.7, 1.06, 9.0]
        clip = reader.read(times)
        assert numbers_of(clip.frames) == [0, 0, 1, 1, 2, 3, 4, 5, 5]
        assert clip.pts_seconds.tolist() == pytest.approx(
            [0, 0, 0.1, 0.1, 0.4, 0.45, 0.65, 1.05, 1.05], abs=1e-6
        )
        streamed = torch.cat([part.frames for part in reader.stream(20)])
        assert numbers_of(streamed)[:22] == [0] * 2 + [1] * 6 + [2] + [3] * 4 + [4] * 8 + [5]
        order = random.Random(0).sample(STARTS, 6)
        for start in order:
            one = reader.read([start]).frames
            assert numbers_of(one) == [STARTS.index(start)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_transparent_is_white(kind: str) -> None:
    pictures = []
    for number in range(6):
        pixels = np.zeros((32, 64, 4), np.uint8)
        pixels[8:24, 8 * number : 8 * number + 8] = (200, 0, 0, 255)
        pictures.append(Image.fromarray(pixels))
    with VideoReader.open(animate(pictures, kind)) as reader:
        frames = reader.read(STARTS).frames
    for number, frame in enumerate(frames):
        box = frame[:, 8:24, 8 * number : 8 * number + 8].float()
        assert box.mean(dim=(1, 2)).tolist() == pytest.approx([200, 0, 0], abs=6)
        frame[:, 8:24, 8 * number : 8 * number + 8] = 255
        assert int(frame.min()) == 255


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_what_is_half_transparent_is_mixed_with_white(kind: str) -> None:
    pixels = np.full((16, 16, 4), (0, 100, 255, 51), np.uint8)
    for pictures in (
        [Image.fromarray(pixels)],
        [Image.fromarray(pixels), Image.new("RGBA", (16, 16))],
    ):
        file = io.BytesIO()
        options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
        pictures[0].save(
            file, kind, save_all=len(pictures) > 1, append_images=pictures[1:], **options
        )
        with VideoReader.open(file.getvalue()) as reader:
            picture = reader.read([0.0]).frames[0]
        assert picture[:, 8, 8].tolist() == pytest.approx([204, 224, 255], abs=2)


def test_a_video_with_opacity_is_laid_on_white() -> None:
    frames = np.zeros((3, 32, 32, 4), np.uint8)
    frames[:, :16] = (0, 0, 250, 255)
    file = io.BytesIO()
    draw_rgba(file, frames)
    with VideoReader.open(file.getvalue()) as reader:
        picture = reader.read([0.0]).frames[0]
    assert picture[:, 4, 4].tolist() == [0, 0, 250]
    assert picture[:, 28, 4].tolist() == [255, 255, 255]
    opaque = draw_video(numbered_frames(3))
    with VideoReader.open(opaque) as reader:
        assert numbers_of(reader.read([0.0]).frames) == [0]


def draw_rgba(file: io.BytesIO, frames: np.ndarray) -> None:
    with av.open(file, "w", format="mov") as output:
        stream = output.add_stream("png", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "rgba"
        for pixels in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgba")))
        output.mux(stream.encode(None))


def test_an_animation_by_its_address(tmp_path: Path) -> None:
    pictures = [Image.fromarray(pixels) for pixels in numbered_frames(6)]
    (tmp_path / "picture").write_bytes(animate(pictures, "WEBP"))
    with (
        serving(tmp_path) as server,
        VideoReader.open(f"{server.address}/plain/picture") as reader,
    ):
        assert numbers_of(reader.read(STARTS).frames) == list(range(6))


def test_an_animation_cut_short_is_refused() -> None:
    data = animate([Image.fromarray(pixels) for pixels in numbered_frames(6)], "WEBP")
    for size in range(30, len(data) - 1, 37):
        with pytest.raises(VideoError, match="WebP|damaged|is not a video|not one frame"):
            VideoReader.open(data[:size])
