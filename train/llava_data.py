r"""LLaVA JSON and JSONL: records of one video (or image) and a conversation about it.

    {"id": "a", "video": "clips/a.mp4", "start": 1.5, "end": 4,
     "conversations": [{"from": "human", "value": "<video>\nWhat happens?"},
                       {"from": "gpt", "value": "A ball rolls."}]}

Everything that can be told without decoding is checked before training starts.
Source: the data format of LLaVA-VL/LLaVA-NeXT; it writes the tag <image> for videos as well.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from videollm.clip import Clip
from videollm.config import VIDEO_TOKEN
from videollm.errors import DataError
from videollm.sampling import load_clip
from videollm.train.decoding import open_video
from videollm.train.examples import BadSamples, Dialogue, Example, first_readable

__all__ = ["LlavaDialogues", "LlavaRecord", "MalformedRecord", "parse_record", "read_records"]

_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
}
_TAG = re.compile(r"\s*<(?:video|image)>\s*")


class MalformedRecord(Exception):  # noqa: N818 - it is not an error of the run, which goes on
    """Say why a record cannot be used."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LlavaRecord:
    """Hold one usable record.

    Args:
        name: File and place in it, for reports.
        media: Video or image; None for text alone.
        start_seconds: Where the part of the video begins; None: at its start.
        end_seconds: Where it ends; None: at its end.
        dialogue: The conversation, the medium in its first user message.
    """

    name: str
    media: Path | None
    start_seconds: float | None
    end_seconds: float | None
    dialogue: Dialogue


def read_records(path: Path) -> Iterator[tuple[str, object]]:
    """Yield the name and the raw value of each record of a JSON or JSONL file.

    A line of JSONL that is not JSON comes as a `MalformedRecord`, for the caller to count.

    Raises:
        DataError: The file is missing, or is JSON but not a list.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"data_path: {path}: cannot be read ({error}); give a JSON file") from error
    if path.suffix.lower() == ".jsonl":
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                yield f"{path}:{number}", _parse_line(line)
        return
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"data_path: {path} is not JSON ({error}); one record a line goes into a .jsonl file"
        ) from error
    if not isinstance(values, list):
        raise DataError(f"data_path: {path} holds no list of records; write [{{...}}, {{...}}]")
    for number, value in enumerate(values):
        yield f"{path}[{number}]", value


def _parse_line(line: str) -> object:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        return MalformedRecord(f"not JSON: {error}")


def parse_record(name: str, value: object, media_folder: Path) -> LlavaRecord:
    """Return a record, checked as far as it can be without opening its video.

    Raises:
        MalformedRecord: It cannot be used; the message says why.
    """
    if isinstance(value, MalformedRecord):
        raise value
    if not isinstance(value, Mapping):
        raise MalformedRecord(f"a {type(value).__name__} instead of a record")
    media = _media(value, media_folder)
    start, end = _seconds(value, "start"), _seconds(value, "end")
    if end is not None and end <= (start or 0.0):
        raise MalformedRecord(f"the part ends at {end:g} s, not after its start {start or 0:g} s")
    turns = value.get("conversations")
    if not isinstance(turns, list) or not turns:
        raise MalformedRecord("no list of conversations")
    return LlavaRecord(
        name=name,
        media=media,
        start_seconds=start,
        end_seconds=end,
        dialogue=_dialogue(turns, has_media=media is not None),
    )


def _media(value: Mapping[str, Any], folder: Path) -> Path | None:
    given = value.get("video", value.get("image"))
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if given is None:
        return None
    if not isinstance(given, str):
        raise MalformedRecord(f"video is {given!r}; one path is supported")
    path = folder / given
    if not path.exists():
        raise MalformedRecord(f"missing media {path}")
    return path


def _seconds(value: Mapping[str, Any], key: str) -> float | None:
    seconds = value.get(key)
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        raise MalformedRecord(f"{key} is {seconds!r}; seconds of 0 or more are expected")
    return float(seconds)


def _dialogue(turns: Sequence[object], *, has_media: bool) -> Dialogue:
    messages: list[dict[str, Any]] = []
    tags = 0
    for turn in turns:
        if not isinstance(turn, Mapping) or not isinstance(turn.get("value"), str):
            raise MalformedRecord("a turn without 'from' and 'value'")
        role = _ROLES.get(str(turn.get("from")))
        if role is None:
            raise MalformedRecord(f"unknown speaker {turn.get('from')!r}")
        text, found = _TAG.subn("\n", turn["value"])
        if found and role != "user":
            raise MalformedRecord("a <video> tag outside a human turn")
        if VIDEO_TOKEN in text:
            raise MalformedRecord(f"{VIDEO_TOKEN} in a text; it stands for video frames")
        tags += found
        messages.append({"role": role, "content": text.strip()})
    if tags > int(has_media):
        raise MalformedRecord(f"{tags} media tags for {int(has_media)} media")
    roles = [message["role"] for message in messages if message["role"] != "system"]
    expected = ["user", "assistant"] * (len(roles) // 2)
    if not roles or roles != expected:
        raise MalformedRecord("turns must alternate human, gpt, human, gpt, ...")
    if any(not message["content"] for message in messages if message["role"] == "assistant"):
        raise MalformedRecord("an empty answer")
    if has_media:
        first = next(message for message in messages if message["role"] == "user")
        first["content"] = [{"type": "video"}, {"type": "text", "text": first["content"]}]
    return tuple(messages)


class LlavaDialogues(Dataset[Example]):
    """The usable records of LLaVA files.

    Args:
        paths: JSON or JSONL files.
        media_folder: Where relative media paths start; None: beside the file that names them.
        num_frames: Frames of a clip, spread over the video or its part.
        output: Folder for the report on bad samples.
        max_bad: Largest share of bad samples, 0 to 1.
        decode_seconds: As `videollm.train.decoding.open_video` takes it.

    Raises:
        DataError: A file cannot be read, too many records are bad, or none is left.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        media_folder: Path | None,
        num_frames: int,
        output: Path,
        max_bad: float,
        decode_seconds: float | None = None,
    ) -> None:
        self.num_frames = num_frames
        self.decode_seconds = decode_seconds
        raw = [(path, name, value) for path in paths for name, value in read_records(path)]
        self.bad = BadSamples(output, num_samples=len(raw), max_share=max_bad)
        self.records: list[LlavaRecord] = []
        for path, name, value in raw:
            try:
                self.records.append(parse_record(name, value, media_folder or path.parent))
            except MalformedRecord as reason:
                self.bad.add(name, str(reason))
        self.bad.check()
        if not self.records:
            raise DataError(f"data_path: no usable record in {', '.join(map(str, paths))}")

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Example:
        """Return record `index`, or the next one whose video can be read.

        Raises:
            DataError: Too many videos cannot be read.
            IndexError: There is no such record.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        record, clip = first_readable(
            self.records, index, load=self._load, name=lambda item: item.name, bad=self.bad
        )
        return Example(clip, (record.dialogue,))

    def _load(self, record: LlavaRecord) -> Clip | None:
        if record.media is None:
            return None
        with open_video(record.media, self.decode_seconds) as reader:
            return load_clip(
                reader,
                num_frames=self.num_frames,
                start_seconds=record.start_seconds,
                end_seconds=record.end_seconds,
            )
