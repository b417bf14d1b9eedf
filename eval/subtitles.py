"""The lines of subtitles that are spoken while a sampled frame is shown."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from videollm.clip import Clip
from videollm.errors import DataError
from videollm.eval.task import SUBTITLES, Example

__all__ = ["Line", "place_subtitles", "read_subtitles"]

_CLOCK = r"(\d+):(\d\d):(\d\d(?:[.,]\d+)?)"
_SPAN = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}.*")
_MARKUP = re.compile(r"<[^>]*>|\{\\[^}]*\}")


@dataclass(frozen=True, slots=True)
class Line:
    """Hold one line of subtitles.

    Args:
        start_seconds: When it appears.
        end_seconds: When it goes.
        text: What it says.
    """

    start_seconds: float
    end_seconds: float
    text: str


def place_subtitles(example: Example, clip: Clip) -> Example:
    """Return the question with the lines that cover the clip's frames in their place.

    A line is told once, in the order of time, where any frame is shown while it is. A missing
    file is an error: a question with subtitles is another question without them.

    Args:
        example: One without subtitles is returned as it is.
        clip: The frames with their times.

    Raises:
        DataError: The file is missing or malformed.
    """
    if not example.subtitles:
        return example
    lines = read_subtitles(Path(example.subtitles))
    times = clip.pts_seconds.tolist()
    spoken = [
        line.text
        for line in lines
        if any(line.start_seconds <= time <= line.end_seconds for time in times)
    ]
    text = "\n".join(dict.fromkeys(spoken)) or "(no words while these frames are shown)"
    return replace(example, question=example.question.replace(SUBTITLES, text))


@lru_cache(maxsize=64)
def read_subtitles(path: Path) -> Sequence[Line]:
    """Return the lines of a file in SubRip's form, or in LongVideoBench's JSON.

    Args:
        path: The file: `.srt`, or `.json` with a list of {"start", "end", "line"} or of
            {"timestamp": [start, end], "text"}.

    Raises:
        DataError: It is missing or malformed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise DataError(f"the subtitles {path} cannot be read ({error.strerror})") from error
    if path.suffix != ".json":
        return tuple(_read_srt(text))
    try:
        return tuple(_read_json_line(values) for values in json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds no lines of subtitles ({error})") from error


def _read_srt(text: str) -> list[Line]:
    lines: list[Line] = []
    for block in re.split(r"\n\s*\n", text.replace("\r", "")):
        rows = block.strip().split("\n")
        place = next((i for i, row in enumerate(rows) if _SPAN.fullmatch(row)), None)
        if place is None:
            continue
        span = _SPAN.fullmatch(rows[place])
        assert span is not None, "it was found above"
        said = " ".join(_MARKUP.sub("", row).strip() for row in rows[place + 1 :]).strip()
        if said:
            lines.append(Line(_seconds(*span.groups()[:3]), _seconds(*span.groups()[3:6]), said))
    return lines


def _read_json_line(values: dict[str, Any]) -> Line:
    if "timestamp" in values:
        first, last = values["timestamp"]
        return Line(float(first), float(last), str(values["text"]).strip())
    start, end = _clock(str(values["start"])), _clock(str(values["end"]))
    return Line(start, end, str(values["line"]).strip())


def _clock(text: str) -> float:
    match = re.fullmatch(_CLOCK, text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a time")
    return _seconds(*match.groups())


def _seconds(hours: str, minutes: str, seconds: str) -> float:
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds.replace(",", "."))
