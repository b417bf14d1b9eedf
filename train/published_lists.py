"""Lists and folders of published video data sets, in the form in which they are given out.

Kinetics, Something-Something v2, UCF101, Breakfast and COIN; each reader's docstring says where its
format comes from. Only Breakfast needs its videos: elsewhere a missing one gets its expected path.
"""

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from videollm.errors import DataError
from videollm.train.video_entries import (
    Listing,
    MediaFolder,
    VideoEntry,
    find_videos,
    read_class_names,
    read_json,
    read_text,
)

__all__ = ["PUBLISHED", "PUBLISHED_WITH_SUBSETS", "UCF101_CLASSES", "published_layouts"]

_BREAKFAST_CLASSES = (
    *("cereals", "coffee", "tea", "pancake", "friedegg"),
    *("scrambledegg", "sandwich", "juice", "milk", "salat"),
)
_BREAKFAST_TEST = {
    **{"s1": range(3, 16), "s2": range(16, 29), "s3": range(29, 42), "s4": range(42, 55)},
    "p47": range(47, 55),
}
_BREAKFAST_NAME = re.compile(r"(?:.*[_-])?P([0-9]{2})_([a-z]+?)(?:_ch([0-9]))?")
_KINETICS_COLUMNS = ("youtube_id", "time_start", "time_end")
_UCF101_LINE = re.compile(r"(\w+)/v_\w+_g[0-9]{2}_c[0-9]{2}\.\w+(?:\s+([0-9]+))?")
UCF101_CLASSES = "classInd.txt"
_SSV2_CLASSES = ("labels.json", "something-something-v2-labels.json")
_SUBSETS = {
    "train": ("train", "training"),
    "val": ("val", "validate", "validation"),
    "test": ("test", "testing"),
}


def read_kinetics(path: Path, media: MediaFolder, *, subset: str | None) -> Listing:
    """Return the videos of a Kinetics-400, -600 or -700 csv.

    Its header is `label,youtube_id,time_start,time_end,split`, maybe with `is_cc`; lists of test
    videos may lack the label. The video is `{youtube_id}_{start:06d}_{end:06d}.mp4`, cut already,
    in the media folder or below it in the folder of its class, split, or split and class.

    Args:
        path: The csv.
        media: Where the videos are.
        subset: "train", "val" or "test" by the column `split`; None: all.

    Raises:
        DataError: A line is incomplete, or there is no video of the subset.

    Source: the annotations of the Kinetics releases; cvdfoundation/kinetics-dataset for the files.
    """
    words = _subset_words(subset)
    rows = csv.DictReader(read_text(path).splitlines())
    videos = []
    splits = set()
    for row in rows:
        name = f"{path}:{rows.line_num}"
        try:
            times = [int(float(row[column])) for column in _KINETICS_COLUMNS[1:]]
            identity = row["youtube_id"].strip()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"data_path: {name}: no line of a Kinetics list; write label,youtube_id,time_start,"
                "time_end,split with the times in seconds"
            ) from error
        label, split = row.get("label") or None, row.get("split") or ""
        splits.add(split)
        if words is not None and split not in words:
            continue
        tops = [split, *(top for top, known in _SUBSETS.items() if split in known)]
        places = [label, *tops, *(f"{top}/{label}" for top in tops)] if label else tops
        stem = f"{identity}_{times[0]:06d}_{times[1]:06d}"
        source = media.find(stem, places=places, suffix=".mp4")
        videos.append((VideoEntry(source=source, name=name), label))
    _require_videos(path, videos, subset=subset, found=splits)
    return Listing(videos=videos)


def read_ssv2(path: Path, media: MediaFolder) -> Listing:
    """Return the videos of a Something-Something v2 list.

    It is a JSON list of `{"id": "78687", "template": "Holding [something]", ...}`; the class is the
    template without brackets, and `labels.json` beside the list numbers the classes. The video is
    `{id}.webm`. The list of test videos has no template.

    Raises:
        DataError: It has another form.

    Source: the annotation files of Something-Something v2.
    """
    records = read_json(path)
    videos: list[tuple[VideoEntry, str | None]] = []
    for number, record in enumerate(records if isinstance(records, list) else []):
        name = f"{path}[{number}]"
        if not isinstance(record, dict) or not str(record.get("id", "")):
            raise DataError(f'data_path: {name}: no "id"; give the records as they were published')
        template = record.get("template")
        label = None if template is None else re.sub(r"[\[\]]", "", str(template))
        source = media.find(str(record["id"]), suffix=".webm")
        videos.append((VideoEntry(source=source, name=name), label))
    _require_videos(path, videos)
    maps = [path.with_name(name) for name in _SSV2_CLASSES if path.with_name(name).is_file()]
    return Listing(videos=videos, classes=read_class_names(maps[0]) if maps else None)


def read_ucf101(path: Path, media: MediaFolder) -> Listing:
    """Return the videos of `trainlist01.txt` or `testlist01.txt` and their like.

    A line is `Archery/v_Archery_g01_c01.avi`, in lists for training with the number of its class,
    from 1. The class is the folder, in both; `classInd.txt` beside the list numbers the classes.

    Raises:
        DataError: A line has another form, or its number and its folder disagree.

    Source: the action recognition splits of UCF101.
    """
    map_path = path.with_name(UCF101_CLASSES)
    classes = read_class_names(map_path) if map_path.is_file() else None
    numbered = dict(enumerate(classes or (), start=1))
    videos = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        name = f"{path}:{number}"
        found = _UCF101_LINE.fullmatch(line.strip())
        if found is None:
            raise DataError(
                f"data_path: {name}: no line of UCF101; write Class/v_Class_g01_c01.avi, maybe a "
                "space and the number of the class"
            )
        folder, written = found.groups()
        if numbered and written is not None and numbered.get(int(written)) != folder:
            raise DataError(
                f"data_path: {name}: the folder is {folder} but class {written} of {map_path} is "
                f"{numbered.get(int(written))}; use the classInd.txt that came with the list"
            )
        source = media.folder / line.split()[0]
        videos.append((VideoEntry(source=source, name=name), folder))
    _require_videos(path, videos)
    return Listing(videos=videos, classes=classes)


def read_breakfast(path: Path, media: MediaFolder, *, subset: str | None) -> Listing:
    """Return the videos of a Breakfast folder, searched through.

    Files are `P03/webcam01/P03_cereals.avi` or one name like `P03_webcam01_P03_cereals.avi`: person
    and activity are at the end. Of a stereo pair (`_ch0`, `_ch1`) only the first is taken.

    Published classification of the ten activities learns from P03-P46 and tests on P47-P54: that
    is "train" and "test". The data set's own four splits test on persons P03-P15 (s1), P16-P28
    (s2), P29-P41 (s3) and P42-P54 (s4): "train:s1", "test:s1" and so on.

    Args:
        path: The folder.
        media: Not needed.
        subset: "train" or "test", maybe with ":s1" to ":s4" or ":p47" (the default) behind it;
            None: all.

    Raises:
        DataError: A file has another name, or there is no video of the subset.

    Source: the splits in the data set's description. The order of the classes, the choice of
    channel and p47 are those of md-mohaiminul/ViS4mer, data/Breakfast, whose lists VideoMamba names
    as its own (OpenGVLab/VideoMamba, videomamba/video_sm/DATASET.md).
    """
    part, _, split = (subset or "").partition(":")
    tested = _BREAKFAST_TEST.get(split or "p47")
    if subset is not None and (part not in ("train", "test") or tested is None):
        raise DataError(
            f"subset is {subset!r}; Breakfast has train and test, alone (p47) or with one of "
            f"{', '.join(_BREAKFAST_TEST)} behind a colon"
        )
    videos = []
    for file in find_videos(path):
        found = _BREAKFAST_NAME.fullmatch(file.stem)
        if found is None:
            raise DataError(
                f"data_path: {file}: no name of Breakfast; call it like P03_cam01_P03_cereals.avi"
            )
        person, activity, channel = found.groups()
        is_tested = tested is not None and int(person) in tested
        if channel in (None, "0") and (subset is None or is_tested == (part == "test")):
            videos.append((VideoEntry(source=file, name=str(file)), activity))
    _require_videos(path, videos, subset=subset, found=_BREAKFAST_TEST)
    return Listing(videos=videos, classes=_BREAKFAST_CLASSES)


def read_coin(path: Path, media: MediaFolder, *, subset: str | None) -> Listing:
    """Return the videos of COIN.json.

    `{"database": {id: {"class": ..., "subset": ..., "recipe_type": 7, "start": 1, "end": 9}}}`
    with 180 classes, in the order of `recipe_type` where every record has it: those of the whole
    file, whatever the subset. The video is `{id}.mp4` in the media folder or below it in the folder
    of that number; of it the part from start to end is taken, as in ViS4mer.

    Args:
        path: COIN.json.
        media: Where the videos are.
        subset: "train" or "test"; None: all.

    Raises:
        DataError: It has another form, or no video of the subset.

    Source: coin-dataset/annotations, README.md and download_videos.py.
    """
    words = _subset_words(subset)
    value = read_json(path)
    records = value.get("database") if isinstance(value, dict) else None
    videos = []
    subsets = set()
    numbers: dict[str, Any] = {}
    for identity, record in (records if isinstance(records, dict) else {}).items():
        name = f"{path}[{identity}]"
        try:
            label, given = str(record["class"]), str(record["subset"])
            start, end = float(record["start"]), float(record["end"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"data_path: {name}: needs class, subset, start and end; give COIN.json as it is"
            ) from error
        number = numbers.setdefault(label, record.get("recipe_type"))
        subsets.add(given)
        if words is None or given in words:
            source = media.find(identity, places=[str(number)], suffix=".mp4")
            entry = VideoEntry(source=source, start_seconds=start, end_seconds=end, name=name)
            videos.append((entry, label))
    _require_videos(path, videos, subset=subset, found=subsets)
    numbered = all(isinstance(number, int) for number in numbers.values())
    classes = sorted(numbers, key=numbers.__getitem__ if numbered else None)
    return Listing(videos=videos, classes=tuple(classes))


PUBLISHED: Mapping[str, Callable[[Path, MediaFolder], Listing]] = {
    "ssv2": read_ssv2,
    "ucf101": read_ucf101,
}
"""Readers of layouts that have a list for each subset."""

PUBLISHED_WITH_SUBSETS: Mapping[str, Callable[..., Listing]] = {
    "breakfast": read_breakfast,
    "coin": read_coin,
    "kinetics": read_kinetics,
}
"""Readers that choose a `subset`, a keyword."""


def published_layouts(path: Path) -> list[str]:
    """Return the published layouts that the content of a file or folder fits, none or one.

    Raises:
        DataError: It cannot be read.
    """
    if path.is_dir():
        found = [_BREAKFAST_NAME.fullmatch(file.stem) for file in find_videos(path)]
        fits = all(match is not None and match[2] in _BREAKFAST_CLASSES for match in found)
        return ["breakfast"] if fits else []
    if path.suffix.lower() == ".json":
        value = read_json(path)
        records = value.get("database") if isinstance(value, dict) else None
        if isinstance(records, dict):
            fits = all(isinstance(item, dict) and "class" in item for item in records.values())
            return ["coin"] if fits else []
        first = value[0] if isinstance(value, list) and value else None
        fits = isinstance(first, dict) and "id" in first and "conversations" not in first
        return ["ssv2"] if fits else []
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if lines and set(_KINETICS_COLUMNS) <= set(lines[0].split(",")):
        return ["kinetics"]
    return ["ucf101"] if lines and all(map(_UCF101_LINE.fullmatch, lines)) else []


def _subset_words(subset: str | None) -> tuple[str, ...] | None:
    if subset is None:
        return None
    if subset not in _SUBSETS:
        raise DataError(f"subset is {subset!r}; give {', '.join(_SUBSETS)}, or leave it out")
    return _SUBSETS[subset]


def _require_videos(
    path: Path, videos: Sequence[object], *, subset: str | None = None, found: Iterable[str] = ()
) -> None:
    if videos:
        return
    if subset is None:
        raise DataError(f"data_path: no video in {path}; give the file as it was published")
    names = ", ".join(map(repr, sorted(found)))
    raise DataError(f"data_path: {path}: no video of {subset!r}; it has {names}: give one of them")
