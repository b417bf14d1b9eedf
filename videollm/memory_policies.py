"""How a visual memory makes room: what to merge or to leave out of the past.

Each policy takes the entries in order of time, how many of the last are not to be touched, and
the tokens that may be left; it returns the entries that stay.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import TypeAlias

from torch.nn import functional

from videollm.memory_entry import MemoryEntry, fewer_tokens, merge_entries

__all__ = ["POLICY_NAMES", "Compression", "build_compression"]

POLICY_NAMES = ("merge", "fifo", "uniform", "retrieve")

Compression: TypeAlias = Callable[[list[MemoryEntry], int, int], list[MemoryEntry]]


def build_compression(policy: str) -> Compression | None:
    """Return how the policy of this name compresses; None for `retrieve`, which has a bank."""
    known: dict[str, Compression] = {
        "merge": MergeNeighbours(),
        "fifo": drop_oldest,
        "uniform": thin_out,
    }
    return known.get(policy)


def drop_oldest(entries: list[MemoryEntry], num_recent: int, room_tokens: int) -> list[MemoryEntry]:
    """Return the entries without the oldest.

    Args:
        entries: In order of time.
        num_recent: Of the last, how many stay whatever happens.
        room_tokens: The most tokens that may be left.
    """
    held = sum(entry.num_tokens for entry in entries)
    first = 0
    while held > room_tokens and first < len(entries) - num_recent:
        held -= entries[first].num_tokens
        first += 1
    return entries[first:]


def thin_out(entries: list[MemoryEntry], num_recent: int, room_tokens: int) -> list[MemoryEntry]:
    """Return the entries without those whose neighbours are closest together in time.

    The first entry goes last, so that the beginning stays known. See `drop_oldest`.
    """
    kept = list(entries)
    held = sum(entry.num_tokens for entry in kept)
    while held > room_tokens and len(kept) > num_recent:
        num_past = len(kept) - num_recent
        gaps = [
            kept[place + 1].start_seconds - kept[place - 1].start_seconds
            for place in range(1, min(num_past, len(kept) - 1))
        ]
        gone = 1 + gaps.index(min(gaps)) if gaps else num_past - 1
        held -= kept.pop(gone).num_tokens
    return kept


class MergeNeighbours:
    """Merge those neighbours of the past that are most alike; see `drop_oldest`.

    Alike is the mean cosine over positions. How alike two neighbours are is computed once.

    Source: MA-LMM (boheumd/MA-LMM, `blip2.py`), which chooses a pair for every position apart;
    here whole frames merge, so that an entry keeps one span of time.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int], float] = {}

    def __call__(
        self, entries: list[MemoryEntry], num_recent: int, room_tokens: int
    ) -> list[MemoryEntry]:
        """Return the entries, as many merged as need be."""
        kept = list(entries)
        held = sum(entry.num_tokens for entry in kept)
        while held > room_tokens and len(kept) > num_recent:
            num_past = len(kept) - num_recent
            if num_past == 1:
                held -= kept.pop(0).num_tokens
                continue
            alike = self._alike(kept[:num_past])
            place = alike.index(max(alike))
            merged = merge_entries(kept[place], kept[place + 1])
            held += merged.num_tokens - kept[place].num_tokens - kept[place + 1].num_tokens
            kept[place : place + 2] = [merged]
        return kept

    def _alike(self, past: list[MemoryEntry]) -> list[float]:
        before, self._known = self._known, {}
        for first, second in pairwise(past):
            key = (first.first_frame, second.first_frame, second.last_frame)
            known = before.get(key)
            self._known[key] = _similarity(first, second) if known is None else known
        return list(self._known.values())


def _similarity(first: MemoryEntry, second: MemoryEntry) -> float:
    """Return the mean cosine over positions."""
    count = min(first.num_tokens, second.num_tokens)
    one, other = (fewer_tokens(entry.tokens, count).float() for entry in (first, second))
    return float(functional.cosine_similarity(one, other, dim=1).mean())
