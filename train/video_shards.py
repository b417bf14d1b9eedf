"""WebDataset shards: plain tar files whose videos are read by their place, in any order.

A shard holds for every sample a few files with one key: `KEY.mp4`, and `KEY.cls`, `KEY.json` or
`KEY.txt` for its label. One pass over the headers finds where each video lies; after that a video
is one read at an offset, so samples are shuffled and resumed like files, and nothing is unpacked.
Shards are local files; streams from pipes or addresses are not read.

Source: the tar layout of webdataset/webdataset, where the key ends at the first dot of the file
name. We differ: it reads shards as a stream, we by index.
"""

import glob
import json
import logging
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from videollm.errors import DataError, VideoError

__all__ = ["VIDEO_SUFFIXES", "ShardIndex", "ShardMember", "expand_shards", "index_shards"]

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = frozenset(
    (".3gp", ".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg")
    + (".ogv", ".ts", ".webm", ".wmv")
)

_BRACES = re.compile(r"\{([^{}]*)\}")
_MEMBER = re.compile(r"(?:\./)?((?:.*/)?[^/.]+)\.([^/]+)")
_LABEL_SUFFIXES = ("cls", "json", "txt")
_BLOCK_BYTES = 512
_COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}


@dataclass(frozen=True, slots=True)
class ShardMember:
    """Hold the place of one video in a shard.

    Args:
        shard: The tar file.
        key: Name of the sample, unique among all shards.
        offset: Where the video begins, in bytes from the start of the shard.
        size: Its length in bytes.
    """

    shard: Path
    key: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.shard}:{self.key}"

    def read(self) -> bytes:
        """Return the encoded video, for `VideoReader.open`.

        Raises:
            VideoError: The shard is gone, may not be read or has become shorter.
        """
        try:
            with self.shard.open("rb") as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            finding = f"the shard cannot be read ({error.strerror})"
            raise VideoError(str(self), finding, "check the path") from None
        if len(data) < self.size:
            finding = f"the shard ends after {len(data)} of the video's {self.size} bytes"
            raise VideoError(str(self), finding, "copy or download it again")
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardIndex:
    """Hold the samples of some shards, in the order of the shards and of their members.

    Args:
        members: The videos.
        labels: Their labels as written: text, a number from JSON, or None.
        num_skipped: Keys without a video.
    """

    members: tuple[ShardMember, ...]
    labels: tuple[str | int | None, ...]
    num_skipped: int


@dataclass(slots=True)
class _Sample:
    """Gather the files of one key."""

    member: ShardMember | None = None
    labels: dict[str, str | int | None] = field(default_factory=dict)


def expand_shards(pattern: Path) -> list[Path]:
    """Return the shards that a path, a brace pattern or a glob names.

    Braces hold a range, `{000000..000012}`, which keeps its zeros, or words, `{train,val}`. The
    matches of a glob come in alphabetic order. A file with just that name wins.

    Raises:
        DataError: A shard is missing, nothing matches, or a range runs backwards.
    """
    if pattern.is_file():
        return [pattern]
    shards: list[Path] = []
    names = _expand_braces(str(pattern))
    for name in names:
        if glob.has_magic(name):
            matches = sorted(Path(match) for match in glob.glob(name))
            if not matches:
                raise DataError(f"data_path: {name}: no shard matches; check the folder and name")
            shards += matches
        elif Path(name).is_file():
            shards.append(Path(name))
        else:
            of_pattern = f", one of {len(names)} that {pattern} names" if len(names) > 1 else ""
            raise DataError(
                f"data_path: {name}: no such shard{of_pattern}; copy it there or mend the pattern"
            )
    return shards


def _expand_braces(text: str) -> list[str]:
    found = _BRACES.search(text)
    if found is None:
        return [text]
    bounds = re.fullmatch(r"(\d+)\.\.(\d+)", found[1])
    if bounds is None:
        words = found[1].split(",")
    else:
        first, last = int(bounds[1]), int(bounds[2])
        if last < first:
            raise DataError(f"data_path: {text}: {found[0]} runs backwards; turn it round")
        words = [str(number).zfill(len(bounds[1])) for number in range(first, last + 1)]
    tails = _expand_braces(text[found.end() :])
    return [text[: found.start()] + word + tail for word in words for tail in tails]


def index_shards(patterns: Sequence[Path], *, labelled: bool) -> ShardIndex:
    """Return where the videos of some shards lie; only headers and labels are read.

    A key without a video is skipped and counted.

    Args:
        patterns: Paths, brace patterns or globs.
        labelled: Whether to read the labels: of `KEY.cls`, else of "label" in `KEY.json`, else of
            `KEY.txt`.

    Raises:
        DataError: A shard is missing, compressed, truncated or no tar file; a key has two videos;
            or a label cannot be read.
    """
    members: list[ShardMember] = []
    labels: list[str | int | None] = []
    homes: dict[str, Path] = {}
    num_skipped = 0
    for shard in (shard for pattern in patterns for shard in expand_shards(pattern)):
        for key, sample in _read_shard(shard, labelled=labelled).items():
            if sample.member is None:
                num_skipped += 1
                continue
            if key in homes:
                raise DataError(
                    f"data_path: the key {key} has a video in {homes[key]} and one in {shard}; "
                    "give each shard once and each sample a key of its own"
                )
            homes[key] = shard
            members.append(sample.member)
            found = (sample.labels.get(suffix) for suffix in _LABEL_SUFFIXES)
            labels.append(next((label for label in found if label is not None), None))
    if num_skipped:
        logger.warning("skipped %d keys without a video in the shards", num_skipped)
    return ShardIndex(members=tuple(members), labels=tuple(labels), num_skipped=num_skipped)


def _read_shard(shard: Path, *, labelled: bool) -> dict[str, _Sample]:
    samples: dict[str, _Sample] = {}
    try:
        with shard.open("rb") as file:
            _refuse_compressed(shard, file)
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for header in archive:
                    if header.isreg():
                        _add_file(samples, shard, file, header, labelled=labelled)
                # A reader of tar takes a cut between two files for the end; the mark tells.
                file.seek(archive.offset)
                has_end = file.read(_BLOCK_BYTES) == bytes(_BLOCK_BYTES)
    except (OSError, tarfile.TarError) as error:
        raise DataError(
            f"data_path: {shard}: truncated, or no tar file ({error}); copy or download it again"
        ) from error
    if not has_end:
        raise DataError(
            f"data_path: {shard}: truncated or damaged after {len(samples)} samples (no mark of "
            "the end follows); copy or download it again"
        )
    return samples


def _refuse_compressed(shard: Path, file: BinaryIO) -> None:
    head = file.read(8)
    file.seek(0)
    for magic, name in _COMPRESSIONS.items():
        if head.startswith(magic):
            raise DataError(
                f"data_path: {shard}: compressed with {name}; videos are read by their place in a "
                f"plain tar file: unpack the {name} layer, or write the shards without it"
            )


def _add_file(
    samples: dict[str, _Sample],
    shard: Path,
    file: BinaryIO,
    header: tarfile.TarInfo,
    *,
    labelled: bool,
) -> None:
    found = _MEMBER.fullmatch(header.name)
    if found is None:
        return
    key, suffix = found[1], found[2].lower()
    sample = samples.setdefault(key, _Sample())
    if f".{suffix.rpartition('.')[2]}" in VIDEO_SUFFIXES:
        if sample.member is not None:
            raise DataError(
                f"data_path: {shard}: the key {key} has two videos (a key ends at the first dot "
                "of the file name); give each sample a key of its own"
            )
        sample.member = ShardMember(shard, key, header.offset_data, header.size)
    elif labelled and suffix in _LABEL_SUFFIXES:
        file.seek(header.offset_data)
        sample.labels[suffix] = _parse_label(f"{shard}:{header.name}", file.read(header.size))


def _parse_label(name: str, data: bytes) -> str | int | None:
    try:
        text = data.decode("utf-8").strip()
        if not name.lower().endswith(".json"):
            return text or None
        record = json.loads(text)
    except ValueError as error:
        raise DataError(f"data_path: {name}: no label can be read ({error}); mend it") from error
    label = record.get("label") if isinstance(record, dict) else None
    if label is not None and (isinstance(label, bool) or not isinstance(label, str | int)):
        raise DataError(f'data_path: {name}: "label" is {label!r}; give a number or a class name')
    return label
