"""The short form of the fuzzing of the reader, and the proof that it would find something."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import fuzz_video
from benchmarks.fuzz_files import DAMAGES, Clip, damage, small_clips
from benchmarks.fuzz_oracle import Answer, Oracle, digest, judge
from benchmarks.fuzz_video import MUST_BE_ZERO, Tally, fuzz
from tests.videollm.drawn import draw_video, numbered_frames
from videollm.video import VideoReader

BUDGET_SECONDS = 30


@pytest.fixture(scope="module")
def drawn() -> bytes:
    return draw_video(numbered_frames(20), options={"g": "5"})


@pytest.mark.slow
def test_damaged_real_clips_hang_crash_and_falsify_nothing(shared: Path) -> None:
    tally = fuzz(
        small_clips(shared / "videos"), range(5000, 7000), 1, budget_seconds=BUDGET_SECONDS
    )
    assert tally.bad() == dict.fromkeys(MUST_BE_ZERO, 0), tally.suspects
    assert tally.files["read"] > 0
    assert tally.files["refused"] > 0
    # A file that is refused halfway has given frames, too.
    assert sum(tally.frames.values()) >= 6 * tally.files["read"]


def test_what_depends_on_a_corrupt_picture_is_undefined(shared: Path) -> None:
    tally = fuzz(small_clips(shared / "videos"), [6312], 1)
    assert tally.frames == {"right": 5, "right, pixels undefined": 1}


def test_fuzzing_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []

    def three_files(
        clips: object, numbers: range, seed: int, *, tally: Tally, budget_seconds: float
    ) -> Tally:
        asked.append(list(numbers))
        tally.damages.update("truncated" for _ in numbers[:3])
        tally.files.update("read" for _ in numbers[:3])
        tally.sha256 += "x"
        return tally

    monkeypatch.setattr(fuzz_video, "fuzz", three_files)
    words = ["--clips", str(tmp_path), "--files", "7", "--first", "10", "--output", str(tmp_path)]
    assert [fuzz_video.main(words) for _ in range(4)] == [0] * 4
    assert asked == [list(range(start, 17)) for start in (10, 13, 16, 17)]
    found = json.loads((tmp_path / "fuzz_video.json").read_text())
    assert (found["files"], found["ends"], found["sha256"]) == (7, {"read": 7}, "xxxx")
    assert fuzz_video.main([*words, "--seed", "1"]) == 0
    assert asked[-1] == list(range(10, 17))


def test_clips_are_cut_alike_every_time(shared: Path) -> None:
    clips = small_clips(shared / "videos")
    assert clips == small_clips(shared / "videos")
    assert max(len(clip.data) for clip in clips) < 2**20


def test_the_same_seed_gives_the_same_files(drawn: bytes) -> None:
    clips = [
        Clip("a", drawn),
        Clip("b", draw_video(numbered_frames(5), container="webm", codec="libvpx")),
    ]
    first = [damage(clips, number, 3) for number in range(28)]
    assert first == [damage(clips, number, 3) for number in range(28)]
    assert {kind for kind, _, _ in first} == set(DAMAGES)
    assert len({data for _, _, data in first}) > 20
    assert first != [damage(clips, number, 4) for number in range(28)]


def answers_to(data: bytes, times: list[float]) -> list[Answer]:
    with VideoReader.open(data) as reader:
        clip = reader.read(times)
    return [
        Answer(time, seconds, digest(picture))
        for time, seconds, picture in zip(
            times, clip.pts_seconds.tolist(), clip.frames, strict=True
        )
    ]


def test_the_judge_tells_right_from_wrong(drawn: bytes) -> None:
    right = answers_to(drawn, [0.0, 0.11, 0.5])
    assert judge(drawn, right) == ["right"] * 3
    first, second, third = right
    wrong = [
        replace(second, seconds=0.105),
        replace(second, seconds=third.seconds, pixels=third.pixels),
        replace(second, pixels=first.pixels),
    ]
    assert judge(drawn, wrong) == ["invented time", "wrong frame", "wrong pixels"]


def test_repaired_times_are_called_so() -> None:
    group = draw_video(numbered_frames(4), container="mpegts", options={"bf": "0"})
    twice = group + group  # the times begin anew
    answers = answers_to(twice, [0.0, 0.1, 1e6])
    assert judge(twice, answers) == ["right", "right", "right, repaired"]


def test_the_oracle_survives_what_kills_bare_decoding(drawn: bytes) -> None:
    right = answers_to(drawn, [0.3])
    wrong = [replace(right[0], pixels=b"")]
    with Oracle() as oracle:
        assert oracle.judge(b"no video", right) is None
        assert oracle.judge(drawn, right) == ["right"]
        assert oracle.judge(drawn, wrong) == ["wrong pixels"]
        assert oracle._process is not None
        oracle._process.kill()
        assert oracle.judge(drawn, right) is None
        assert oracle.judge(drawn, right) == ["right"]
