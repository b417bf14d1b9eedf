"""Shards: every video is read bit for bit from its place, and damage is named, never skipped."""

import bz2
import gzip
import io
import logging
import lzma
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.videollm.drawn import draw_video, numbered_frames, numbers_of
from videollm.errors import DataError, VideoError
from videollm.train.video_shards import ShardMember, expand_shards, index_shards
from videollm.video import VideoReader

Members = list[tuple[str, bytes]]


def write_shard(path: Path, members: Members, *, form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as archive:
        for name, data in members:
            header = tarfile.TarInfo(name)
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return path


def random_videos(count: int, *, seed: int = 0, prefix: str = "") -> Members:
    rng = np.random.default_rng(seed)
    return [(f"{prefix}{i:04d}.mp4", rng.bytes(rng.integers(0, 3000))) for i in range(count)]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_video_is_read_bit_for_bit_in_any_order(tmp_path: Path, form: int) -> None:
    long_name = "/".join(["a" * 60] * 2) + "/"
    members = random_videos(40) + random_videos(20, seed=1, prefix=long_name)
    shard = write_shard(tmp_path / "x.tar", members, form=form)
    index = index_shards([shard], labelled=False)
    assert [member.key for member in index.members] == [name[: -len(".mp4")] for name, _ in members]
    for place in np.random.default_rng(2).permutation(len(members)):
        member = pickle.loads(pickle.dumps(index.members[place]))
        assert member == index.members[place]
        assert member.size == len(members[place][1])
        assert member.read() == members[place][1]


def test_a_video_of_a_shard_is_the_video_of_the_file(tmp_path: Path) -> None:
    data = draw_video(numbered_frames(6))
    shard = write_shard(tmp_path / "x.tar", [("a.cls", b"1"), ("a.mp4", data), ("b.mp4", data)])
    for member in index_shards([shard], labelled=False).members:
        with VideoReader.open(member.read()) as reader:
            assert numbers_of(reader.read([0.0, 0.1]).frames) == [0, 3]


def test_only_headers_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    videos = [(f"{i}.mp4", bytes(200_000)) for i in range(5)]
    shard = write_shard(tmp_path / "x.tar", videos)
    num_read = 0

    class CountingFile(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            nonlocal num_read
            data = super().read(size)
            num_read += len(data)
            return data

    content = shard.read_bytes()
    monkeypatch.setattr(Path, "open", lambda *_: CountingFile(content))
    assert len(index_shards([shard], labelled=True).members) == 5
    assert 5 * 512 <= num_read < 10_000


def test_labels_come_from_cls_then_json_then_txt(tmp_path: Path) -> None:
    sidecars: Members = [
        ("a.cls", b"3\n"),
        ("a.json", b'{"label": "unused"}'),
        ("b.json", b'{"label": "running", "fps": 25}'),
        ("b.txt", b"unused"),
        ("c.txt", " Radfahren im Gr\u00fcnen\n".encode()),
        ("d.json", b'{"label": 7}'),
        ("e.json", b'{"caption": "no label"}'),
        ("f.cls", b""),
    ]
    videos = [(f"{key}.webm", key.encode()) for key in "abcdefg"]
    shard = write_shard(tmp_path / "x.tar", sidecars + videos)
    labels = ("3", "running", "Radfahren im Gr\u00fcnen", 7, None, None, None)
    assert index_shards([shard], labelled=True).labels == labels
    assert index_shards([shard], labelled=False).labels == (None,) * 7


@pytest.mark.parametrize(
    ("name", "data", "match"),
    [
        ("a.json", b"{", r"x\.tar:a\.json: no label can be read"),
        ("a.cls", b"\xff\xfe", r"x\.tar:a\.cls: no label can be read .* mend it"),
        ("a.json", b'{"label": [1]}', r'x\.tar:a\.json: "label" is \[1\]; give a number'),
        ("a.json", b'{"label": true}', '"label" is True'),
    ],
)
def test_bad_label_is_named(tmp_path: Path, name: str, data: bytes, match: str) -> None:
    shard = write_shard(tmp_path / "x.tar", [(name, data), ("a.mp4", b"v")])
    with pytest.raises(DataError, match=match):
        index_shards([shard], labelled=True)
    assert len(index_shards([shard], labelled=False).members) == 1


def test_keys_without_video_are_skipped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ("./a.mp4", "b.cls", "dir/c.MP4", "d.jpg", "e.front.mp4", "README")
    shard = write_shard(tmp_path / "x.tar", [(name, b"1") for name in names])
    with caplog.at_level(logging.WARNING):
        index = index_shards([shard], labelled=True)
    assert [member.key for member in index.members] == ["a", "dir/c", "e"]
    assert index.num_skipped == 2
    assert "skipped 2 keys without a video" in caplog.text


def test_duplicate_keys_are_refused(tmp_path: Path) -> None:
    two = write_shard(tmp_path / "two.tar", [("v1.2.mp4", b"a"), ("v1.3.mp4", b"b")])
    with pytest.raises(DataError, match=r"two\.tar: the key v1 has two videos .* first dot"):
        index_shards([two], labelled=False)
    one = write_shard(tmp_path / "one.tar", random_videos(3))
    other = write_shard(tmp_path / "other.tar", [("0001.webm", b"x")])
    with pytest.raises(DataError, match=r"key 0001 has a video in .*one\.tar and one in .*other"):
        index_shards([one, other], labelled=False)
    with pytest.raises(DataError, match=r"give each shard once"):
        index_shards([one, one], labelled=False)


def test_every_truncation_is_named(tmp_path: Path) -> None:
    members = random_videos(4) + [("0002.cls", b"1")]
    whole = write_shard(tmp_path / "whole.tar", members).read_bytes()
    with tarfile.open(tmp_path / "whole.tar") as archive:
        last = archive.getmembers()[-1]
    end = last.offset_data + 512
    cuts = {*np.random.default_rng(0).integers(1, end, 40).tolist(), *range(512, end + 1, 512)}
    cut_path = tmp_path / "cut.tar"
    for cut in sorted(cuts):
        cut_path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"cut\.tar: truncated.*download it again"):
            index_shards([cut_path], labelled=True)
    cut_path.write_bytes(whole[: end + 512])
    assert len(index_shards([cut_path], labelled=True).members) == 4


def test_damage_in_the_middle_is_named(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "x.tar", [(f"{key}.mp4", b"v") for key in "abc"])
    data = bytearray(shard.read_bytes())
    data[1024:1034] = b"\xffnot a tar"
    shard.write_bytes(data)
    with pytest.raises(DataError, match=r"x\.tar: truncated or damaged after 1 samples"):
        index_shards([shard], labelled=False)


@pytest.mark.parametrize("content", [b"", b"not a tar file", b"\0" * 100, b"\1" * 600], ids=len)
def test_what_is_no_tar_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.tar: truncated, or no tar file \(.*download it again"):
        index_shards([tmp_path / "x.tar"], labelled=False)


def test_compressed_shards_are_refused_with_the_remedy(tmp_path: Path) -> None:
    plain = write_shard(tmp_path / "x.tar", random_videos(2)).read_bytes()
    packed = {
        "gzip": gzip.compress(plain),
        "bzip2": bz2.compress(plain),
        "xz": lzma.compress(plain),
        "zstd": b"\x28\xb5\x2f\xfd" + plain,
    }
    for name, data in packed.items():
        (tmp_path / "y.tar").write_bytes(data)
        with pytest.raises(DataError, match=rf"y\.tar: compressed with {name}; .*unpack the"):
            index_shards([tmp_path / "y.tar"], labelled=False)


def test_patterns_name_shards(tmp_path: Path) -> None:
    names = [f"{split}-{i:03d}.tar" for split in ("train", "val") for i in range(8, 12)]
    for name in names:
        (tmp_path / name).touch()
    assert [p.name for p in expand_shards(tmp_path / "train-{008..011}.tar")] == names[:4]
    assert [p.name for p in expand_shards(tmp_path / "{train,val}-{008..011}.tar")] == names
    assert [p.name for p in expand_shards(tmp_path / "val-*.tar")] == names[4:]
    assert [p.name for p in expand_shards(tmp_path / "{val,train}-01?.tar")] == [
        *names[6:],
        *names[2:4],
    ]
    literal = tmp_path / "odd-{1..2}[x].tar"
    literal.touch()
    assert expand_shards(literal) == [literal]


@pytest.mark.parametrize(
    ("pattern", "match"),
    [
        ("x-{00..02}.tar", r"x-02\.tar: no such shard, one of 3 that .* names; copy it there"),
        ("y.tar", r"y\.tar: no such shard; copy"),
        ("z-*.tar", r"z-\*\.tar: no shard matches"),
        ("x-{02..00}.tar", r"\{02\.\.00\} runs backwards"),
    ],
)
def test_missing_shards_are_named(tmp_path: Path, pattern: str, match: str) -> None:
    for number in range(2):
        (tmp_path / f"x-{number:02d}.tar").touch()
    with pytest.raises(DataError, match=match):
        expand_shards(tmp_path / pattern)


def test_a_shard_that_changed_is_a_bad_video(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "x.tar", [("a.mp4", bytes(4000))])
    (member,) = index_shards([shard], labelled=False).members
    assert member == ShardMember(shard, "a", 512, 4000)
    shard.write_bytes(bytes(1512))
    with pytest.raises(VideoError, match=r"x\.tar:a: the shard ends after 1000 of .* 4000 bytes"):
        member.read()
    shard.unlink()
    with pytest.raises(VideoError, match=r"x\.tar:a: the shard cannot be read \(No such file"):
        member.read()
