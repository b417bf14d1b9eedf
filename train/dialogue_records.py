r"""Records of media and a conversation about them: LLaVA, Hugging Face messages, streams.

    {"video": "clips/a.mp4", "start": 1.5, "end": 4,
     "conversations": [{"from": "human", "value": "<video>\nWhat happens?"},
                       {"from": "gpt", "value": "A ball rolls."}]}
    {"messages": [{"role": "user", "content": [{"type": "video", "video": "clips/a.mp4"},
                                               {"type": "text", "text": "What happens?"}]},
                  {"role": "assistant", "content": "A ball rolls."}]}
    {"video": "clips/a.mp4", "stream": true,
     "conversation": [{"role": "user", "content": "What now?", "time": 3},
                      {"role": "assistant", "content": "A ball rolls."}]}

Each record is told by its own fields. What can be told without decoding is checked here.
Source: the data format of LLaVA-VL/LLaVA-NeXT, which writes the tag <image> for videos as well;
the streams of DAMO-NLP-SG/VideoLLaMA3.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from videollm.train.dialogue_turns import (
    Kind,
    MalformedRecord,
    Place,
    Turn,
    check_order,
    read_seconds,
    read_turns,
    to_dialogue,
)
from videollm.train.examples import Dialogue

__all__ = ["Medium", "MissingMedium", "Record", "parse_record"]

# Long enough for the frame on show, too short for the next one.
_INSTANT_SECONDS = 1e-6

_CONVERSATIONS = ("conversations", "messages", "conversation")


class MissingMedium(MalformedRecord):
    """Say that a file is not there.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(f"missing media {path}")
        self.path = path


@dataclass(frozen=True, kw_only=True, slots=True)
class Medium:
    """Hold a video, a part of one, or an image.

    Args:
        kind: An image is one frame.
        path: The file.
        start_seconds: Where the part begins; None: at its start.
        end_seconds: Where it ends; None: at its end.
        share: Of the frames that a video gets, above 0 and up to 1; below 1 in streams.
    """

    kind: Kind
    path: Path
    start_seconds: float | None = None
    end_seconds: float | None = None
    share: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """Hold one usable record.

    Args:
        name: File and place in it, for reports.
        media: In the order of the dialogue's video parts.
        dialogue: The conversation.
        rejected: The same one with the answer that is not wanted; None where there is no pair.
        is_stream: Whether its media are the parts of one video between its answers.
    """

    name: str
    media: tuple[Medium, ...]
    dialogue: Dialogue
    rejected: Dialogue | None = None
    is_stream: bool = False

    @property
    def dialogues(self) -> tuple[Dialogue, ...]:
        """The conversation; of a pair the wanted one first."""
        return (self.dialogue,) if self.rejected is None else (self.dialogue, self.rejected)

    @property
    def kind(self) -> str:
        """What a report counts it as: text, image, video, both or stream."""
        kinds = {medium.kind for medium in self.media}
        if self.is_stream or not kinds:
            return "stream" if self.is_stream else "text"
        return "both" if len(kinds) > 1 else kinds.pop()


def parse_record(name: str, value: object, media_folder: Path) -> Record:
    """Return a record, checked as far as it can be without opening its media.

    Raises:
        MalformedRecord: It cannot be used; the message says why.
    """
    if isinstance(value, MalformedRecord):
        raise value
    if not isinstance(value, Mapping):
        raise MalformedRecord(f"a {type(value).__name__} instead of a record")
    # Tables fill the fields that a record does not have with null.
    value = {key: item for key, item in value.items() if item is not None}
    if {"chosen", "rejected"} <= value.keys() and not any(key in value for key in _CONVERSATIONS):
        raise MalformedRecord("a pair of answers (chosen, rejected): it is for dataset: pairs")
    turns = read_turns(next((value[key] for key in _CONVERSATIONS if key in value), None))
    listed = _listed(value)
    is_stream = bool(value.get("stream")) or any(turn.time_seconds is not None for turn in turns)
    if is_stream:
        turns, media = _stream(turns, listed)
    else:
        turns, media = _bind(turns, listed)
    check_order(turns)
    return Record(
        name=name,
        media=tuple(_checked(medium, media_folder) for medium in media),
        dialogue=to_dialogue(turns),
        is_stream=is_stream,
    )


def _checked(medium: Medium, folder: Path) -> Medium:
    start, end = medium.start_seconds, medium.end_seconds
    if end is not None and end <= (start or 0.0):
        raise MalformedRecord(f"the part ends at {end:g} s, not after its start {start or 0:g} s")
    path = folder / medium.path
    if not os.path.exists(path):
        raise MissingMedium(path)
    return replace(medium, path=path)


def _listed(value: Mapping[str, Any]) -> list[Medium]:
    """Return the media that a record lists beside its turns, videos first."""
    videos, images = _paths(value, "video"), _paths(value, "image")
    starts = _bounds(value, ("start", "start_time"), len(videos))
    ends = _bounds(value, ("end", "end_time"), len(videos))
    return [
        *(
            Medium(kind="video", path=path, start_seconds=start, end_seconds=end)
            for path, start, end in zip(videos, starts, ends, strict=True)
        ),
        *(Medium(kind="image", path=path) for path in images),
    ]


def _paths(value: Mapping[str, Any], kind: Kind) -> list[Path]:
    given: object = next((value[key] for key in (kind, f"{kind}s") if key in value), [])
    items = given if isinstance(given, list) else [given]
    paths = [Path(item) for item in items if isinstance(item, str) and item]
    if len(paths) != len(items):
        raise MalformedRecord(f"{kind} is {str(given)[:80]}; a path or a list of paths is expected")
    return paths


def _bounds(value: Mapping[str, Any], names: Sequence[str], count: int) -> list[float | None]:
    """Return a bound for each of `count` videos, from one number for all or a list."""
    name = next((name for name in names if name in value), names[0])
    given = value.get(name)
    if not isinstance(given, list):
        return [read_seconds(value, name)] * count
    if len(given) != count:
        raise MalformedRecord(f"{len(given)} numbers in {name} for {count} videos")
    return [read_seconds({name: item}, name) for item in given]


def _bind(turns: Sequence[Turn], listed: Sequence[Medium]) -> tuple[list[Turn], list[Medium]]:
    """Return the turns and the media of their places, in order.

    Places that name no file take the listed media in turn, each its own kind where both are
    listed. Without any place the media go before the first question.
    """
    free = [place for turn in turns for place in turn.places if place.path is None]
    if listed and not any(turn.places for turn in turns):
        first = next((number for number, turn in enumerate(turns) if turn.role == "user"), None)
        if first is None:
            return list(turns), []
        places = tuple(Place(kind=medium.kind) for medium in listed)
        return [
            replace(turn, places=places) if number == first else turn
            for number, turn in enumerate(turns)
        ], list(listed)
    one_kind = len({medium.kind for medium in listed}) == 1
    kinds: tuple[Kind, ...] = ("video", "image")
    matches = (
        len(free) == len(listed)
        if one_kind
        else all(
            sum(place.kind == kind for place in free) == sum(item.kind == kind for item in listed)
            for kind in kinds
        )
    )
    if not matches:
        raise MalformedRecord(
            f"{len(free)} media tags for {len(listed)} media{_detail(free, listed)}"
        )
    waiting = list(listed)
    media = []
    for place in (place for turn in turns for place in turn.places):
        if place.path is None:
            fits = next(item for item in waiting if one_kind or item.kind == place.kind)
            waiting.remove(fits)
            media.append(fits)
        else:
            media.append(
                Medium(
                    kind=place.kind,
                    path=Path(place.path),
                    start_seconds=place.start_seconds,
                    end_seconds=place.end_seconds,
                )
            )
    return list(turns), media


def _detail(free: Sequence[Place], listed: Sequence[Medium]) -> str:
    if len(free) != len(listed):
        return ""
    tags, videos = (sum(item.kind == "video" for item in items) for items in (free, listed))
    return f": {tags} tags and {videos} media are videos, the others images"


def _stream(turns: Sequence[Turn], listed: Sequence[Medium]) -> tuple[list[Turn], list[Medium]]:
    """Return a stream's turns, before each answer the frames since the last one, until its time.

    A turn without a time is said when the one before it is. An answer that follows an answer gets
    a human turn of frames alone.
    """
    if len(listed) != 1 or listed[0].kind != "video" or any(turn.places for turn in turns):
        raise MalformedRecord(f"a stream of {len(listed)} media; one video without tags is allowed")
    video = listed[0]
    start, end = video.start_seconds or 0.0, video.end_seconds
    now: float | None = None
    seen: float | None = None
    built: list[Turn] = []
    spans: list[tuple[float, float]] = []
    for turn in turns:
        if turn.role == "system":
            built.append(turn)
            continue
        time = now if turn.time_seconds is None else turn.time_seconds
        if time is None:
            raise MalformedRecord("the first turn of a stream has no time")
        if time < max(start, now or 0.0) or (end is not None and time > end):
            raise MalformedRecord(
                f"a turn at {time:g} s, before the one before it or outside {start:g} s to "
                f"{'its end' if end is None else f'{end:g} s'}"
            )
        now = time
        if turn.role == "assistant" and (seen is None or time > seen):
            begin = start if seen is None else seen
            spans.append((begin, max(time, begin + _INSTANT_SECONDS)))
            seen = time
            if not built or built[-1].role != "user":
                built.append(Turn(role="user", text=""))
            built[-1] = replace(built[-1], places=(Place(kind="video"),))
        built.append(turn)
    lasting = max(sum(stop - begin for begin, stop in spans), _INSTANT_SECONDS)
    return built, [
        replace(video, start_seconds=begin, end_seconds=stop, share=(stop - begin) / lasting)
        for begin, stop in spans
    ]
