"""`videollm inspect` and what is behind it: every kind of source, its faults, its contact sheet."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.videollm.drawn import draw_sound, draw_video, number_of, numbered_frames, remux
from tests.videollm.test_live_camera import pretend_camera
from tests.videollm.web_server import serving
from videollm.cli import main
from videollm.clip import Clip
from videollm.contact_sheet import GAP_PIXELS, contact_sheet, time_label
from videollm.errors import LiveSourceError, VideoError
from videollm.inspection import inspect_source, report_lines
from videollm.sampling import load_clip
from videollm.video import VideoReader

FRAMES = numbered_frames(30, height=64, width=96)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    options = {"g": "10", "sc_threshold": "0"}
    (folder / "a.mp4").write_bytes(draw_video(FRAMES, options=options, turn=(90.0, False, False)))
    (folder / "a.gif").write_bytes(draw_video(FRAMES, container="gif", codec="gif", rate=25))
    (folder / "raw.h264").write_bytes(draw_video(FRAMES, container="h264"))
    (folder / "sound.mkv").write_bytes(draw_sound())
    (folder / "text.mp4").write_text("not a video")
    (folder / "pictures").mkdir()
    for number in range(6):
        Image.fromarray(FRAMES[number]).save(folder / "pictures" / f"{number}.png")
    return folder


def printed(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, object]:
    assert main(["inspect", *map(str, words), "--json"]) == 0
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


def test_json_tells_all_about_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "a.mp4"
    found = printed(capsys, path)
    expected = {
        "source": str(path),
        "codec": "h264",
        "pixel_format": "yuv420p",
        "height": 96,
        "width": 64,
        "stored_height": 64,
        "stored_width": 96,
        "rotation_degrees": 90,
        "pixel_aspect": 1.0,
        "fps": 30.0,
        "num_frames": 30,
        "interlaced": False,
        "audio": [],
        "warnings": [],
        "live": False,
        "num_keyframes": 3,
        "size_bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    assert {name: found[name] for name in expected} == expected
    assert found["duration_seconds"] == pytest.approx(1.0)
    assert found["longest_keyframe_gap_seconds"] == pytest.approx(1 / 3)
    assert "mp4" in str(found["container"])
    assert "read as bt601" in str(found["colour"])
    assert str(found["backend"]).startswith("pyav ")


def test_every_kind_of_source_is_inspected(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gif = printed(capsys, folder / "a.gif")
    assert (gif["container"], gif["num_frames"], gif["height"]) == ("gif", 30, 64)
    pictures = printed(capsys, folder / "pictures", "--fps", "2")
    assert (pictures["codec"], pictures["duration_seconds"]) == ("images", 3.0)
    assert (pictures["sha256"], pictures["container"]) == (None, "")
    raw = printed(capsys, folder / "raw.h264")
    assert raw["num_keyframes"] is None
    assert any("say when they are shown" in warning for warning in raw["warnings"])
    with serving(folder) as server:
        web = printed(capsys, f"{server.address}/plain/a.mp4")
    assert (web["num_frames"], web["rotation_degrees"], web["sha256"]) == (30, 90, None)
    data = (folder / "a.mp4").read_bytes()
    assert inspect_source(data).metadata.num_frames == 30
    array = inspect_source(FRAMES, fps=10, num_frames=3)
    assert array.clip is not None
    assert (array.metadata.duration_seconds, len(array.clip)) == (3.0, 3)


def test_a_live_source_is_watched_for_a_moment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend_camera(monkeypatch)
    sheet = tmp_path / "live.png"
    found = printed(capsys, "camera:0", "--sheet", sheet, "--frames", 3)
    assert (found["live"], found["duration_seconds"], found["num_frames"]) == (True, None, None)
    with Image.open(sheet) as image:
        assert image.format == "PNG"
    assert any("live" in line for line in report_lines(inspect_source("camera:0")))
    with pytest.raises(LiveSourceError, match="neither parts nor an end"):
        inspect_source("camera:0", check=True)


def test_the_report_is_a_line_for_each_finding(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(folder / "a.mp4")]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = dict(line.split(maxsplit=1) for line in lines)
    assert found["size"] == "64x96 (stored 96x64, turned by 90 degrees)"
    assert found["length"] == "1.000 s, 30 frames, 30.000 frames per second"
    assert found["keyframes"] == "3, at most 0.33 s apart"
    assert found["interlaced"] == "no"
    assert "warning" not in found
    assert main(["inspect", str(folder / "raw.h264")]) == 0
    assert "warning     none of its 30 packets say when" in capsys.readouterr().out


def test_a_check_finds_damage_that_opening_does_not(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 64, 64, 3), dtype=np.uint8)
    data = draw_video(noise, options={"g": "60"})
    start = data.index(b"mdat") + 4
    middle = (start + (data.index(b"moov") if data.index(b"moov") > start else len(data))) // 2
    path = tmp_path / "broken.mp4"
    path.write_bytes(data[:middle] + b"\xff" * 400 + data[middle + 400 :])
    assert inspect_source(path).metadata.warnings == ()
    (warning, *_) = inspect_source(path, check=True).metadata.warnings[::-1]
    assert "is damaged at" in warning
    with pytest.raises(VideoError, match="is damaged at"):
        inspect_source(path, num_frames=4)
    sound = remux(draw_video(FRAMES, options={"bf": "0"}), "matroska")
    assert inspect_source(sound, check=True).metadata.warnings == ()


def test_the_sheet_shows_the_frames_upright_in_order(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, sheet = folder / "a.mp4", tmp_path / "sheet.png"
    words = ["--sheet", sheet, "--frames", "5", "--side", "96"]
    assert printed(capsys, path, *words)["num_frames"] == 30
    clip = load_clip(path, num_frames=5, max_side=96)
    assert (clip.height, clip.width) == (96, 64)
    with Image.open(sheet) as image:
        assert image.mode == "RGB"
        pixels = torch.from_numpy(np.array(image))
    columns = (pixels.shape[1] - GAP_PIXELS) // (64 + GAP_PIXELS)
    assert 1 < columns <= 5
    for place, frame in enumerate(clip.frames.permute(0, 2, 3, 1)):
        top = GAP_PIXELS + place // columns * (96 + GAP_PIXELS)
        left = GAP_PIXELS + place % columns * (64 + GAP_PIXELS)
        cell = pixels[top : top + 96, left : left + 64]
        assert torch.equal(cell[:70], frame[:70])
        label = cell[80:]
        assert int(label.max()) > 230
        assert int(label.min()) == 0


def test_the_sheet_takes_a_policy_and_a_part(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = inspect_source(
        folder / "a.mp4", num_frames=9, sampling="keyframes", start_seconds=0.2, end_seconds=0.9
    )
    assert found.clip is not None
    assert found.clip.pts_seconds.tolist() == pytest.approx([1 / 3, 2 / 3])
    assert [number_of(frame.rot90(-1, (1, 2))) for frame in found.clip.frames] == [10, 20]
    part = ["--sampling", "scenes", "--start", "0.2", "--end", "0.9"]
    printed(capsys, folder / "a.mp4", "--sheet", tmp_path / "part.png", *part)
    assert (tmp_path / "part.png").is_file()


@pytest.mark.parametrize("num_frames", [1, 2, 7, 12, 40])
@pytest.mark.parametrize(("height", "width"), [(9, 160), (90, 160), (160, 90), (160, 9)])
def test_a_sheet_has_room_for_all_frames(num_frames: int, height: int, width: int) -> None:
    frames = torch.full((num_frames, 3, height, width), 77, dtype=torch.uint8)
    clip = Clip(frames, torch.arange(num_frames, dtype=torch.float64))
    sheet = contact_sheet(clip)
    across, down = width + GAP_PIXELS, height + GAP_PIXELS
    columns, rows = (sheet.width - GAP_PIXELS) // across, (sheet.height - GAP_PIXELS) // down
    assert (columns - 1) * rows < num_frames <= columns * rows
    assert columns * (rows - 1) < num_frames


def test_times_are_written_as_people_do() -> None:
    assert time_label(0.0) == "0:00.000"
    assert time_label(9.9996) == "0:10.000"
    assert time_label(75.25) == "1:15.250"
    assert time_label(3600 + 61.0) == "1:01:01.000"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.mp4"], "nowhere.mp4: there is no such file"),
        (["TEXT"], "is not a video"),
        (["SOUND"], "has no video stream"),
        (["CLIP", "--sheet", "sheet.jpg"], "give a name that ends in .png"),
        (["CLIP", "--sheet", "no/such/sheet.png"], "there is no folder no/such: make it first"),
        (["CLIP", "--start", "1"], "give --sheet, too"),
        (["CLIP", "--sheet", "OUT", "--sampling", "fps"], "choose another policy"),
        (["CLIP", "--sheet", "OUT", "--start", "5"], "start_seconds is 5"),
        (["CLIP", "--sheet", "OUT", "--frames", "0"], "'--frames'"),
        (["CLIP", "--fps", "2"], "has times of its own"),
        (["CLIP", "--backend", "x"], "backend is 'x'"),
        ([], "Missing argument 'SOURCE'"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    words: list[str],
    message: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = {"CLIP": "a.mp4", "TEXT": "text.mp4", "SOUND": "sound.mkv"}
    places = {key: str(folder / name) for key, name in names.items()}
    places["OUT"] = str(tmp_path / "out.png")
    assert main(["inspect", *(places.get(word, word) for word in words)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert list(tmp_path.iterdir()) == [], "nothing may be written"


def test_inspecting_a_reader_s_source_changes_nothing(folder: Path) -> None:
    with VideoReader.open(folder / "a.mp4") as reader:
        assert inspect_source(folder / "a.mp4").metadata == reader.metadata
