"""Video lists: every layout gives the same entries, and bad input is named with its line."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.test_video_shards import write_shard
from videollm.errors import DataError
from videollm.train.video_entries import read_class_names
from videollm.train.video_lists import VideoEntry, VideoList, missing, read_entries
from videollm.train.video_shards import ShardMember


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def write(folder: Path, text: str, name: str = "list.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(
    path: Path, *, media_folder: Path | None = None, labelled: bool = True, **options: Any
) -> VideoList:
    return read_entries([path], media_folder=media_folder, labelled=labelled, **options)


def pairs(videos: VideoList) -> list[tuple[str, str]]:
    return [(Path(str(e.source)).name, videos.classes[e.label or 0]) for e in videos.entries]


@pytest.mark.parametrize("separator", [",", " ", "\t", ", ", "  "])
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_list_says_what_was_written(tmp_path: Path, separator: str, quote: str) -> None:
    rng = np.random.default_rng(len(separator))
    rows = [
        (f"clips/{i}.mp4", f"class{rng.integers(5)}", *np.cumsum(rng.uniform(0.1, 9, 2)).tolist())
        for i in range(30)
    ]
    text = "# ours\n\npath" + separator + "label\n"
    for path, label, start, end in rows:
        text += separator.join((f"{quote}{path}{quote}", label, str(start), str(end))) + "\r\n"
    for name in ("a.csv", "a.txt"):
        entries = read(write(tmp_path, text, name)).entries
        assert len(entries) == len(rows)
        for entry, (path, label, start, end) in zip(entries, rows, strict=True):
            assert entry.source == tmp_path / path
            assert (entry.start_seconds, entry.end_seconds) == (start, end)
            assert label == f"class{entry.label}"
    assert entries[0].name == f"{tmp_path / 'a.txt'}:4"


def test_paths_and_names_may_hold_separators(tmp_path: Path) -> None:
    text = 'my clips/a b.mp4,Lifting it\n"c,d.mp4","Lifting it up, then down",,2.5\n'
    videos = read(write(tmp_path, text))
    assert videos.classes == ("Lifting it", "Lifting it up, then down")
    assert [str(e.source) for e in videos.entries] == [
        str(tmp_path / name) for name in ("my clips/a b.mp4", "c,d.mp4")
    ]
    assert (videos.entries[1].start_seconds, videos.entries[1].end_seconds) == (None, 2.5)
    plain = read(write(tmp_path, "my clip.mp4\nother one.mp4\n"), labelled=False)
    assert [Path(str(e.source)).name for e in plain.entries] == ["my clip.mp4", "other one.mp4"]


def test_media_folder_and_absolute_paths(tmp_path: Path) -> None:
    media = touch(tmp_path / "media", "a.mp4")
    path = write(tmp_path, f"a.mp4\n{tmp_path / 'b.mp4'}\n")
    entries = read(path, media_folder=media, labelled=False).entries
    assert [entry.source for entry in entries] == [media / "a.mp4", tmp_path / "b.mp4"]
    assert missing(entries) == [entries[1]]


def test_classes_are_numbered_by_map_names_or_numbers(tmp_path: Path) -> None:
    named = write(tmp_path, "a.mp4,run\nb.mp4,jump\n")
    assert read(named).classes == ("jump", "run")
    assert [entry.label for entry in read(named).entries] == [1, 0]
    label_map = write(tmp_path, "walk\nrun\njump\n", "map.txt")
    for classes in (label_map, ("walk", "run", "jump")):
        videos = read(named, classes=classes)
        assert videos.classes == ("walk", "run", "jump")
        assert [entry.label for entry in videos.entries] == [1, 2]
    numbered = write(tmp_path, "a.mp4,3\nb.mp4,0\n")
    assert read(numbered).classes == ("0", "1", "2", "3")
    assert [entry.label for entry in read(numbered).entries] == [3, 0]
    assert read(numbered, labelled=False) == VideoList(
        entries=tuple(
            VideoEntry(source=tmp_path / name, name=f"{numbered}:{line}")
            for line, name in ((1, "a.mp4"), (2, "b.mp4"))
        ),
        classes=(),
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("map.txt", "b\n\nc d\r\na\n"),
        ("map.txt", "0 b\n1 c d\n2 a\n"),
        ("map.txt", "1\tb\n2\tc d\n3\ta"),
        ("map.json", '["b", "c d", "a"]'),
        ("map.json", '{"a": "2", "b": "0", "c d": "1"}'),
        ("map.json", '{"a": 2, "b": 0, "c d": 1}'),
        ("map.json", '{"2": "a", "0": "b", "1": "c d"}'),
    ],
)
def test_label_maps_in_every_form(tmp_path: Path, name: str, text: str) -> None:
    assert read_class_names(write(tmp_path, text, name)) == ("b", "c d", "a")


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("map.txt", "\n", r"map\.txt: empty; write one class name a line"),
        ("map.txt", "a\nb\na\n", "has 'a' twice"),
        ("map.json", "{", "not JSON"),
        ("map.json", '{"a": 1, "b": 2}', r"no label map; .* 0, 1, 2, \.\.\. without a gap"),
        ("map.json", '[{"id": 1}]', "no label map"),
    ],
)
def test_bad_label_map_is_named(tmp_path: Path, name: str, text: str, match: str) -> None:
    with pytest.raises(DataError, match=match):
        read_class_names(write(tmp_path, text, name))


def test_numbered_names_with_a_gap_are_names(tmp_path: Path) -> None:
    assert read_class_names(write(tmp_path, "2 fast\n4 you\n", "map.txt")) == ("2 fast", "4 you")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", r"no video in .*list\.csv; write one path a line"),
        ("# nothing\n", "no video in"),
        ("a.mp4,0\nb.mp4\n", r"list\.csv:2: no label; write path,label"),
        ("a.mp4,0\nb.mp4,3\n", r"list\.csv:2: label 3 is outside 0\.\.2; count classes from 0"),
        ("a.mp4,0\nb.mp4,-1\n", r"label -1 is outside 0\.\.2"),
        ("a.mp4,run\nb.mp4,jmup\n", "no class is called 'jmup'; the nearest of the 3 is 'jump'"),
        ("a.mp4,run\nb.mp4,run\n", "every label is 'run'; classification needs two classes"),
        ("a.mp4,0\nb.mp4,1\na.mp4,1\n", r":1 and .*:3 give .*a\.mp4 the labels 'walk' and 'run'"),
        ("a.mp4,0,3\n", r"list\.csv:1: 3 columns; write path, path,label or"),
        ("a.mp4,0,1,2,3\n", "5 columns"),
        ("a.mp4,0,2,1\n", "ends at 1 s, not after its start"),
        ("a.mp4,0,x,1\n", "'x' is no time; give seconds of 0 or more"),
        ("a.mp4,0,nan,1\n", "'nan' is no time"),
        ("a.mp4,0,-1,1\n", "'-1' is no time"),
        (",0\n", r"list\.csv:1: no path"),
        ("my clip.mp4 0\n", r"list\.csv:1: more than one path .* in quotes"),
    ],
)
def test_bad_line_is_named_with_the_remedy(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(DataError, match=match):
        read(write(tmp_path, text), classes=("walk", "run", "jump"))


def test_labels_without_a_map_must_agree_and_be_few(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r":2 has the class name 'run' and .*:1 the number 0"):
        read(write(tmp_path, "a.mp4,0\nb.mp4,run\n"))
    with pytest.raises(DataError, match=r":2: label 20251122; without a label map labels end at"):
        read(write(tmp_path, "a.mp4,0\nb.mp4,20251122\n"))
    with pytest.raises(DataError, match=r"label -1 is outside 0\.\.0"):
        read(write(tmp_path, "a.mp4,-1\n"))


def test_parts_of_one_video_may_differ_in_label(tmp_path: Path) -> None:
    path = write(tmp_path, "a.mp4,0,0,2\na.mp4,1,2,4\na.mp4,1,2,4\n")
    assert [entry.label for entry in read(path).entries] == [0, 1, 1]


def test_folders_are_classes_in_natural_order(tmp_path: Path) -> None:
    folder = touch(tmp_path, "b/v10.mp4", "b/v2.mp4", "a/deep/x.AVI", "a/._x.mp4", "a/note.txt")
    touch(folder, ".cache/c.mp4")
    videos = read(folder)
    assert videos.classes == ("a", "b")
    assert pairs(videos) == [("x.AVI", "a"), ("v2.mp4", "b"), ("v10.mp4", "b")]
    assert videos.entries[0].name == str(folder / "a/deep/x.AVI")
    touch(folder, "loose.mp4")
    assert len(read(folder, labelled=False).entries) == 4
    with pytest.raises(DataError, match=r"loose\.mp4: no label; .* folder for each class"):
        read(folder)


def test_parts_of_a_data_set_are_no_classes(tmp_path: Path) -> None:
    folder = touch(tmp_path, "train/a/x.mp4", "val/a/y.mp4")
    with pytest.raises(DataError, match=r"folders train, val are parts of a data set, not classes"):
        read(folder)
    assert len(read(folder, labelled=False).entries) == 2


def test_files_folders_and_lists_together(tmp_path: Path) -> None:
    media = touch(tmp_path / "media", "good.mp4", "other.mp4", "text.mp4")
    listed = write(tmp_path, "good.mp4,3\nother.mp4,1\n")
    paths = [media / "good.mp4", media, listed]
    entries = read_entries(paths, media_folder=media, labelled=False).entries
    names = [Path(str(entry.source)).name for entry in entries]
    assert names == ["good.mp4", *("good.mp4", "other.mp4", "text.mp4"), *("good.mp4", "other.mp4")]
    assert {entry.label for entry in entries} == {None}


@pytest.mark.parametrize("labelled", [True, False])
def test_shards_are_a_layout(tmp_path: Path, labelled: bool) -> None:
    for number, label in enumerate((b"1", b"0")):
        members = [(f"k{number}.mp4", b"video"), (f"k{number}.cls", label)]
        write_shard(tmp_path / f"s-{number:03d}.tar", members)
    videos = read(tmp_path / "s-{000..001}.tar", labelled=labelled)
    assert [entry.label for entry in videos.entries] == ([1, 0] if labelled else [None, None])
    assert videos.entries == read(tmp_path / "s-*", labelled=labelled, layout="shards").entries
    source = videos.entries[1].source
    assert isinstance(source, ShardMember)
    assert source.read() == b"video"
    assert videos.entries[1].name == f"{tmp_path / 's-001.tar'}:k1"
    os.remove(tmp_path / "s-001.tar")
    assert missing(videos.entries) == [videos.entries[1]]


def test_shards_without_a_video_are_named(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "s.tar", [("a.cls", b"1")])
    with pytest.raises(DataError, match=r"no video in .*s\.tar"):
        read(shard)


def test_bad_arguments_are_named(tmp_path: Path) -> None:
    listed = write(tmp_path, "a.mp4,0\nb.mp4,1\n")
    with pytest.raises(DataError, match="layout is 'ucf'; give one of auto, list, folders"):
        read(listed, layout="ucf")
    with pytest.raises(DataError, match="media_folder: .*gone: no such folder"):
        read(listed, media_folder=tmp_path / "gone")
    with pytest.raises(DataError, match="no such file or folder"):
        read(tmp_path / "gone.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no video in .*empty"):
        read(tmp_path / "empty", labelled=False)
    with pytest.raises(DataError, match="data_path is empty"):
        read_entries([], media_folder=None, labelled=False)
    with pytest.raises(DataError, match="classes is empty"):
        read(listed, classes=())
    with pytest.raises(DataError, match="subset is 'val'; only .* this is list: leave subset out"):
        read(listed, subset="val")
    with pytest.raises(DataError, match="a file, but the layout folders is read from a folder"):
        read(listed, layout="folders")
    with pytest.raises(DataError, match="a folder, but the layout list is read from a file"):
        read(tmp_path, layout="list")
    with pytest.raises(DataError, match=r"records\.json: fits no layout of a list; say which"):
        read(write(tmp_path, json.dumps([{"id": "a", "conversations": []}]), "records.json"))
    (tmp_path / "latin.csv").write_bytes(b"\xe9.mp4,0\n")
    with pytest.raises(DataError, match=r"latin\.csv: is no text in UTF-8"):
        read(tmp_path / "latin.csv")


def test_real_list_of_fights(shared: Path) -> None:
    videos = read(shared / "datasets" / "surv_fight" / "train.csv")
    assert len(videos.entries) == 160
    assert videos.classes == ("fight", "noFight")
    assert missing(videos.entries) == []


@pytest.mark.parametrize(("name", "count"), [("k400", 400), ("ssv2", 174)])
def test_real_label_maps(shared: Path, name: str, count: int) -> None:
    path = shared / "annotations" / "label_maps" / f"label_map_{name}.txt"
    assert len(read_class_names(path)) == count
