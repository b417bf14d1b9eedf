"""Videos as lists name them, and how their labels become numbers.

A reader of any layout returns a `Listing`: entries, each with its label as it stands there, and the
order of the classes where the layout fixes one. `number_labels` turns the labels into numbers.
Which layouts there are is not known here.
"""

import difflib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from videollm.errors import DataError
from videollm.train.video_shards import VIDEO_SUFFIXES, ShardMember

__all__ = [
    "Label",
    "Listing",
    "MediaFolder",
    "VideoEntry",
    "find_videos",
    "number_labels",
    "parse_label",
    "read_class_names",
    "read_json",
    "read_text",
]

# Without a label map the highest label tells how many classes there are; more is a mistake.
_MAX_UNNAMED_CLASSES = 100_000

Label = str | int
"""A class name, or the number of a class, from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoEntry:
    """Hold one video of a list.

    Args:
        source: The file, or its place in a shard.
        label: Number of its class, from 0; None for pretraining.
        start_seconds: Where the part of the video begins; None: at its start.
        end_seconds: Where it ends; None: at its end.
        name: What messages and reports call it: list file and line, or the path.
    """

    source: Path | ShardMember
    label: int | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None
    name: str

    @property
    def clip_name(self) -> str:
        """What a cache calls it: the video and its part, wherever in a list it stands."""
        if self.start_seconds is None and self.end_seconds is None:
            return str(self.source)
        return f"{self.source}[{self.start_seconds}:{self.end_seconds}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Hold what one path says.

    Args:
        videos: Entries without a number, each with its label as written, or None.
        classes: The layout's own class names in order; None where it has none.
    """

    videos: Sequence[tuple[VideoEntry, Label | None]]
    classes: tuple[str, ...] | None = None


class MediaFolder:
    """Find videos by their name without its suffix; every folder is listed only once.

    Args:
        folder: Where the videos are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._listed: dict[Path, dict[str, str]] = {}

    def find(self, stem: str, *, places: Sequence[str] = (), suffix: str) -> Path:
        """Return the video of a name, or where it should be.

        Args:
            stem: File name without suffix.
            places: Sub-folders to look in, after the folder itself.
            suffix: What a missing file is called.
        """
        for place in ("", *places):
            folder = self.folder / place
            name = self._names(folder).get(stem)
            if name is not None:
                return folder / name
        return self.folder / f"{stem}{suffix}"

    def _names(self, folder: Path) -> dict[str, str]:
        if folder not in self._listed:
            names = sorted(os.listdir(folder), reverse=True) if folder.is_dir() else []
            parts = ((os.path.splitext(name), name) for name in names)
            videos = {stem: name for (stem, end), name in parts if end.lower() in VIDEO_SUFFIXES}
            self._listed[folder] = videos
        return self._listed[folder]


def find_videos(folder: Path) -> list[Path]:
    """Return the video files of a folder, searched through, in natural order (2 before 10).

    Hidden files and folders are passed over.

    Raises:
        DataError: There is none.
    """
    found = []
    for path in folder.rglob("*"):
        inside = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in inside)
        if not hidden and path.suffix.lower() in VIDEO_SUFFIXES:
            found.append((tuple(map(_natural_key, inside)), inside, path))
    if not found:
        raise DataError(f"data_path: no video in {folder}; give a folder with video files")
    return [path for *_, path in sorted(found)]


def _natural_key(text: str) -> str:
    return re.sub("[0-9]+", lambda digits: digits[0].zfill(20), text.lower())


def read_text(path: Path) -> str:
    """Return the text of a list.

    Raises:
        DataError: It cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = f"cannot be read ({error.strerror}); check the path"
    except UnicodeDecodeError:
        reason = "is no text in UTF-8; convert it, or give a video with a usual suffix"
    raise DataError(f"{path}: {reason}")


def read_json(path: Path) -> object:
    """Return what a JSON file holds.

    Raises:
        DataError: It cannot be read, or is not JSON.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: not JSON ({error}); mend it or download it again") from error


def parse_label(text: str) -> Label:
    """Return the label of a list's cell: the number of a class if it is an integer, else a name."""
    return int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else text


def read_class_names(path: Path) -> tuple[str, ...]:
    """Return the class names of a label map, in order.

    A text file has a name a line, or a number and a name (`1 Archery`) with the numbers rising by
    one from 0 or 1. JSON is a list of names, or an object of names to numbers or numbers to names.

    Raises:
        DataError: It cannot be read, is no label map, or has a name twice.
    """
    if path.suffix.lower() == ".json":
        names = _json_names(path)
    else:
        lines = [line.strip() for line in read_text(path).splitlines()]
        names = _without_numbers([line for line in lines if line])
    if not names:
        raise DataError(f"{path}: empty; write one class name a line")
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise DataError(f"{path}: has {twice!r} twice; give each class a name of its own")
    return tuple(names)


def _json_names(path: Path) -> list[str]:
    value = read_json(path)
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return value
    if isinstance(value, dict):
        pairs = [(str(item), key) for key, item in value.items()]
        if not all(number.isdecimal() for number, _ in pairs):
            pairs = [(key, str(item)) for key, item in value.items()]
        if all(number.isdecimal() for number, _ in pairs):
            names = {int(number): name for number, name in pairs}
            if sorted(names) == list(range(len(value))):
                return [names[number] for number in range(len(value))]
    raise DataError(
        f"{path}: no label map; give a list of names, or an object of names to the "
        "numbers 0, 1, 2, ... without a gap"
    )


def _without_numbers(lines: list[str]) -> list[str]:
    found = [re.fullmatch(r"([0-9]+)\s+(.+)", line) for line in lines]
    pairs = [(int(match[1]), match[2]) for match in found if match is not None]
    for first in (0, 1):
        if [number for number, _ in pairs] == list(range(first, first + len(lines))):
            return [name for _, name in pairs]
    return lines


def number_labels(
    videos: Sequence[tuple[VideoEntry, Label | None]], classes: Sequence[str] | None
) -> tuple[tuple[VideoEntry, ...], tuple[str, ...]]:
    """Return the entries with the numbers of their classes, and the names of the classes.

    Args:
        videos: Entries with their labels as written.
        classes: The names in order. None: the names found, sorted; for numbers "0" to the highest.

    Raises:
        DataError: A label is missing, unknown or out of range; names and numbers are mixed without
            a map; there is only one class; or a video has two labels.
    """
    labelled: list[tuple[VideoEntry, Label]] = []
    for entry, label in videos:
        if label is None:
            raise DataError(
                f"data_path: {entry.name}: no label; write path,label, or sort the videos into a "
                "folder for each class"
            )
        labelled.append((entry, label))
    names = tuple(_found_names(labelled) if classes is None else classes)
    places = {name: place for place, name in enumerate(names)}
    entries = tuple(
        replace(entry, label=_class_number(entry, label, places)) for entry, label in labelled
    )
    if len({entry.label for entry in entries}) == 1:
        raise DataError(
            f"data_path: every label is {names[entries[0].label or 0]!r}; classification needs two "
            "classes or more: give videos of another class too"
        )
    _refuse_two_labels(entries, names)
    return entries, names


def _found_names(videos: Sequence[tuple[VideoEntry, Label]]) -> list[str]:
    texts = {label: entry for entry, label in videos if isinstance(label, str)}
    numbers = {label: entry for entry, label in videos if isinstance(label, int)}
    if texts and numbers:
        (text, named), (number, numbered) = next(iter(texts.items())), next(iter(numbers.items()))
        raise DataError(
            f"data_path: {named.name} has the class name {text!r} and {numbered.name} the number "
            f"{number}; give a label map as classes, or write all labels in one way"
        )
    highest = max((0, *numbers))
    if highest >= _MAX_UNNAMED_CLASSES:
        raise DataError(
            f"data_path: {numbers[highest].name}: label {highest}; without a label map labels end "
            f"at {_MAX_UNNAMED_CLASSES - 1}: check the column, or give classes"
        )
    return sorted(texts) if texts else [str(number) for number in range(highest + 1)]


def _class_number(entry: VideoEntry, label: Label, places: dict[str, int]) -> int:
    if isinstance(label, str):
        if label in places:
            return places[label]
        nearest = difflib.get_close_matches(label, places, n=1, cutoff=0.0)[0]
        raise DataError(
            f"data_path: {entry.name}: no class is called {label!r}; the nearest of the "
            f"{len(places)} is {nearest!r}: mend the label, or give the list's own label map"
        )
    if 0 <= label < len(places):
        return label
    raise DataError(
        f"data_path: {entry.name}: label {label} is outside 0..{len(places) - 1}; count classes "
        "from 0, and give the label map that the list was made with"
    )


def _refuse_two_labels(entries: Sequence[VideoEntry], names: Sequence[str]) -> None:
    first: dict[object, VideoEntry] = {}
    for entry in entries:
        other = first.setdefault((entry.source, entry.start_seconds, entry.end_seconds), entry)
        if other.label != entry.label:
            labels = f"{names[other.label or 0]!r} and {names[entry.label or 0]!r}"
            raise DataError(
                f"data_path: {other.name} and {entry.name} give {entry.source} the labels {labels}"
                "; keep one"
            )
