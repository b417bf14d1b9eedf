"""Records about the same media as one sample, so that a video is read and encoded once for all.

LLaVA-style files ask many questions about a video in records of their own. Those whose media, parts
and first words are the same are independent dialogues behind one prefix.
"""

from collections.abc import Callable, Hashable, Sequence

from videollm.train.dialogue_records import Record

__all__ = ["Group", "group_records"]

Group = tuple[Record, ...]
"""One record, or several about the same media."""


def group_records(
    records: Sequence[Record],
    *,
    most: int,
    max_tokens: int,
    tokens: Callable[[Record], tuple[int, int]],
) -> list[Group]:
    """Return records as groups, in the order of their first ones.

    A record joins the newest group about its media, unless that is full: then it begins another.

    Args:
        records: In the order of their files.
        most: Records of a group; 1: each is by itself.
        max_tokens: Of a group whose records share their prefix.
        tokens: Tokens of a record, and those of its prefix with the visual ones.
    """
    if most == 1:
        return [(record,) for record in records]
    groups: list[list[Record]] = []
    newest: dict[Hashable, int] = {}
    room: dict[int, int] = {}
    for record in records:
        key = _shared_part(record)
        if key is None:
            groups.append([record])
            continue
        length, prefix = tokens(record)
        place = newest.get(key)
        if place is None or len(groups[place]) == most or room[place] < length - prefix:
            newest[key] = place = len(groups)
            groups.append([])
            room[place] = max_tokens - prefix
        groups[place].append(record)
        room[place] -= length - prefix
    return [tuple(group) for group in groups]


def _shared_part(record: Record) -> Hashable | None:
    """Return all of a record up to its last medium, or None where it cannot share that.

    Only what begins with its media can: between media of later turns there are other answers.
    """
    system = tuple(item["content"] for item in record.dialogue if item["role"] == "system")
    question = record.dialogue[len(system)]
    content = question["content"]
    places = 0 if isinstance(content, str) else sum(part["type"] == "video" for part in content)
    if not record.media or places != len(record.media):
        return None
    return record.media, system
