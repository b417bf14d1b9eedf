"""Files of dialogues: JSON, JSON lines and Parquet, folders and patterns of them."""

import glob
import importlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from videollm.errors import DataError
from videollm.train.dialogue_turns import MalformedRecord

__all__ = ["find_lists", "read_values"]

_SUFFIXES = (".json", ".jsonl", ".parquet")


def find_lists(given: Sequence[str]) -> list[Path]:
    """Return the files behind paths, folders (their own files, sorted) and patterns.

    Raises:
        DataError: A path leads to no file.
    """
    found: list[Path] = []
    for item in given:
        path = Path(item).expanduser()
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES)
        elif not path.exists() and glob.has_magic(item):
            inside = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        else:
            inside = [path]
        if not inside:
            raise DataError(f"data_path: {item}: no file there; give {', '.join(_SUFFIXES)} files")
        found += inside
    return found


def read_values(path: Path) -> Iterator[tuple[str, object]]:
    """Yield the name and the raw value of each record of a file.

    A line that is not JSON comes as a `MalformedRecord`, for the caller to count. JSON lines are
    told from JSON by what the file holds.

    Raises:
        DataError: The file cannot be read, or is JSON but not a list.
    """
    if path.suffix.lower() == ".parquet":
        yield from _read_parquet(path)
        return
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"data_path: {path}: cannot be read ({error}); give a JSON file") from error
    if path.suffix.lower() == ".jsonl" or _is_lines(text):
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield f"{path}:{number}", _parse_line(line)
        return
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"data_path: {path} is not JSON ({error}); write a list, or one record a line"
        ) from error
    if not isinstance(values, list):
        raise DataError(f"data_path: {path} holds no list of records; write [{{...}}, {{...}}]")
    for number, value in enumerate(values):
        yield f"{path}[{number}]", value


def _is_lines(text: str) -> bool:
    """Return whether the first line is an object of its own and more follows."""
    first, _, rest = text.lstrip().partition("\n")
    if not first.startswith("{") or not rest.strip():
        return False
    return isinstance(_parse_line(first), dict)


def _parse_line(line: str) -> object:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        return MalformedRecord(f"not JSON: {error}")


def _read_parquet(path: Path) -> Iterator[tuple[str, object]]:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DataError(f"data_path: {path}: needs pyarrow; pip install datasets") from error
    try:
        batches = parquet.ParquetFile(path).iter_batches()
        values = [value for batch in batches for value in batch.to_pylist()]
    except (OSError, ValueError) as error:  # pyarrow's own errors are of these kinds
        detail = " ".join(str(error).split())
        raise DataError(f"data_path: {path}: cannot be read ({detail}); write it again") from error
    for number, value in enumerate(values):
        yield f"{path}[{number}]", value
