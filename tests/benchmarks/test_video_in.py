"""The benchmark of the reader counts a rival only where it is right, and divides rightly."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import video_in
from benchmarks.video_rivals import Pictures, Wanted, read_forwards, read_seeking
from tests.videollm.drawn import draw_video, numbered_frames


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(draw_video(numbered_frames(20), options={"g": "5", "bf": "2"}))
    return path


def test_each_case_is_measured_against_those_that_are_right(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off_by_one(wanted: Wanted) -> Pictures:
        return np.roll(wanted.frames, 1, axis=0)

    def broken(_: Wanted) -> Pictures:
        raise RuntimeError("no decoder")

    found = {
        "forwards": lambda wanted: read_forwards(wanted, threads="SLICE"),
        "seeking": lambda wanted: read_seeking(wanted, threads="AUTO"),
        "off by one": off_by_one,
        "broken": broken,
    }
    monkeypatch.setattr(video_in, "rivals", lambda: found)
    rows = video_in.measure_clip(clip, rounds=1)
    assert [(row["frames"], row["side"]) for row in rows] == list(video_in.CASES)
    for row in rows:
        assert set(row["rivals_ms"]) == {"forwards", "seeking"}
        assert row["ratio"] == pytest.approx(row["ours_ms"] / min(row["rivals_ms"].values()))


def test_measuring_goes_on_where_it_stopped(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_in, "CASES", ((2, None),))
    clips, output = tmp_path / "clips", tmp_path / "results"
    clips.mkdir()
    for name in ("clip.mp4", "other.mp4"):
        (clips / name).write_bytes(clip.read_bytes())
    words = ["--clips", str(clips), "--rounds", "1", "--output", str(output)]

    def measured(*more: str) -> tuple[list[str], int]:
        assert video_in.main([*words, *more]) == 0
        found = json.loads((output / "video_in.json").read_text())
        return [row["clip"] for row in found["rows"]], found["clips_left"]

    assert measured("--minutes", "0") == ([], 2)
    assert measured("--only", "other") == (["other.mp4"], 0)
    first = (output / "video_in.json").read_text()
    assert measured() == (["other.mp4", "clip.mp4"], 0)
    whole = json.loads((output / "video_in.json").read_text())
    assert whole["rows"][0] == json.loads(first)["rows"][0], "it is not measured again"
    monkeypatch.setattr(video_in, "source_commit", lambda: "another")
    assert measured("--minutes", "0") == ([], 2)


def test_what_is_no_clip_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "notes.tsv"
    path.write_text("no pictures")
    assert video_in.measure_clip(path, rounds=1) == []


def test_the_summary_is_the_geometric_mean_and_the_worst() -> None:
    rows = [
        {"clip": name, "frames": 8, "side": None, "ratio": ratio}
        for name, ratio in (("a", 0.5), ("b", 2.0), ("c", 8.0), ("d", None))
    ]
    found = video_in.summarise(rows)["8 frames, full size"]
    assert found["clips"] == 3
    assert found["geometric_mean"] == pytest.approx(2.0)
    assert (found["worst"], found["worst_clip"], found["over_2"]) == (8.0, "c", 1)
