"""Records from annotation files: JSON, JSON lines, CSV, Parquet, or lines that a pattern reads.

Every record knows where it stands, and what cannot be read is told with its number.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videollm.errors import DataError
from videollm.eval.spec_file import SplitFiles

__all__ = ["Record", "find_annotations", "read_records"]


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """Hold one record of an annotation file.

    Args:
        values: Its fields, with `file` and `row`.
        where: The file and the number of the line or record, for messages.
    """

    values: Mapping[str, Any]
    where: str


def find_annotations(split: SplitFiles, folder: Path) -> tuple[list[Path], list[str]]:
    """Return a split's annotation files, and those of its patterns that name none.

    Args:
        split: Names the files.
        folder: The folder of annotations.
    """
    found: list[Path] = []
    missing: list[str] = []
    for name in (*split.files, *([split.join] if split.join else [])):
        paths = sorted(folder.glob(name)) if "*" in name else [folder / name]
        there = [path for path in paths if path.is_file()]
        found += there
        if not there:
            missing.append(name)
    return found, missing


def read_records(split: SplitFiles, folder: Path) -> list[Record]:
    """Return all records of a split, in the order of its files.

    Args:
        split: Names the files and their layout.
        folder: The folder of annotations.

    Raises:
        DataError: A file is missing or cannot be read; the message has the number of the line.
    """
    paths, missing = find_annotations(split, folder)
    if missing:
        raise DataError(
            f"{folder / missing[0]} is not there; put the annotation files there, or name their "
            "folder with --annotations (--check lists what is missing)"
        )
    joined = _read_joined(split, folder) if split.join else None
    records: list[Record] = []
    for path in paths[: len(paths) - bool(split.join)]:
        for row, (number, values) in enumerate(_read_file(path, split)):
            where = f"{path}: {number}"
            if joined is not None:
                values = {**_match(joined, values, split, where), **values}
            records.append(Record({**values, "file": path.stem, "row": row}, where))
    return records


def _read_joined(split: SplitFiles, folder: Path) -> dict[Any, dict[str, Any]]:
    path = folder / split.join
    return {values.get(split.on): values for _, values in _read_file(path, split)}


def _match(
    joined: dict[Any, dict[str, Any]], values: dict[str, Any], split: SplitFiles, where: str
) -> dict[str, Any]:
    key = values.get(split.on)
    if key not in joined:
        raise DataError(f"{where}: {split.join} has nothing for {split.on} {key!r}")
    return joined[key]


def _read_file(path: Path, split: SplitFiles) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place and the fields of each record of a file."""
    readers = {".json": _read_json, ".jsonl": _read_json_lines, ".csv": _read_csv}
    if path.suffix == ".parquet":
        records = _read_parquet(path)
    elif split.pattern:
        records = _read_lines(path, split.pattern)
    elif path.suffix in readers:
        records = readers[path.suffix](path, split)
    else:
        raise DataError(
            f"{path} is of no known kind; give .json, .jsonl, .csv, .parquet, or a pattern"
        )
    for number, values in records:
        if not isinstance(values, dict):
            raise DataError(f"{path}: {number} is not an object but {type(values).__name__}")
        yield number, values


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text ({error})") from error


def _read_json(path: Path, split: SplitFiles) -> Iterator[tuple[str, Any]]:
    try:
        content = json.loads(_read_text(path))
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); fetch it again") from error
    flat = list(_descend(content, split, {}, path))
    yield from ((f"record {number}", values) for number, values in enumerate(flat, start=1))


def _descend(
    content: Any,  # noqa: ANN401 (JSON values)
    split: SplitFiles,
    names: dict[str, str],
    path: Path,
) -> Iterator[Any]:
    if len(names) < len(split.levels):
        if not isinstance(content, dict):
            raise DataError(f"{path}: expected an object by {split.levels[len(names)]}")
        for key, below in content.items():
            yield from _descend(below, split, {**names, split.levels[len(names)]: key}, path)
        return
    if split.list:
        content = content.get(split.list) if isinstance(content, dict) else None
    if isinstance(content, dict) and names:
        content = [content]
    if not isinstance(content, list):
        raise DataError(f"{path}: expected a list of records, found {type(content).__name__}")
    for values in content:
        yield {**names, **values} if isinstance(values, dict) else values


def _read_json_lines(path: Path, _split: SplitFiles) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield f"line {number}", json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}: line {number} is not JSON ({error}); mend it") from error


def _read_csv(path: Path, _split: SplitFiles) -> Iterator[tuple[str, Any]]:
    reader = csv.DictReader(io.StringIO(_read_text(path), newline=""))
    for values in reader:
        if None in values or None in values.values():
            raise DataError(
                f"{path}: line {reader.line_num} does not have the {len(reader.fieldnames or ())} "
                "columns of the first line; mend it"
            )
        yield f"line {reader.line_num}", values


def _read_lines(path: Path, pattern: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(_read_text(path).rstrip().split("\n"), start=1):
        match = re.fullmatch(pattern, line.strip())
        if match is None:
            raise DataError(f"{path}: line {number} does not fit {pattern!r}; mend it")
        yield f"line {number}", match.groupdict()


def _read_parquet(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError as error:
        raise DataError(
            f"{path} needs pyarrow: run pip install 'videollm[eval]', or pip install -e '.[eval]' "
            "in a checkout"
        ) from error
    try:
        rows = parquet.read_table(path).to_pylist()
    except (OSError, ArrowInvalid) as error:
        raise DataError(f"{path} is not Parquet ({error}); fetch it again") from error
    yield from ((f"record {number}", values) for number, values in enumerate(rows, start=1))
