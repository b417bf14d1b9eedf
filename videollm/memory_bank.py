"""The host bank behind `retrieve`: frames that left the recent ones, in bounded memory or on disk.

Legend: K tokens of one entry, H LLM width, C places of the bank.
"""

import math
import os
import weakref
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from videollm.errors import RequestError
from videollm.memory_entry import MemoryEntry

__all__ = ["MIB", "HostBank", "count_places", "pick_nearest"]

MIB = 2**20
_ITEM_BYTES = 4


class HostBank:
    """Keep entries in a number of MiB; a full bank thins out evenly over the time so far.

    Its places are made when the first entry comes, whose width and tokens decide how many there
    are. When none is free, `stride`, 1 at first, doubles: frames whose number is no multiple of it
    go, or do not come in.

    Args:
        max_mib: Size of the tokens in MiB.
        path: File to keep them in instead, memory-mapped; None is RAM.

    Raises:
        RequestError: The file exists or cannot be made.
    """

    def __init__(self, max_mib: float, path: str | Path | None = None) -> None:
        self.max_bytes = int(max_mib * MIB)
        self._path = None if path is None else Path(path)
        self._tokens_CKH: Tensor | None = None
        self._keys_CH: Tensor | None = None
        self._entries: dict[int, tuple[MemoryEntry, int]] = {}
        self._free: list[int] = []
        self.stride = 1
        if self._path is not None:
            _make_file(self._path)
            weakref.finalize(self, self._path.unlink, missing_ok=True)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def num_tokens(self) -> int:
        """Tokens of all entries."""
        return sum(entry.num_tokens for entry, _ in self._entries.values())

    @property
    def nbytes(self) -> int:
        """Bytes of the places in use; at most `max_bytes`."""
        if self._tokens_CKH is None or self._keys_CH is None:
            return 0
        return len(self._entries) * (self._tokens_CKH[0].nbytes + self._keys_CH[0].nbytes)

    @property
    def entries(self) -> list[MemoryEntry]:
        """All entries in order of time, their tokens read."""
        return [self._read(frame) for frame in sorted(self._entries)]

    def add(self, entries: Sequence[MemoryEntry]) -> None:
        """Keep entries that are later than all before.

        Raises:
            RequestError: The bank does not hold two of them, or one has more tokens than its
                places.
        """
        for entry in entries:
            tokens, keys = self._places(entry)
            if entry.num_tokens > tokens.shape[1]:
                raise RequestError(
                    f"an entry has {entry.num_tokens} tokens, the bank's places {tokens.shape[1]}: "
                    "give the frame with most tokens first"
                )
            while not self._free:
                self._thin_out()
            if entry.first_frame % self.stride:
                continue
            place = self._free.pop()
            tokens[place, : entry.num_tokens] = entry.tokens.to("cpu")
            keys[place] = _key(entry.tokens).to("cpu")
            light = MemoryEntry(
                tokens=tokens[place, : entry.num_tokens],
                first_frame=entry.first_frame,
                last_frame=entry.last_frame,
                start_seconds=entry.start_seconds,
                end_seconds=entry.end_seconds,
            )
            self._entries[entry.first_frame] = (light, place)

    def nearest(
        self, query: Tensor | None, room_tokens: int, *, extra: Sequence[MemoryEntry] = ()
    ) -> list[MemoryEntry]:
        """Return entries in order of time that fit into some tokens.

        Args:
            query: (H,): those of the highest cosine between it and the mean of their tokens; None:
                evenly spread ones.
            room_tokens: The most tokens of all of them.
            extra: Later entries that are candidates too, without being kept.
        """
        light = [self._entries[frame][0] for frame in sorted(self._entries)]
        places = [self._entries[entry.first_frame][1] for entry in light]
        known = [] if self._keys_CH is None else list(self._keys_CH[places])
        keys = [*known, *(_key(entry.tokens).to("cpu") for entry in extra)]
        chosen = _pick([*light, *extra], keys, query, room_tokens)
        held = {id(entry) for entry in extra}
        return [e if id(e) in held else self._read(e.first_frame) for e in chosen]

    def _read(self, frame: int) -> MemoryEntry:
        """Return an entry with tokens of its own: the place may be used again."""
        light = self._entries[frame][0]
        return MemoryEntry(
            tokens=light.tokens.clone(),
            first_frame=light.first_frame,
            last_frame=light.last_frame,
            start_seconds=light.start_seconds,
            end_seconds=light.end_seconds,
        )

    def _places(self, first: MemoryEntry) -> tuple[Tensor, Tensor]:
        if self._tokens_CKH is None or self._keys_CH is None:
            count = count_places(self.max_bytes, *first.tokens.shape)
            width = first.tokens.shape[1]
            shape = (count, *first.tokens.shape)
            # A tensor made in inference mode could not be written to outside of it.
            with torch.inference_mode(False):
                self._keys_CH = torch.empty(count, width)
                self._tokens_CKH = self._make_tokens(shape, first.tokens.dtype)
            self._free = list(range(count))[::-1]
        return self._tokens_CKH, self._keys_CH

    def _make_tokens(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        if self._path is None:
            return torch.empty(shape, dtype=dtype)
        path, size = os.fspath(self._path), math.prod(shape)
        return torch.from_file(path, shared=True, size=size, dtype=dtype).view(shape)

    def _thin_out(self) -> None:
        self.stride *= 2
        for frame in [frame for frame in self._entries if frame % self.stride]:
            self._free.append(self._entries.pop(frame)[1])


def pick_nearest(
    entries: Sequence[MemoryEntry], query: Tensor | None, room_tokens: int
) -> list[MemoryEntry]:
    """Return entries in order of time that fit into some tokens; see `HostBank.nearest`.

    Args:
        entries: In order of time.
        query: As there.
        room_tokens: The most tokens of all of them.
    """
    keys = [] if query is None else [_key(entry.tokens).to("cpu") for entry in entries]
    return _pick(entries, keys, query, room_tokens)


def count_places(max_bytes: int, tokens_per_frame: int, width: int) -> int:
    """Return how many frames a bank holds.

    Args:
        max_bytes: Its size.
        tokens_per_frame: K.
        width: H.

    Raises:
        RequestError: It does not hold two of them.
    """
    needed = (tokens_per_frame + 1) * width * _ITEM_BYTES
    if max_bytes < 2 * needed:
        raise RequestError(
            f"the bank has {max_bytes} bytes; two frames of {needed} must fit: raise bank_mib"
        )
    return max_bytes // needed


def _pick(
    entries: Sequence[MemoryEntry], keys: list[Tensor], query: Tensor | None, room_tokens: int
) -> list[MemoryEntry]:
    if sum(entry.num_tokens for entry in entries) <= room_tokens:
        return list(entries)
    order = _evenly(len(entries))
    if query is not None:
        unit = functional.normalize(query.float().to("cpu"), dim=0)
        order = (torch.stack(keys) @ unit).argsort(descending=True, stable=True).tolist()
    chosen = []
    for place in order:
        if entries[place].num_tokens > room_tokens:
            break
        room_tokens -= entries[place].num_tokens
        chosen.append(entries[place])
    return sorted(chosen, key=lambda entry: entry.first_frame)


def _make_file(path: Path) -> None:
    try:
        with path.open("xb"):
            pass
    except FileExistsError:
        raise RequestError(f"bank_path {path} exists already: give a new name") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise RequestError(f"bank_path {path} cannot be made ({reason})") from error


def _key(tokens_KH: Tensor) -> Tensor:
    """Return the unit vector (H,) that an entry is found by."""
    return functional.normalize(tokens_KH.float().mean(dim=0), dim=0)


def _evenly(count: int) -> list[int]:
    """Return places so that any number of the first are spread over all: halves, quarters, ..."""
    width = max(count - 1, 1).bit_length()
    turned = (int(f"{place:0{width}b}"[::-1], 2) for place in range(1 << width))
    return [place for place in turned if place < count]
