r"""Turns of a conversation as files spell them, and as messages once they are checked.

LLaVA writes {"from": "human", "value": "<video>\nWhat?"}, Hugging Face {"role": "user",
"content": "What?"} or a content of parts; both become `Turn`s. Which media stand behind the
places in them is not known here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from videollm.config import VIDEO_TOKEN
from videollm.processor import Message
from videollm.train.examples import Dialogue

__all__ = [
    "Kind",
    "MalformedRecord",
    "Place",
    "Turn",
    "check_order",
    "read_seconds",
    "read_turns",
    "to_dialogue",
]

Kind = Literal["video", "image"]

_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
}
_TAG = re.compile(r"<(video|image)>")
_PART_TYPES: dict[str, Kind] = {
    "video": "video",
    "video_url": "video",
    "image": "image",
    "image_url": "image",
}


class MalformedRecord(Exception):  # noqa: N818 - it is not an error of the run, which goes on
    """Say why a record cannot be used."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Hold where a medium stands in a turn.

    Args:
        kind: What the tag or part says; LLaVA's <image> may stand for a video.
        path: The medium, where the part itself names it.
        start_seconds: Where its part begins; None: at its start.
        end_seconds: Where it ends; None: at its end.
    """

    kind: Kind
    path: str | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """Hold what one speaker says.

    Args:
        role: "system", "user" or "assistant".
        text: Its texts, a line each, without tags.
        places: Where media stand, in order.
        time_seconds: When it is said, in a stream.
    """

    role: str
    text: str
    places: tuple[Place, ...] = field(default=())
    time_seconds: float | None = None


def read_turns(raw: object) -> list[Turn]:
    """Return the turns of a conversation.

    Args:
        raw: A list of {"from", "value"} or {"role", "content"}, a "time" with each in a stream.

    Raises:
        MalformedRecord: It is no such list; the message says where.
    """
    if not isinstance(raw, list) or not raw:
        raise MalformedRecord("no list of conversations or messages")
    return [_read_turn(value, number) for number, value in enumerate(raw, start=1)]


def _read_turn(raw: object, number: int) -> Turn:
    if not isinstance(raw, Mapping) or not ({"from", "role"} & raw.keys()):
        raise MalformedRecord(f"turn {number}: no 'from' and 'value', nor 'role' and 'content'")
    # Tables fill the fields that a turn does not have with null.
    raw = {key: value for key, value in raw.items() if value is not None}
    speaker = raw.get("from", raw.get("role"))
    role = _ROLES.get(str(speaker))
    if role is None:
        raise MalformedRecord(f"turn {number}: unknown speaker {speaker!r}")
    content = raw.get("value", raw.get("content"))
    if isinstance(content, str):
        texts, places = _split(content)
    elif isinstance(content, Sequence):
        texts, places = _read_parts(content, number)
    else:
        raise MalformedRecord(f"turn {number}: its content is {content!r}; a text is expected")
    text = "\n".join(stripped for item in texts if (stripped := item.strip()))
    if places and role != "user":
        raise MalformedRecord(f"turn {number}: a medium outside a human turn")
    if VIDEO_TOKEN in text:
        raise MalformedRecord(f"turn {number}: {VIDEO_TOKEN} in a text; it stands for frames")
    return Turn(role=role, text=text, places=tuple(places), time_seconds=read_seconds(raw, "time"))


def _split(text: str) -> tuple[list[str], list[Place]]:
    pieces = _TAG.split(text)
    kinds: list[Kind] = ["video" if tag == "video" else "image" for tag in pieces[1::2]]
    return pieces[::2], [Place(kind=kind) for kind in kinds]


def _read_parts(parts: Sequence[object], number: int) -> tuple[list[str], list[Place]]:
    texts: list[str] = []
    places: list[Place] = []
    for part in parts:
        if not isinstance(part, Mapping):
            raise MalformedRecord(f"turn {number}: a part {part!r} without a type")
        part = {key: value for key, value in part.items() if value is not None}
        kind = _PART_TYPES.get(str(part.get("type")))
        if kind is not None:
            places.append(_place(kind, part, number))
        elif part.get("type") == "text" and isinstance(part.get("text"), str):
            more, tags = _split(part["text"])
            texts += more
            places += tags
        else:
            raise MalformedRecord(
                f"turn {number}: a part of type {part.get('type')!r}; text, image and video are "
                "allowed"
            )
    return texts, places


def _place(kind: Kind, part: Mapping[str, Any], number: int) -> Place:
    names = (kind, f"{kind}_url", "path", "url")
    path = next((part[name] for name in names if name in part), None)
    if isinstance(path, Mapping):
        path = path.get("url", path.get("path"))
    if path is not None and not isinstance(path, str):
        raise MalformedRecord(f"turn {number}: {kind} is {type(path).__name__}; give its path")
    return Place(
        kind=kind,
        path=path,
        start_seconds=read_seconds(part, "start", "video_start"),
        end_seconds=read_seconds(part, "end", "video_end"),
    )


def read_seconds(value: Mapping[str, Any], *names: str) -> float | None:
    """Return the number under the first of `names` that is there, or None.

    Raises:
        MalformedRecord: It is no number of seconds of 0 or more.
    """
    for name in names:
        seconds = value.get(name)
        if seconds is None:
            continue
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
            raise MalformedRecord(f"{name} is {seconds!r}; seconds of 0 or more are expected")
        return float(seconds)
    return None


def check_order(turns: Sequence[Turn]) -> None:
    """Refuse turns that do not go system (if any), human, gpt, human, gpt, ...

    Raises:
        MalformedRecord: They do not, or a question or an answer is empty.
    """
    spoken = [turn for turn in turns if turn.role != "system"]
    if len(turns) - len(spoken) > 1 or any(turn.role == "system" for turn in turns[1:]):
        raise MalformedRecord("a system turn that is not the first")
    for number, turn in enumerate(spoken):
        if turn.role != ("user", "assistant")[number % 2]:
            raise MalformedRecord(
                "turns must alternate human, gpt, human, gpt, ...; they go "
                + ", ".join(item.role for item in turns)
            )
        if not turn.text and not turn.places:
            raise MalformedRecord(f"an empty {'answer' if number % 2 else 'question'}")
    if len(spoken) % 2 or not spoken:
        raise MalformedRecord("no answer: the last turn is not the assistant's")


def to_dialogue(turns: Sequence[Turn]) -> Dialogue:
    """Return the messages of checked turns: media of a turn first, as the processor puts them."""
    messages: list[Message] = []
    for turn in turns:
        content: str | list[dict[str, str]] = turn.text
        if turn.places:
            content = [{"type": "video"} for _ in turn.places]
            content += [{"type": "text", "text": turn.text}] if turn.text else []
        messages.append({"role": turn.role, "content": content})
    return tuple(messages)
