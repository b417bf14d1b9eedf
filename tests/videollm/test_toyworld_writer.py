"""Splits as files: whole or not at all, the same again, and readable."""

import json
from pathlib import Path

import av
import numpy as np
import pytest

from videollm.errors import DataError, RequestError
from videollm.toyworld import (
    CLIP_SECONDS,
    make_questions,
    make_scene,
    render_frames,
    write_clip,
    write_split,
)


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("toyworld") / "deep" / "split"
    write_split("test_iid", 3, 7, output, questions_per_video=5)
    return output


def test_same_seed_writes_the_same_files(folder: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    summary = write_split(
        "test_iid",
        3,
        7,
        tmp_path / "again",
        questions_per_video=5,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert _files(tmp_path / "again") == _files(folder)
    assert summary.folder == tmp_path / "again"
    assert (summary.num_videos, summary.num_questions) == (3, 15)
    assert sum(summary.families.values()) == 15
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_lines_are_the_questions_of_the_scenes(folder: Path) -> None:
    lines = [json.loads(line) for line in (folder / "qa.jsonl").read_text().splitlines()]
    asked = [
        (f"videos/{index:06d}.mp4", question)
        for index in range(3)
        for question in make_questions(
            make_scene("test_iid", index, 7), "test_iid", count=5, seed=7
        )
    ]
    assert len(lines) == len(asked)
    for line, (video, question) in zip(lines, asked, strict=True):
        assert (folder / line["video"]).is_file()
        assert line == {
            "video": video,
            "id": question.id,
            "family": question.family,
            "question": question.question,
            "answer": question.answer,
            "choices": list(question.choices),
            "split": "test_iid",
            "seconds": CLIP_SECONDS,
            "aliases": list(question.aliases),
            "wording": question.wording,
        }


def test_files_decode_to_the_drawn_frames(folder: Path) -> None:
    for index in range(3):
        with av.open(str(folder / f"videos/{index:06d}.mp4")) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
            frames = list(container.decode(stream))
        times = [float(frame.pts * frame.time_base) for frame in frames]
        assert times == [k / 8 for k in range(32)]
        decoded = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
        drawn = render_frames(make_scene("test_iid", index, 7), size=128, times=times).frames
        error = np.abs(decoded.astype(int) - drawn.permute(0, 2, 3, 1).numpy())
        assert error.mean() < 5


def test_interrupt_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_split("val", 2, 0, tmp_path / "fresh", size=64, progress=interrupt)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "note.txt").write_text("mine")
    with pytest.raises(KeyboardInterrupt):
        write_split("val", 2, 0, tmp_path / "kept", size=64, overwrite=True, progress=interrupt)
    assert _files(tmp_path) == {"kept/note.txt": b"mine"}


def test_full_folder_is_replaced_only_on_purpose(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(DataError, match="is not empty: choose another folder"):
        write_split("val", 1, 0, tmp_path)
    assert _files(tmp_path) == {"note.txt": b"mine"}
    write_split("val", 1, 0, tmp_path, size=64, overwrite=True)
    assert set(_files(tmp_path)) == {"qa.jsonl", "videos/000000.mp4"}


def test_empty_folder_is_filled(tmp_path: Path) -> None:
    write_split("val", 1, 0, tmp_path, size=64, questions_per_video=0)
    assert (tmp_path / "qa.jsonl").read_text() == ""


def test_impossible_splits_are_refused(tmp_path: Path) -> None:
    output = tmp_path / "split"
    with pytest.raises(RequestError, match="no split 'dev'"):
        write_split("dev", 1, 0, output)
    with pytest.raises(RequestError, match="num is 0"):
        write_split("val", 0, 0, output)
    with pytest.raises(RequestError, match="fps is 0: choose 1 to 60"):
        write_split("val", 1, 0, output, fps=0)
    with pytest.raises(RequestError, match="65x65: H.264 in 4:2:0 needs even sides"):
        write_split("val", 1, 0, output, size=65)
    with pytest.raises(RequestError, match="families asked for: speed"):
        write_split("val", 1, 0, output, families=["speed"])
    output.write_text("a file")
    with pytest.raises(DataError, match="is a file: name a folder"):
        write_split("val", 1, 0, output, overwrite=True)
    with pytest.raises(DataError, match="cannot be made"):
        write_split("val", 1, 0, output / "deeper")
    assert _files(tmp_path) == {"split": b"a file"}


def test_clip_is_written_the_same_each_time(tmp_path: Path) -> None:
    clip = render_frames(make_scene("val", 0), num_frames=4)
    for name in ("one.mp4", "two.mp4"):
        write_clip(clip, tmp_path / name, fps=4)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
