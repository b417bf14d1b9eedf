"""Long files are streams: asked as a whole, watched in a thread, answered on the way."""

import json
import math
from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_videollm
from tests.videollm.drawn import draw_video, numbered_frames
from videollm import VideoLLM
from videollm.cli import main
from videollm.cli_stream import parse_questions, watch
from videollm.clip import Clip
from videollm.errors import RequestError, SourceNotFoundError
from videollm.live import LiveOptions
from videollm.long_video import WatchProgress
from videollm.video import VideoReader
from videollm.watching import Watcher

LINE = {
    "at_seconds",
    "question",
    "answer",
    "frames_seen",
    "tokens_held",
    "state_bytes",
    "rss_bytes",
}


@pytest.fixture(scope="module")
def folder(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    for part in tiny_videollm(tiny_llm, tubelet_size=2):
        part.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> VideoLLM:
    return VideoLLM.from_pretrained(folder, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of 8 s at 8 frames a second."""
    path = tmp_path_factory.mktemp("videos") / "a.mp4"
    path.write_bytes(draw_video(numbered_frames(64, height=16, width=16), rate=8))
    return path


def test_a_long_file_is_watched_whole_and_once(
    model: VideoLLM, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videollm.long_video.MAX_FRAMES", 40)
    told: list[WatchProgress] = []
    answer = model.ask(video, "What?", fps=8, max_new_tokens=8, progress=told.append)
    record = answer.to_dict()
    assert set(record) == {
        *("answer", "model", "frames", "visual_tokens", "timings", "device", "scan_backend")
    }
    assert [frame["seconds"] for frame in record["frames"]] == [place / 8 for place in range(64)]
    assert record["visual_tokens"] == 32 * 4
    assert list(record["timings"]) == ["decode", "encode", "first_token", "total"]
    assert 0 < record["timings"]["encode"] < record["timings"]["first_token"]
    assert [(one.num_frames, one.total_frames) for one in told] == [(32, 64), (64, 64)]
    assert answer.video_backend.startswith("pyav")
    with VideoReader.open(video) as reader:
        whole = reader.read([place / 8 for place in range(64)])
    assert answer.answer == model.ask(whole, "What?", max_new_tokens=8).answer
    again = model.ask(video, "Who?", fps=8, max_new_tokens=8, progress=told.append)
    assert len(told) == 2
    assert again.timings["encode"] == 0.0
    assert again.answer == model.ask(whole, "Who?", max_new_tokens=8).answer


@pytest.mark.parametrize("options", [{}, {"num_frames": 6}, {"sampling": "keyframes"}, {"fps": 4}])
def test_what_is_not_long_is_sampled(
    model: VideoLLM, video: Path, options: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videollm.long_video.MAX_FRAMES", 40)
    told: list[WatchProgress] = []
    model.ask(video, "What?", max_new_tokens=1, progress=told.append, **options)
    assert told == []


def test_a_part_of_a_long_file_is_watched(
    model: VideoLLM, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videollm.long_video.MAX_FRAMES", 10)
    part = {"start_seconds": 1, "end_seconds": 6.5}
    answer = model.ask(video, "What?", max_new_tokens=1, **part)
    assert [frame["seconds"] for frame in answer.frames] == [1 + place / 2 for place in range(11)]
    assert answer.visual_tokens == 6 * 4  # the eleventh frame makes a pair with itself
    stream = model.chat(video, "What?", stream=True, max_new_tokens=500, **part)
    next(stream)
    stream.close()
    assert stream.answer.visual_tokens == 6 * 4


def test_a_thread_watches_a_file_to_its_end(model: VideoLLM, video: Path) -> None:
    session = model.stream()
    watcher = Watcher(session, video, 8)
    assert watcher.wait(60)
    assert session.stats().frames_seen == 64
    with pytest.raises(SourceNotFoundError):
        Watcher(session, video.parent / "absent.mp4")
    failing = Watcher(session, video, 8)  # its times begin again: the session refuses them
    with pytest.raises(RequestError, match="times go backwards"):
        failing.wait()
    slow = Watcher(model.stream(), video, 8, options=LiveOptions(real_time=True))
    assert not slow.wait(0.01)
    slow.stop()
    assert not slow.is_alive()


def test_questions_are_asked_at_their_times_and_at_the_end(model: VideoLLM) -> None:
    frames = torch.zeros(20, 3, 16, 16, dtype=torch.uint8)
    own = Clip(frames, torch.arange(20, dtype=torch.float64) / 2)
    clips = [Clip(own.frames[part], own.pts_seconds[part]) for part in (slice(7), slice(7, 20))]
    questions = parse_questions(["end:Last?", "2.2:Early?", "0:First?", "9.5:Late?"])
    answers = list(watch(model.stream(), iter(clips), questions, max_new_tokens=1))
    assert [(one.at_seconds, one.question, one.frames_seen) for one in answers] == [
        (0.0, "First?", 1),
        (2.0, "Early?", 5),
        (9.5, "First?", 20),
        (9.5, "Early?", 20),
        (9.5, "Late?", 20),
        (9.5, "Last?", 20),
    ]


def test_ctrl_c_is_the_end(model: VideoLLM, capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> object:
        yield Clip(torch.zeros(4, 3, 16, 16, dtype=torch.uint8), torch.zeros(4).double())
        raise KeyboardInterrupt

    answers = list(watch(model.stream(), broken(), [(math.inf, "What?")], max_new_tokens=1))
    assert [one.frames_seen for one in answers] == [4]
    assert "stopped" in capsys.readouterr().err


def test_the_command_prints_a_line_for_each_answer(
    folder: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(video), "--model", str(folder), "--max-new-tokens", "2", "--device", "cpu"]
    saved = tmp_path / "session.safetensors"
    asked = ["--ask", "3:What: this?", "--when-changed", "Who?", "--every", "100"]
    assert main(["stream", *words, *asked, "--json", "--save", str(saved)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(set(line) == LINE for line in lines)
    found = [(line["question"], line["at_seconds"]) for line in lines]
    assert found == [("Who?", 3.0), ("What: this?", 3.0), ("What: this?", 7.5)]
    assert lines[-1]["frames_seen"] == 16
    assert saved.is_file()
    assert main(["stream", *words, "--ask", "end:What?", "--stop-after", "2"]) == 0
    assert capsys.readouterr().out.startswith("2.0s  What?  ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to ask: give --ask"),
        (["--ask", "What?"], "write SECONDS:QUESTION or end:QUESTION"),
        (["--ask", "-1:What?"], "write SECONDS:QUESTION"),
        (["--ask", "1: "], "write SECONDS:QUESTION"),
        (["--ask", "1:What?", "--stop-after", "-2"], "--stop-after is -2"),
        (["--ask", "1:What?", "--fps", "0"], "a stream needs more than 0"),
        (["--ask", "1:What?", "--budget-tokens", "20"], "8 recent frames of 4 tokens need 32"),
        (["--ask", "1:What?", "--policy", "best"], "it is one of merge, fifo"),
    ],
)
def test_bad_words_are_one_line(
    words: list[str],
    message: str,
    folder: Path,
    video: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["stream", str(video), "--model", str(folder), "--device", "cpu", *words]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""
