"""Plain text lists of videos.

A line is `path`, `path,label` or `path,label,start,end` in seconds, of which one may be empty. The
separator is one for the whole list: a tab where there is one, else a comma, else a space; only with
spaces the paths may hold none. Cells may be quoted as in csv. A label of digits is the number of a
class, from 0; any other is its name. Blank lines, lines that begin with # and a header `path,label`
are passed over.

Source: the lists of VideoMamba and UMT, path,label with a chosen separator; the times are ours.
"""

import csv
import math
from pathlib import Path

from videollm.errors import DataError
from videollm.train.video_entries import Label, Listing, VideoEntry, parse_label, read_text
from videollm.train.video_shards import VIDEO_SUFFIXES

__all__ = ["read_list"]

_SEPARATORS = ("\t", ",", " ")
_HEADER = (("file", "filename", "path", "video"), ("class", "label"))


def read_list(path: Path, base: Path) -> Listing:
    """Return the videos of a text list.

    Args:
        path: The list.
        base: Where its relative paths start.

    Raises:
        DataError: A line cannot be read, or there is none.
    """
    lines = [
        (number, line.strip())
        for number, line in enumerate(read_text(path).splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    separator = next((mark for mark in _SEPARATORS if any(mark in line for _, line in lines)), ",")
    videos: list[tuple[VideoEntry, Label | None]] = []
    for number, line in lines:
        cells = _cells(line, separator)
        if not videos and _is_header(cells):
            continue
        videos.append(_parse_line(f"{path}:{number}", cells, base))
    if not videos:
        raise DataError(f"data_path: no video in {path}; write one path a line")
    return Listing(videos=videos)


def _cells(line: str, separator: str) -> list[str]:
    if separator == " " and Path(line).suffix.lower() in VIDEO_SUFFIXES:
        return [line]
    row = next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    return [cell.strip() for cell in row]


def _is_header(cells: list[str]) -> bool:
    return all(cell.lower() in words for cell, words in zip(cells, _HEADER, strict=False))


def _parse_line(name: str, cells: list[str], base: Path) -> tuple[VideoEntry, Label | None]:
    file, label, start, end = (*cells, *[""] * 4)[:4]
    if not file:
        raise DataError(f"data_path: {name}: no path; write path,label")
    if any(Path(cell).suffix.lower() in VIDEO_SUFFIXES for cell in cells[1:]):
        raise DataError(
            f"data_path: {name}: more than one path in {cells}; put a path that holds a space or a "
            "comma in quotes"
        )
    if len(cells) == 3 or len(cells) > 4:
        raise DataError(
            f"data_path: {name}: {len(cells)} columns; write path, path,label or "
            "path,label,start,end, with names that hold a separator in quotes"
        )
    times = [_seconds(name, cell) for cell in (start, end)]
    if times[1] is not None and times[1] <= (times[0] or 0.0):
        raise DataError(f"data_path: {name}: ends at {end} s, not after its start; mend the times")
    entry = VideoEntry(source=base / file, start_seconds=times[0], end_seconds=times[1], name=name)
    return entry, parse_label(label) if label else None


def _seconds(name: str, cell: str) -> float | None:
    if not cell:
        return None
    try:
        seconds = float(cell)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise DataError(f"data_path: {name}: {cell!r} is no time; give seconds of 0 or more")
    return seconds
