r"""Pairs of answers about media: a prompt, the answer that is wanted, and one that is not.

    {"video": "clips/a.mp4", "start": 1.5, "prompt": "What happens?",
     "chosen": "A ball rolls.", "rejected": "A dog barks."}

Media, `start` and `end` are those of any record. The prompt is a text, or turns that end with a
human one; each answer is a text, or a list of one assistant turn.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from videollm.train.dialogue_records import Record, parse_record
from videollm.train.dialogue_turns import MalformedRecord

__all__ = ["parse_pair"]

_ANSWERS = ("chosen", "rejected")


def parse_pair(name: str, value: object, media_folder: Path) -> Record:
    """Return a record with both its answers, checked as far as it can be without its media.

    Raises:
        MalformedRecord: It cannot be used; the message says why.
    """
    if not isinstance(value, Mapping):
        return parse_record(name, value, media_folder)
    missing = [key for key in ("prompt", *_ANSWERS) if value.get(key) is None]
    if missing:
        raise MalformedRecord(f"no {', no '.join(missing)}: a pair has prompt, chosen and rejected")
    prompt = value["prompt"]
    turns = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
    chosen, rejected = (
        parse_record(
            name,
            {**_without_conversation(value), "messages": [*turns, _answer(value[key], key)]},
            media_folder,
        )
        for key in _ANSWERS
    )
    if chosen.is_stream:
        raise MalformedRecord("times or stream in a pair: it has one answer, to all it is shown")
    return replace(chosen, rejected=rejected.dialogue)


def _without_conversation(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that say which media there are; others may repeat the answers."""
    return {
        key: item
        for key, item in value.items()
        if key not in ("prompt", "conversations", "conversation", *_ANSWERS)
    }


def _answer(given: object, key: str) -> object:
    if isinstance(given, str):
        return {"role": "assistant", "content": given}
    if isinstance(given, list) and len(given) == 1:
        return given[0]
    raise MalformedRecord(f"{key} is {str(given)[:80]!r}; a text or one assistant turn is expected")
