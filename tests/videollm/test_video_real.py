"""The real clips beside the checkout: every one behaves as its table says."""

import csv
import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate, normalize

from videollm.errors import VideoError
from videollm.sampling import load_clip
from videollm.video import VideoReader
from videollm.video_picture import CONVERSION

PIXEL_ASPECTS = {
    "debian__3gp.3gp": Fraction(12, 11),
    "open-mmlab__demo.mp4": Fraction(64, 51),
    "pypi__carphone_pristine.mp4": Fraction(128, 117),
}
LEGO_ROWS = {
    "mp4.mp4": (0, 320),
    "mov.mov": (0, 320),
    "ogg.ogv": (0, 320),
    "webm.webm": (0, 320),
    "3gp.3gp": (43, 245),
    "flv.flv": (29, 211),
}
"""One clip in six containers, and which of its rows are no black bar."""
# The table describes the first stream of this one; its best is another.
TWO_STREAMS = "pytorch__nasa_13013.mp4"
CORRUPT = "dmlc__corrupted.mp4"
# Their frames are not in order of their stamps, or have none: only their order counts.
WITHOUT_STAMPS = ("debian__Principe_inertie.avi", "debian__blue.mpg")


def table(shared: Path) -> list[dict[str, str]]:
    with (shared / "videos" / "videos.tsv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def plain_frames(path: Path) -> tuple[list[NDArray[np.uint8]], list[float | None]]:
    """Decode with nothing but the decoder: pictures as stored, and their own times."""
    with av.open(path, metadata_errors="ignore") as container:
        frames = list(container.decode(container.streams.best("video")))
    pictures = [
        frame.to_ndarray(format="rgb24", interpolation=CONVERSION, threads=1) for frame in frames
    ]
    return pictures, [frame.time for frame in frames]


def test_every_clip_behaves_as_listed(shared: Path) -> None:
    rows = table(shared)
    assert len(rows) == 50
    for row in rows:
        name, path = row["file"], shared / "videos" / row["file"]
        if row["wxh"] == "-":
            with pytest.raises(VideoError, match="only audio"):
                VideoReader.open(path)
            continue
        with VideoReader.open(path, video_stream=0 if name == TWO_STREAMS else None) as reader:
            metadata = reader.metadata
            width, height = map(int, row["wxh"].split("x"))
            width = round(width * PIXEL_ASPECTS.get(name, 1))
            turned = int(row["rotation"] or 0) % 180 != 0
            size = (height, width) if turned else (width, height)
            assert (metadata.width, metadata.height) == size, name
            assert metadata.rotation_degrees == int(row["rotation"] or 0), name
            assert metadata.codec == row["codec"], name
            if name == CORRUPT:
                with pytest.raises(VideoError, match="corrupted.mp4: is damaged at 3.00 s"):
                    load_clip(path)
                continue
            assert metadata.num_frames == int(row["frames"]), name
            # The table rounds, and counts sound that outlasts the pictures.
            listed = float(row["duration_s"] or metadata.num_frames / metadata.fps)
            assert metadata.duration_seconds == pytest.approx(listed, abs=0.09), name
            clip = load_clip(reader, num_frames=3, end_seconds=1.0)
            assert clip.frames.shape == (3, 3, metadata.height, metadata.width)
            assert len(clip.pts_seconds.unique()) > 1, name


@pytest.mark.parametrize(
    "name",
    [
        "debian__Principe_inertie.avi",
        "debian__3gp.3gp",
        "debian__blue.mpg",
        "debian__flv.flv",
        "debian__small_movie.mp4",
        "debian__tree.avi",
        "debian__webm.webm",
        "dmlc__unordered.mov",
        "imageio__newtonscradle.gif",
        "imageio__realshort.mp4",
        "intel-iot-devkit__eat.mkv",
        "pytorch__av1_video.mkv",
        "pytorch__h264_10bits.mp4",
        "pytorch__h265_10bits.mp4",
        "pytorch__h265_video.mp4",
    ],
)
def test_frame_i_is_the_ith_of_a_plain_decode_in_any_order(shared: Path, name: str) -> None:
    path = shared / "videos" / name
    pictures, stamps = plain_frames(path)
    with VideoReader.open(path) as reader:
        fps, metadata = reader.metadata.fps, reader.metadata
        if name in WITHOUT_STAMPS:
            times = [number / fps for number in range(len(pictures))]
        else:
            times = [float(stamp or 0) - float(stamps[0] or 0) for stamp in stamps]
        assert metadata.num_frames == len(pictures)
        places = random.Random(name).sample(range(len(pictures)), k=min(10, len(pictures)))
        for place in [*places, *sorted(places, reverse=True)]:
            clip = reader.read([times[place]])
            assert clip.pts_seconds[0] == pytest.approx(times[place], abs=1e-6)
            if name not in PIXEL_ASPECTS:
                assert np.array_equal(clip.frames[0].permute(1, 2, 0).numpy(), pictures[place])
        whole = reader.read(times)
        assert torch.equal(whole.pts_seconds.unique(), whole.pts_seconds)


@pytest.mark.parametrize("container", sorted(set(LEGO_ROWS) - {"mov.mov"}))
def test_one_clip_shows_the_same_in_every_container(shared: Path, container: str) -> None:
    seconds = [number / 10 + 0.005 for number in range(53)]

    def pictures(name: str) -> torch.Tensor:
        with VideoReader.open(shared / "videos" / f"debian__{name}") as reader:
            frames = reader.read(seconds).frames[:, :, slice(*LEGO_ROWS[name])]
        return interpolate(frames.float(), (80, 140), mode="area")

    ours, theirs = pictures(container), pictures("mov.mov")
    assert (ours - theirs).abs().mean(dim=(1, 2, 3)).max() < 7, "of 255 levels"
    # Most of the picture stands still; what moves tells the time.
    moving = [normalize((one - one.mean(dim=0)).flatten(1)) for one in (ours, theirs)]
    alike = moving[0] @ moving[1].T
    by_shift = {shift: float(alike.diagonal(shift).mean()) for shift in range(-5, 6)}
    assert max(by_shift, key=by_shift.__getitem__) == 0
    assert by_shift[0] > 0.75


@pytest.mark.parametrize(
    ("name", "quarters"),
    [("video_0", 0), ("video_90", -1), ("video_180", 2), ("video_270", 1)],
)
def test_turned_clips_come_upright(shared: Path, name: str, quarters: int) -> None:
    path = shared / "videos" / f"dmlc__{name}.mov"
    pictures, _ = plain_frames(path)
    frames = load_clip(path, num_frames=3).frames.permute(0, 2, 3, 1).numpy()
    for ours, stored in zip(frames, pictures, strict=True):
        upright = np.rot90(stored, quarters)
        assert np.array_equal(ours, upright)
        assert np.abs(ours.astype(int) - upright[::-1, ::-1]).mean() > 10


def test_the_best_stream_is_chosen_and_another_can_be(shared: Path) -> None:
    path = shared / "videos" / TWO_STREAMS
    with VideoReader.open(path) as best, VideoReader.open(path, video_stream=0) as first:
        assert (best.metadata.width, best.metadata.num_frames) == (480, 390)
        assert (first.metadata.width, first.metadata.num_frames) == (320, 325)
        assert first.read([1.0]).frames.shape == (1, 3, 180, 320)
    with pytest.raises(VideoError, match="numbered from 0"):
        VideoReader.open(path, video_stream=2)


def test_the_corrupt_clip_can_be_read_up_to_the_damage(shared: Path) -> None:
    clip = load_clip(shared / "videos" / CORRUPT, num_frames=4, end_seconds=2.0)
    assert clip.frames.shape == (4, 3, 720, 1280)


def test_memory_does_not_grow_with_the_length_of_a_stream(shared: Path) -> None:
    with VideoReader.open(shared / "videos" / "intel-iot-devkit__bottle-detection.mp4") as reader:
        num_frames = 0
        for chunk in reader.stream(2.0, 8):
            assert chunk.frames.untyped_storage().nbytes() <= 8 * 3 * 360 * 640
            num_frames += len(chunk)
    assert num_frames == 80
