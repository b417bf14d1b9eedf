"""One entry of a visual memory: tokens, the frames that they stand for, and their time.

Legend: K tokens of one entry, H LLM width.
"""

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

    @property
    def label(self) -> str:
        """Its time as the prompt has it: "12.0s:" for one frame, "12.0s-19.5s:" for several."""
        if self.weight == 1:
            return f"{self.start_seconds:.1f}s:"
        return f"{self.start_seconds:.1f}s-{self.end_seconds:.1f}s:"


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

    A time stands before every entry that was merged, that comes after a gap or after a merged one,
    and before every `time_stride`-th frame from there on: for frames without gaps that is the text
    that the model learned with.

    Args:
        entries: In order of time.
        time_stride: Frames from one written time to the next; 0 writes none.
        placeholder: Stands for one token.
    """
    pieces: list[str] = []
    since = 0
    before: MemoryEntry | None = None
    for entry in entries:
        is_first = (
            before is None
            or max(entry.weight, before.weight) > 1
            or entry.first_frame != before.last_frame + 1
        )
        since = 0 if is_first else since + 1
        if time_stride and not since % time_stride:
            pieces.append(entry.label)
        pieces.append(placeholder * entry.num_tokens)
        before = entry
    return "".join(pieces)
