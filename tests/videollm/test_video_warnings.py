"""What is not in order with a file is repaired, and told: times, counts, edits, tags, damage."""

import contextlib
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.videollm.drawn import (
    draw_stored,
    draw_video,
    number_of,
    numbered_frames,
    numbers_of,
    put_box,
    remux,
)
from videollm.clip import Clip
from videollm.errors import VideoError
from videollm.video import VideoReader
from videollm.video_track import VideoMetadata
from videollm.video_worker import DecodeWorker

STEP = 1 / 30
FRAMES = numbered_frames(30)


@pytest.fixture(scope="module")
def plain() -> bytes:
    """Return 30 frames at 30 per second, in the order of decoding."""
    return draw_video(FRAMES, options={"bf": "0", "g": "10"})


def read_all(data: bytes) -> tuple[VideoMetadata, Clip, tuple[str, ...]]:
    """Return what is known at first, all frames at their declared times, and what is told then."""
    with VideoReader.open(data) as reader:
        first = reader.metadata
        times = [number / first.fps + 1e-4 for number in range(first.num_frames)]
        clip = reader.read(times)
        return first, clip, reader.metadata.warnings


def edited(data: bytes, *, skip_ticks: int = 0, last_ms: int | None = None) -> bytes:
    """Return an mp4 whose edit list shows another part."""
    place = data.index(b"elst") + 12
    duration, start = struct.unpack(">Ii", data[place : place + 8])
    changed = struct.pack(">Ii", last_ms or duration, start + skip_ticks)
    return data[:place] + changed + data[place + 8 :]


def test_a_file_in_order_has_nothing_to_tell(plain: bytes) -> None:
    turned = draw_video(FRAMES, turn=(90.0, False, True), title="caf\u00e9")
    for data in (plain, turned, remux(plain, "mpegts"), remux(plain, "matroska"), FRAMES):
        fps = 30 if data is FRAMES else None
        with VideoReader.open(data, fps=fps) as reader:
            clip = reader.read([0.0, 0.5])
            assert (reader.metadata.warnings, clip.warnings) == ((), ())


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video"])
def test_jumping_about_in_a_sound_file_invents_no_warning(codec: str) -> None:
    options = {
        "libx264": {"x264-params": "open-gop=1:keyint=12:bframes=3"},
        "libx265": {"x265-params": "open-gop=1:keyint=12:bframes=3:log-level=none"},
        "mpeg2video": {"g": "12", "bf": "2"},
    }[codec]
    data = draw_video(numbered_frames(120), container="matroska", codec=codec, options=options)
    with VideoReader.open(data) as reader:
        for number in [*range(119, -1, -7), 60, 3, 110, 35]:
            assert number_of(reader.read([number * STEP + 2e-3]).frames[0]) == number
        assert reader.metadata.warnings == ()


@pytest.mark.parametrize(("container", "codec"), [("h264", "libx264"), ("m4v", "mpeg4")])
def test_packets_without_times_follow_at_the_rate_of_the_stream(container: str, codec: str) -> None:
    data = draw_video(FRAMES, container=container, codec=codec)
    metadata, clip, told = read_all(data)
    assert (metadata.num_frames, metadata.fps) == (30, 30.0)
    assert metadata.duration_seconds == pytest.approx(1.0)
    assert numbers_of(clip.frames) == list(range(30))
    assert clip.pts_seconds.tolist() == pytest.approx([number * STEP for number in range(30)])
    if container == "h264":
        assert metadata.keyframe_seconds == ()
        assert any("none of its 30 packets say when they are shown" in word for word in told)
        assert any("duration of 1.00 s is an estimate" in word for word in told)


@pytest.mark.parametrize("container", ["webm", "matroska", "mp4", "mpegts"])
def test_an_unstated_duration_is_found(container: str, plain: bytes) -> None:
    if container == "webm":
        source = draw_video(FRAMES, container="webm", codec="libvpx-vp9")
    else:
        source = plain
    options = {"movflags": "frag_keyframe+empty_moov"} if container == "mp4" else {"live": "1"}
    data = remux(source, container, options={} if container == "mpegts" else options)
    metadata, clip, told = read_all(data)
    assert metadata.num_frames == 30
    assert metadata.duration_seconds == pytest.approx(1.0, abs=0.002)
    assert numbers_of(clip.frames) == list(range(30))
    is_told = any("states no duration; its packets last 1.00 s" in word for word in told)
    assert is_told == (container in ("webm", "matroska"))


@pytest.mark.parametrize("shift", [-5, -30, 7, 300])
@pytest.mark.parametrize("container", ["mpegts", "matroska"])
def test_times_count_from_the_first_frame_wherever_stamps_begin(
    shift: int, container: str, plain: bytes
) -> None:
    data = remux(plain, container, shift=lambda _: shift, options={"avoid_negative_ts": "disabled"})
    metadata, clip, _ = read_all(data)
    assert metadata.num_frames == 30
    assert metadata.duration_seconds == pytest.approx(1.0, abs=0.002)
    assert numbers_of(clip.frames) == list(range(30))
    assert clip.pts_seconds.tolist() == pytest.approx([n * STEP for n in range(30)], abs=0.002)


@pytest.mark.parametrize("container", ["matroska", "flv"])
@pytest.mark.parametrize("place", [1, 5, 20])
def test_one_stamp_that_repeats_moves_no_other_frame(
    container: str, place: int, plain: bytes
) -> None:
    data = remux(plain, container, shift=lambda number: -1 if number == place else 0)
    with VideoReader.open(data) as reader:
        before = reader.metadata.warnings
        times = [number * STEP + 2e-3 for number in range(30)]
        times[place] = (place - 0.4) * STEP
        clip = reader.read(times)
        told = reader.metadata.warnings
        backwards = torch.stack([reader.read([time]).frames[0] for time in reversed(times)])
    assert numbers_of(clip.frames) == list(range(30))
    true = [number * STEP for number in range(30)]
    true[place] = (place - 0.5) * STEP
    assert clip.pts_seconds.tolist() == pytest.approx(true, abs=0.002)
    assert torch.equal(backwards.flip(0), clip.frames)
    assert before == ()
    (sentence,) = told
    assert "the times of frames do not rise, as after" in sentence
    assert clip.warnings == told


def test_an_edit_list_hides_frames_and_says_so() -> None:
    data = draw_video(FRAMES, options={"g": "10"})
    tick = 512  # of the mp4 muxer, at this rate
    for options, shown in (
        ({"skip_ticks": 3 * tick}, range(3, 30)),
        ({"skip_ticks": 12 * tick}, range(12, 30)),
        ({"last_ms": 500}, range(15)),
        ({"skip_ticks": 3 * tick, "last_ms": 500}, range(3, 18)),
    ):
        metadata, clip, told = read_all(edited(data, **options))
        assert numbers_of(clip.frames) == list(shown)
        assert clip.pts_seconds.tolist() == pytest.approx(
            [number * STEP for number in range(len(shown))], abs=1e-4
        )
        assert metadata.duration_seconds == pytest.approx(len(shown) * STEP)
        assert f"an edit list hides {30 - len(shown)} of its frames; they are left out" in told


@pytest.mark.parametrize("parts", [(0, 40), (40, 0), (0, 0), (40, 10, 20)])
def test_the_parts_of_an_edit_list_are_shown_in_its_order(parts: tuple[int, ...]) -> None:
    data = draw_video(numbered_frames(60), options={"g": "10", "bf": "2"})
    place = data.index(b"elst") + 16
    (first,) = struct.unpack(">i", data[place : place + 4])
    edits = [struct.pack(">Iihh", 333, first + 512 * part, 1, 0) for part in parts]
    content = struct.pack(">II", 0, len(edits)) + b"".join(edits)
    edited = put_box(data, (b"moov", b"trak", b"edts", b"elst"), content)
    metadata, clip, told = read_all(edited)
    numbers = [part + number for part in parts for number in range(10)]
    assert numbers_of(clip.frames) == numbers
    assert metadata.duration_seconds == pytest.approx(len(parts) / 3, abs=1e-3)
    assert any(word.startswith("an edit list hides") for word in told)
    with VideoReader.open(edited) as reader:
        for place in random.Random(0).sample(range(len(numbers)), k=len(numbers)):
            alone = reader.read([(place + 0.5) * STEP])
            assert torch.equal(alone.frames[0], clip.frames[place])


def test_a_count_and_a_duration_that_lie_are_told() -> None:
    data = bytearray(draw_video(FRAMES, container="avi", codec="mpeg4"))
    place = data.index(b"strh") + 8 + 32  # the length of the stream, in frames
    assert struct.unpack("<I", data[place : place + 4]) == (30,)
    data[place : place + 4] = struct.pack("<I", 300)
    metadata, clip, told = read_all(bytes(data))
    assert (metadata.num_frames, round(metadata.duration_seconds, 3)) == (30, 1.0)
    assert numbers_of(clip.frames) == list(range(30))
    assert "its header counts 300 frames and 30 are there; those that are there count" in told
    assert any("states 10.00 s and its packets last 1.00 s" in word for word in told)


def test_a_file_cut_short_tells_how_much_is_there(plain: bytes) -> None:
    whole = remux(plain, "matroska")
    metadata, clip, told = read_all(whole[: len(whole) * 6 // 10])
    assert numbers_of(clip.frames) == list(range(metadata.num_frames))
    assert metadata.num_frames < 25
    assert any("header states 1.00 s and its packets last 0." in word for word in told)


def test_tags_that_are_no_text_are_told() -> None:
    data = draw_video(FRAMES[:3], container="matroska", title="abcdefgh")
    assert data.count(b"abcdefgh") == 1
    _, clip, told = read_all(data.replace(b"abcdefgh", b"caf\xe9 \xff\xfe!"))
    assert numbers_of(clip.frames) == [0, 1, 2]
    assert told == ("its tags are not UTF-8; what cannot be read is replaced",)


def test_transparency_that_is_lost_is_told() -> None:
    levels = [[126], [128], [128], [128]]
    data = draw_stored(levels, "yuva420p", codec="libvpx-vp9", container="webm")
    _, _, told = read_all(data)
    assert told == (
        "its transparency cannot be decoded; see-through parts show what is stored there",
    )


def test_damage_is_told_when_it_is_met() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (8, 64, 64, 3), dtype=np.uint8)
    data = draw_video(noise, container="flv")
    kinds = set()
    for place in range(len(data) // 40, len(data), len(data) // 40):
        changed = bytearray(data)
        changed[place] ^= 0x10
        with VideoReader.open(bytes(changed)) as reader:
            before = reader.metadata.warnings
            with contextlib.suppress(VideoError):
                clip = reader.read([number / 30 for number in range(8)])
                assert clip.warnings == reader.metadata.warnings
            kinds |= set(reader.metadata.warnings) - set(before)
    mended = "are damaged, as at 0.00 s; the decoder filled in what they lack"
    assert any(mended in sentence for sentence in kinds), kinds


@pytest.mark.parametrize(
    ("options", "is_interlaced"), [("tff=1", True), ("bff=1", True), ("", False)]
)
def test_interlaced_video_is_called_so_and_left_as_it_is(options: str, is_interlaced: bool) -> None:
    lines = numbered_frames(6, height=64)
    lines[:, ::2] = 255 - lines[:, ::2]  # the two fields differ
    data = draw_video(lines, options={"qp": "0", "x264-params": f"{options}:keyint=6"})
    metadata, clip, told = read_all(data)
    assert (metadata.interlaced, told) == (is_interlaced, ())
    assert number_of(clip.frames[3][:, 1::2]) == 3
    assert number_of(255 - clip.frames[3][:, ::2]) == 3


def test_the_streams_own_cropping_is_applied_and_no_warning() -> None:
    frames = numbered_frames(8, height=64, width=128)
    whole = draw_video(frames, container="h264", options={"qp": "0"})
    crop = "h264_metadata=crop_left=16:crop_right=32:crop_top=8:crop_bottom=6"
    metadata, clip, told = read_all(remux(whole, "h264", bitstream_filter=crop))
    _, uncut, usual = read_all(whole)
    assert (metadata.height, metadata.width, told) == (50, 80, usual)
    assert torch.equal(clip.frames, uncut.frames[:, :, 8:58, 16:96])


def test_warnings_come_through_the_worker(plain: bytes, tmp_path: Path) -> None:
    data = remux(plain, "matroska", shift=lambda number: -1 if number == 5 else 0)
    path = tmp_path / "a.mkv"
    path.write_bytes(data)
    times = [number * STEP for number in range(30)]
    with DecodeWorker() as worker, worker.open(path) as theirs, VideoReader.open(path) as ours:
        assert theirs.metadata == ours.metadata
        assert theirs.read(times).warnings == ours.read(times).warnings != ()
        assert theirs.metadata == ours.metadata
