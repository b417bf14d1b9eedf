"""The long-video benchmark on small numbers: its parts, their merging, and its picture."""

import json
from pathlib import Path

import pytest

from benchmarks import long_video, long_video_parts
from benchmarks.long_video_plot import draw


def test_parts_are_merged_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_video, "apart", lambda work, *values: {"work": work.__name__})
    monkeypatch.setattr(long_video, "draw", lambda path, record: None)
    output = ["--output", str(tmp_path)]
    for contender, frames in (("merge", "64"), ("plain", "64"), ("merge", "256,7200")):
        words = ["--part", "answers", "--contenders", contender, "--frames", frames]
        assert long_video.main([*words, *output]) == 0
    assert long_video.main(["--part", "encoders", "--frames", "64", *output]) == 0
    record = json.loads((tmp_path / "long_video.json").read_text())
    answers = record["answers"]["results"]
    assert {name: [*counts] for name, counts in answers.items()} == {
        "merge": ["64", "256", "7200"],
        "plain": ["64"],
    }
    assert [*record["encoders"]["results"]] == [*long_video_parts.ENCODERS]


def test_accuracy_is_collected_by_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_video, "draw", lambda path, record: None)
    score = {"accuracy": 0.5, "interval": [0.2, 0.8], "num_items": 4, "num_correct": 2}
    condition = {"groups": {"minutes": {"1": score, "60": {**score, "accuracy": 0.25}}}}
    tasks = {"needle": {"split": "quiet", "conditions": {"model": condition, "blind": condition}}}
    folder = tmp_path / "run"
    folder.mkdir()
    results = {"settings": {"policies": ["merge"]}, "tasks": tasks}
    (folder / "results.json").write_text(json.dumps(results))
    words = ["--part", "accuracy", "--needle", str(folder), "--output", str(tmp_path)]
    assert long_video.main(words) == 0
    record = json.loads((tmp_path / "long_video.json").read_text())["accuracy"]["results"]
    assert [*record["needle quiet"]] == ["merge", "blind"]
    assert record["needle quiet"]["merge"]["60"]["accuracy"] == 0.25


def test_the_picture_shows_what_is_there(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    answer = {"first_token_seconds": 1.0, "extra_bytes": 2**20}
    record = {"answers": {"results": {"merge": {"64": answer, "256": answer}}}}
    draw(tmp_path / "long_video.png", record)
    assert (tmp_path / "long_video.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--part", "all"], "choose from stream"), (["--contenders", "best"], "choose from merge")],
)
def test_unknown_names_are_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        long_video.main(words)
    assert message in capsys.readouterr().err


def test_frames_are_those_of_a_quiet_video() -> None:
    clips = list(long_video_parts.frames_of(80))
    assert [len(clip) for clip in clips] == [32, 32, 16]
    assert float(clips[-1].pts_seconds[-1]) == 39.75


@pytest.mark.slow
def test_a_short_stream_keeps_its_laws() -> None:
    results = long_video_parts.measure_stream(256, 512, 2)
    assert results["most_tokens"] <= 512
    assert len(results["state_bytes_from_64"]) == 1
    assert results["frames"] == 256
