"""One contract for every back end: the frames of PyAV, or a refusal."""

import random
import sys
from dataclasses import replace
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.videollm.drawn import draw_video, numbered_frames, numbers_of
from videollm import video_backends, video_indexed
from videollm.answer import AnswerRecord
from videollm.clip import Clip
from videollm.errors import RequestError, VideoError
from videollm.sampling import load_clip
from videollm.sampling_policies import sample_uniform
from videollm.video import VideoReader
from videollm.video_backends import BACKENDS, VARIABLE, choose_backend, probe_backends

UNTIMED = "packets do not tell the times"
OFF = "shows its first frame otherwise, by 2.1 of 255 levels"
HIDDEN = "counts 12 frames where there are 11"
REAL_CLIPS: dict[str, dict[str, str]] = {
    "debian__3gp.3gp": {},
    "debian__blue.mpg": {"decord": UNTIMED, "torchcodec": UNTIMED},
    "debian__flv.flv": {},
    "debian__motion.mov": {"decord": "counts 243 frames where there are 242"},
    "debian__ogg.ogv": {"torchcodec": "cannot open"},
    "debian__small_movie.mp4": {"decord": HIDDEN, "torchcodec": HIDDEN},
    "debian__Principe_inertie.avi": {"decord": UNTIMED, "torchcodec": UNTIMED},
    "dmlc__video_180.mov": {},
    "dmlc__video_270.mov": {},
    "dmlc__video_90.mov": {},
    "imageio__newtonscradle.gif": {"decord": "cannot open"},
    "intel-iot-devkit__night.mkv": {},
    "pypi__carphone_pristine.mp4": {},
    "ffmpegwasm__Big_Buck_Bunny_180_10s.webm": {"decord": OFF, "torchcodec": OFF},
    "pytorch__av1_video.mkv": {"decord": "cannot open"},
    "pytorch__h264_10bits.mp4": {},
    "pytorch__h265_10bits.mp4": {},
    "pytorch__h265_video.mp4": {},
}
"""Some of the clips beside the checkout, and why a back end refuses them."""


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the name of each back end that works here."""
    name = str(request.param)
    path = tmp_path / "probe.mp4"
    path.write_bytes(draw_video(numbered_frames(3)))
    status = next(status for status in probe_backends(path) if status.name == name)
    if not status.works:
        pytest.skip(status.reason)
    return name


def write(path: Path, video: bytes) -> Path:
    path.write_bytes(video)
    return path


def test_a_time_gives_the_last_frame_at_or_before_it(backend: str, tmp_path: Path) -> None:
    ticks = np.cumsum(random.Random(2).choices([20, 33, 40, 100], k=40)).tolist()
    video = draw_video(
        numbered_frames(40, height=64, width=128), ticks=ticks, options={"g": "10", "bf": "2"}
    )
    path = write(tmp_path / "variable rate.mkv", video)
    begins = np.array(ticks) / 1000 - ticks[0] / 1000
    with VideoReader.open(path, backend=backend) as reader:
        times = torch.rand(20).mul(reader.metadata.duration_seconds + 0.2).tolist()
        for time in times:
            clip = reader.read([time])
            number = int(np.searchsorted(begins, time + 0.0009, side="right")) - 1
            assert numbers_of(clip.frames) == [number]
            assert float(clip.pts_seconds[0]) == pytest.approx(begins[number], abs=1e-3)


def test_the_order_of_asking_changes_nothing(backend: str, tmp_path: Path) -> None:
    options = {"g": "12", "bf": "2"}
    path = write(tmp_path / "clip.mp4", draw_video(numbered_frames(50), options=options))
    times = [number / 30 for number in range(50)]
    with VideoReader.open(path, backend=backend) as reader:
        whole = reader.read(times)
    with VideoReader.open(path, backend=backend) as reader:
        for number in random.Random(3).sample(range(50), k=15):
            clip = reader.read([times[number]])
            assert torch.equal(clip.frames[0], whole.frames[number])
        streamed = torch.cat([clip.frames for clip in reader.stream(30.0, 7)])
    assert torch.equal(streamed, whole.frames)


@pytest.mark.parametrize(
    ("turn", "pixel_aspect"),
    [
        ((90.0, False, False), None),
        ((180.0, False, False), None),
        ((0.0, True, False), None),
        ((90.0, False, True), None),
        (None, Fraction(4, 3)),
        ((270.0, False, False), Fraction(3, 2)),
    ],
)
def test_pictures_are_upright_and_square_or_refused(
    backend: str,
    tmp_path: Path,
    turn: tuple[float, bool, bool] | None,
    pixel_aspect: Fraction | None,
) -> None:
    frames = numbered_frames(6, height=64, width=96)
    frames[:, :24, :48] = (200, 40, 90)
    video = draw_video(frames, turn=turn, pixel_aspect=pixel_aspect)
    path = write(tmp_path / "clip.mp4", video)
    expected = load_clip(path, num_frames=6)
    is_mirrored = turn is not None and (turn[1] or turn[2])
    if is_mirrored and backend != "pyav":
        with pytest.raises(VideoError, match="shows its first frame otherwise.*backend='pyav'"):
            VideoReader.open(path, backend=backend)
        return
    with VideoReader.open(path, backend=backend) as reader:
        clip = load_clip(reader, num_frames=6)
    assert clip.frames.shape == expected.frames.shape
    assert float((clip.frames.float() - expected.frames.float()).abs().mean()) <= 2


@pytest.mark.parametrize("name", REAL_CLIPS)
def test_a_real_clip_agrees_or_is_refused(backend: str, shared: Path, name: str) -> None:
    if backend == "pyav":
        pytest.skip("PyAV is what the others are compared with")
    path = shared / "videos" / name
    with VideoReader.open(path) as reader:
        times = random.Random(name).sample(sample_uniform(reader.metadata, 9), 3)
        expected = [reader.read([time]) for time in times]
    reason = REAL_CLIPS[name].get(backend)
    if reason is not None:
        with pytest.raises(VideoError, match=f"{backend} .*{reason}.*; read it with backend"):
            VideoReader.open(path, backend=backend)
        return
    with VideoReader.open(path, backend=backend) as reader:
        clips = [reader.read([time]) for time in times]
    for ours, theirs in zip(expected, clips, strict=True):
        assert torch.equal(ours.pts_seconds, theirs.pts_seconds)
        difference = (ours.frames.float() - theirs.frames.float()).abs().mean()
        assert float(difference) <= (5 if "10bits" in name else 2)


def test_damage_is_refused_by_all(backend: str, shared: Path) -> None:
    path = shared / "videos" / "dmlc__corrupted.mp4"
    with VideoReader.open(path, backend=backend) as reader, pytest.raises(VideoError):
        reader.read([4.5])


def test_what_a_back_end_cannot_open_it_refuses(backend: str, tmp_path: Path) -> None:
    path = write(tmp_path / "notes.mp4", b"these are no pictures at all " * 40)
    with pytest.raises(VideoError, match="is not a video"):
        VideoReader.open(path, backend=backend)
    with pytest.raises(VideoError, match="no such file"):
        VideoReader.open(tmp_path / "absent.mp4", backend=backend)
    video = draw_video(numbered_frames(5))
    if backend == "decord":
        with pytest.raises(VideoError, match="decord reads local files only; read it with"):
            VideoReader.open(video, backend=backend)
        with pytest.raises(VideoError, match="cannot choose among video streams"):
            VideoReader.open(write(path, video), backend=backend, video_stream=0)
    else:
        assert numbers_of(load_clip(VideoReader.open(video, backend=backend)).frames)[-1] == 4


def test_the_back_end_and_its_version_are_recorded(backend: str, tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", draw_video(numbered_frames(5)))
    with VideoReader.open(path, backend=backend) as reader:
        clip = reader.read([0.0])
        assert reader.metadata.backend == clip.backend
    name, version = clip.backend.split()
    assert name == backend
    assert version[0].isdigit()
    record = AnswerRecord(
        model="m",
        device=torch.device("cpu"),
        clips=[clip],
        visual_tokens=1,
        start=0.0,
        spans={},
        marks={},
    )
    assert record.finish("yes").video_backend == clip.backend
    assert replace(record, clips=[]).finish("yes").video_backend == "none"


class FakeStore:
    """Stands for a decoder that errs in one way."""

    def __init__(self, *, num_frames: int = 5, late: float = 0.0, shade: int = 0) -> None:
        self._num_frames, self._late, self._shade = num_frames, late, shade
        self._frames = torch.from_numpy(numbered_frames(5)).permute(0, 3, 1, 2)

    def __len__(self) -> int:
        return self._num_frames

    def seconds(self, number: int) -> float:
        return number / 30 + (self._late if number else 0.0)

    def picture(self, number: int) -> torch.Tensor:
        return self._frames[number] + self._shade

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "finding"),
    [
        ({"num_frames": 6}, "decord .*counts 6 frames where there are 5"),
        ({"late": 1 / 30}, "decord .*puts frame 3 at 0.133 s where it begins at 0.100 s"),
        ({"shade": 9}, "decord .*shows its first frame otherwise, by .* of 255 levels"),
    ],
)
def test_a_decoder_that_errs_is_found_out(
    monkeypatch: pytest.MonkeyPatch, error: dict[str, float], finding: str
) -> None:
    monkeypatch.setattr(video_backends, "find_spec", lambda _: True)
    store = {"decord": lambda *_: FakeStore(**error)}  # type: ignore[arg-type]
    monkeypatch.setattr(video_backends, "STORES", store)
    video = draw_video(numbered_frames(5), options={"crf": "5"})
    with (
        pytest.raises(VideoError, match=f"{finding}; read it with backend='pyav'"),
        VideoReader.open(video, backend="decord") as reader,
    ):
        reader.read([0.1])


def test_the_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert choose_backend(None) == "pyav"
    monkeypatch.setenv(VARIABLE, "vlc")
    assert choose_backend("pyav") == "pyav"
    with pytest.raises(RequestError, match=f"{VARIABLE} is 'vlc': choose pyav, decord, torchc"):
        VideoReader.open(draw_video(numbered_frames(2)))
    with pytest.raises(RequestError, match="backend is 'cv2': choose pyav"):
        choose_backend("cv2")
    monkeypatch.setenv(VARIABLE, "")
    assert choose_backend(None) == "pyav"


@pytest.mark.parametrize("name", ["decord", "torchcodec"])
def test_a_missing_back_end_is_told_with_its_package(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(video_backends, "find_spec", lambda package: package == "av" or None)
    remedy = rf"not installed: pip install 'videollm\[{name}\]'.*what is here: pyav$"
    with pytest.raises(RequestError, match=remedy):
        VideoReader.open(draw_video(numbered_frames(2)), backend=name)


def test_a_back_end_that_cannot_be_loaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_backends, "find_spec", lambda _: True)
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    with pytest.raises(RequestError, match="cannot be loaded .*FFmpeg's shared libraries"):
        VideoReader.open(draw_video(numbered_frames(2)), backend="torchcodec")


def test_frames_in_memory_need_no_back_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "vlc")
    clip = load_clip(numbered_frames(3), num_frames=3)
    assert clip.backend == "none"
    assert Clip(clip.frames, clip.pts_seconds).backend == "none"
    with pytest.raises(RequestError, match="leave backend out"):
        VideoReader.open(numbered_frames(3), backend="pyav")


def test_probing_tells_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(video_backends, "find_spec", lambda package: find_spec("av"))
    monkeypatch.setattr(video_indexed, "MAX_LEVELS", -1.0)
    store = {name: lambda *_: FakeStore() for name in ("decord", "torchcodec")}
    monkeypatch.setattr(video_backends, "STORES", store)
    monkeypatch.delenv(VARIABLE, raising=False)
    path = write(tmp_path / "clip.mp4", draw_video(numbered_frames(5)))
    pyav, *others = probe_backends(path)
    assert (pyav.works, pyav.chosen, pyav.reason) == (True, True, "")
    assert all("shows its first frame otherwise" in status.reason for status in others)
