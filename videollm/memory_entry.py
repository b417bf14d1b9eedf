"""One entry of a visual memory: tokens, the frames that they stand for, and their time.

Legend: K tokens of one entry, H LLM width.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

__all__ = ["MemoryEntry", "entries_text", "merge_entries"]


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class MemoryEntry:
    """Hold the tokens of one token frame, or of several that were merged.

    Args:
        tokens: (K, H); not to be written to.
        first_frame: Number of the first token frame it stands for, from 0.
        last_frame: Number of the last.
        start_seconds: Time of the first picture it stands for.
        end_seconds: Time of the last.
    """

    tokens: Tensor
    first_frame: int
    last_frame: int
    start_seconds: float
    end_seconds: float

    @property
    def num_tokens(self) -> int:
        """K."""
        return self.tokens.shape[0]

    @property
    def weight(self) -> int:
        """Token frames that it stands for."""
        return self.last_frame - self.first_frame + 1


def merge_entries(first: MemoryEntry, second: MemoryEntry) -> MemoryEntry:
    """Return one entry in the place of two neighbours: the weighted mean for each position.

    Where they differ in number, the tokens of the larger are averaged down to those of the other.

    Args:
        first: The earlier one.
        second: The one right after it in the memory.
    """
    count = min(first.num_tokens, second.num_tokens)
    parts = (fewer_tokens(first.tokens, count), fewer_tokens(second.tokens, count))
    share = second.weight / (first.weight + second.weight)
    return MemoryEntry(
        tokens=parts[0].lerp(parts[1], share),
        first_frame=first.first_frame,
        last_frame=second.last_frame,
        start_seconds=first.start_seconds,
        end_seconds=second.end_seconds,
    )


def fewer_tokens(tokens_KH: Tensor, num_tokens: int) -> Tensor:
    """Return (num_tokens, H), neighbours averaged; the tokens themselves where none go."""
    if tokens_KH.shape[0] == num_tokens:
        return tokens_KH
    return functional.adaptive_avg_pool1d(tokens_KH.mT[None], num_tokens)[0].mT


def entries_text(entries: tuple[MemoryEntry, ...], *, time_stride: int, placeholder: str) -> str:
    """Return placeholders with the times between them, as a clip's frames have them.

    A time stands before every `time_stride` frames that follow each other without a gap, which for
    frames without gaps is the text that the model learned with; and before every `time_stride`
    merged entries that follow each other, as the span of all of them.

    Args:
        entries: In order of time.
        time_stride: Entries from one written time to the next; 0 writes none.
        placeholder: Stands for one token.
    """
    pieces: list[str] = []
    for group in _groups(entries, time_stride or 1):
        if time_stride:
            pieces.append(_label(group))
        pieces += [placeholder * entry.num_tokens for entry in group]
    return "".join(pieces)


def _groups(entries: tuple[MemoryEntry, ...], size: int) -> Iterator[list[MemoryEntry]]:
    """Yield neighbours that share a written time, at most `size` of them."""
    group: list[MemoryEntry] = []
    for entry in entries:
        if group and (len(group) == size or not _goes_on(group[-1], entry)):
            yield group
            group = []
        group.append(entry)
    if group:
        yield group


def _goes_on(before: MemoryEntry, entry: MemoryEntry) -> bool:
    if before.weight > 1 or entry.weight > 1:
        return min(before.weight, entry.weight) > 1
    return entry.first_frame == before.last_frame + 1


def _label(group: list[MemoryEntry]) -> str:
    """Return a group's time: "12.0s:" where it begins with one frame, else "12.0s-19.5s:"."""
    first, last = group[0], group[-1]
    if first.weight == 1:
        return f"{first.start_seconds:.1f}s:"
    return f"{first.start_seconds:.1f}s-{last.end_seconds:.1f}s:"
