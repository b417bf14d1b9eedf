"""A user's own questions over real files: read, refused by line, answered, and shown."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.eval.paint import FakeModel, Silence
from videollm.errors import DataError
from videollm.eval.benchmarks import find_benchmark
from videollm.eval.evaluation import evaluate
from videollm.eval.own_questions import read_own_questions
from videollm.eval.settings import EvalSettings, RunOptions
from videollm.toyworld import make_scene, render_frames, write_clip


def write_lines(folder: Path, *lines: dict) -> Path:
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


ASK = {"video": "a.mp4", "question": "What?", "answer": "red"}


def test_every_way_to_name_the_answer(tmp_path: Path) -> None:
    choices = ["blue", "red"]
    named = ["red", "B", "(B)", "b", 1, "(B) red"]
    path = write_lines(tmp_path, *({**ASK, "choices": choices, "answer": one} for one in named))
    examples = read_own_questions(path)
    assert {example.answer for example in examples} == {"(B) red"}
    assert [example.id for example in examples] == ["1", "2", "3", "4", "5", "6"]
    assert examples[0].question.startswith("What?\n(A) blue\n(B) red\n")


def test_all_fields_are_read(tmp_path: Path) -> None:
    extra = {"id": "x", "category": "c", "aliases": ["crimson"], "start": 1, "end": 2.5, "more": 3}
    (example,) = read_own_questions(write_lines(tmp_path, {**ASK, **extra}))
    assert (example.id, example.family, example.video) == ("x", "c", "a.mp4#t=1,2.5")
    assert example.aliases == ("crimson",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"video": "a.mp4", "question": "What?"}, "line 2 lacks answer"),
        ({**ASK, "question": " "}, "line 2 has an empty question"),
        ({**ASK, "answer": ""}, "line 2 has an empty answer"),
        ({**ASK, "choices": "red"}, "line 2 has choices that are no list"),
        ({**ASK, "choices": ["blue", "green"]}, "line 2 has the answer 'red', which is none"),
        ({**ASK, "choices": ["red"], "answer": "C"}, "line 2 has the answer 'C'"),
        ({**ASK, "start": "soon"}, "line 2 has start 'soon'"),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_own_questions(write_lines(tmp_path, ASK, line))


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not there"):
        find_benchmark(str(tmp_path / "no.jsonl"))
    (tmp_path / "mine.jsonl").write_text("\n")
    with pytest.raises(DataError, match="holds no question"):
        find_benchmark(str(tmp_path / "mine.jsonl"))
    (tmp_path / "mine.jsonl").write_text('{"video": \n')
    with pytest.raises(DataError, match="line 1 is not JSON"):
        find_benchmark(str(tmp_path / "mine.jsonl"))
    with pytest.raises(DataError, match="the id 7 is there twice"):
        read_own_questions(write_lines(tmp_path, {**ASK, "id": 7}, {**ASK, "id": 7}))


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Return twelve questions about three drawn clips and a missing one."""
    for number in range(3):
        clip = render_frames(make_scene("test_iid", number, 0), size=32, num_frames=8)
        write_clip(clip, tmp_path / f"{number}.mp4", fps=4)
    lines = [
        {**ASK, "video": f"{number % 3}.mp4", "id": f"q{number}", "answer": f"answer {number % 2}"}
        for number in range(11)
    ]
    return write_lines(tmp_path, *lines, {**ASK, "video": "gone.mp4", "id": "gone"})


def run(questions: Path, folder: Path, **options: Any) -> dict:  # noqa: ANN401 (any option)
    model: Any = FakeModel()
    settings = EvalSettings(tasks=(str(questions),), baselines=("blind",), batch_size=5)
    _, results = evaluate(
        settings, folder, progress=Silence(), load=lambda _: model, options=RunOptions(**options)
    )
    assert results is not None
    return results


def test_a_missing_video_is_counted_listed_and_never_scored(
    tmp_path: Path, questions: Path
) -> None:
    with pytest.raises(DataError, match=r"1 videos of 1 of 12 questions .*gone.mp4; put them"):
        run(questions, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    results = run(questions, tmp_path / "run", max_failed=0.1)
    overall = results["tasks"]["mine"]["conditions"]["model"]["overall"]
    assert (overall["num_items"], overall["num_failed"]) == (12, 1)
    assert overall["accuracy"] == overall["num_correct"] / 11
    (failed,) = results["tasks"]["mine"]["failed"]
    assert failed.startswith("gone: ")
    assert "is not there" in failed


def test_a_video_that_came_later_is_asked_then(tmp_path: Path, questions: Path) -> None:
    run(questions, tmp_path / "run", max_failed=0.1)
    (tmp_path / "gone.mp4").write_bytes((tmp_path / "0.mp4").read_bytes())
    later = run(questions, tmp_path / "run")
    whole = run(questions, tmp_path / "whole")
    assert later["tasks"]["mine"]["failed"] == []
    log = "predictions.jsonl"
    assert (tmp_path / "run" / log).read_bytes() == (tmp_path / "whole" / log).read_bytes()
    assert later["tasks"] == whole["tasks"]


def test_a_damaged_video_fails_the_run_beyond_the_threshold(
    tmp_path: Path, questions: Path
) -> None:
    (tmp_path / "gone.mp4").write_bytes(b"no video")
    with pytest.raises(DataError, match="1 of 12 items failed, more than --max-failed 0.01"):
        run(questions, tmp_path / "run")


def test_the_record_names_files_decoder_and_frame_times(tmp_path: Path, questions: Path) -> None:
    results = run(questions, tmp_path / "run", max_failed=0.1)
    clips = results["tasks"]["mine"]["clips"]
    assert clips["source"] == "files"
    assert clips["decoder"].startswith("pyav")
    assert len(clips["annotations_sha256"]) == 64
    lines = (tmp_path / "run/predictions.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    assert len(first["frame_seconds"]) == 6
    timings = (tmp_path / "run/timings.jsonl").read_text().splitlines()
    assert len(timings) == 11 * 2
    assert {"decode_seconds", "answer_seconds", "rss_peak_bytes"} <= set(json.loads(timings[0]))


def test_the_report_stands_alone_and_shows_the_worst(tmp_path: Path, questions: Path) -> None:
    run(questions, tmp_path / "run", max_failed=0.1)
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "data:image/jpeg;base64," in page
    for word in ("The worst of it", "By family", "mine", "failed", "is not there"):
        assert word in page
    assert "http" not in page.split("<pre>")[0]
