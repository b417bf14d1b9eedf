"""VisualMemory: what is kept of a video of any length, in a number of tokens that the user sets.

The last frames are held whole; what is before them is compressed by a policy, so that the budget is
never exceeded. Every entry knows which frames it stands for, and from when to when.

Legend: T token frames, K tokens of one entry, H LLM width.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from videollm.errors import RequestError
from videollm.memory_bank import MIB, HostBank, count_places, pick_nearest
from videollm.memory_entry import MemoryEntry
from videollm.memory_policies import POLICY_NAMES, Compression, build_compression

__all__ = ["MemoryOptions", "VisualMemory", "count_tokens"]

DEFAULT_BANK_MIB = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryOptions:
    """How much is remembered, and how.

    Args:
        budget_tokens: The most visual tokens that are held, or shown to the language model, at
            any moment.
        recent_frames: Token frames at the end that are kept whole, at least 1.
        shown_tokens: Once not everything fits the budget any more: the most tokens that the
            language model is shown for a question, the recent frames and what is nearest to it;
            None: three times what the model's usual number of frames has, if the budget is more.
        policy: What becomes of the frames before them. `merge`: those most alike among neighbours
            become one, the weighted mean for each position. `fifo`: the oldest go. `uniform`:
            those go that leave the rest most evenly spread. `retrieve`: all go to a bank in host
            memory, and those nearest the question come back for it.
        bank_mib: Size of that bank in MiB, above 0; a full one thins out evenly. For `retrieve`.
        bank_path: A file to keep the bank in, memory-mapped, instead of in RAM; it must not exist,
            and goes with the memory.

    Raises:
        RequestError: A value is out of its range.
    """

    budget_tokens: int = 2048
    recent_frames: int = 8
    policy: str = "merge"
    shown_tokens: int | None = None
    bank_mib: float = DEFAULT_BANK_MIB
    bank_path: str | Path | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.policy not in POLICY_NAMES:
            raise RequestError(f"policy is {self.policy!r}; it is one of {', '.join(POLICY_NAMES)}")
        if self.recent_frames < 1:
            raise RequestError(f"recent_frames is {self.recent_frames}; keep at least 1 whole")
        if self.budget_tokens < self.recent_frames:
            raise RequestError(
                f"budget_tokens is {self.budget_tokens}; {self.recent_frames} recent frames have "
                "at least as many tokens: raise the budget or keep fewer"
            )
        if self.shown_tokens is not None and self.shown_tokens < self.recent_frames:
            raise RequestError(
                f"shown_tokens is {self.shown_tokens}; {self.recent_frames} recent frames have at "
                "least as many tokens: show more"
            )
        if not 0 < self.bank_mib < float("inf"):
            raise RequestError(f"bank_mib is {self.bank_mib}; the bank's size is above 0")
        if self.bank_path is not None and self.policy != "retrieve":
            raise RequestError(
                f"bank_path is {self.bank_path} with policy {self.policy!r}: only 'retrieve' "
                "has a bank"
            )

    def check_room(self, tokens_per_frame: int, width: int) -> None:
        """Refuse a budget that does not hold the recent frames, and a bank that holds no two.

        Args:
            tokens_per_frame: K.
            width: H.

        Raises:
            RequestError: One is too small.
        """
        needed = self.recent_frames * tokens_per_frame
        if needed > self.budget_tokens:
            raise RequestError(
                f"budget_tokens is {self.budget_tokens}; {self.recent_frames} recent frames of "
                f"{tokens_per_frame} tokens need {needed}: raise the budget or keep fewer frames "
                "whole"
            )
        if self.shown_tokens is not None and needed > self.shown_tokens:
            raise RequestError(
                f"shown_tokens is {self.shown_tokens}; {self.recent_frames} recent frames of "
                f"{tokens_per_frame} tokens need {needed}: show more or keep fewer frames whole"
            )
        if self.policy == "retrieve":
            count_places(int(self.bank_mib * MIB), tokens_per_frame, width)


class VisualMemory:
    """Hold at most a number of visual tokens of a video, whatever its length.

    It is filled in order of time and is not safe to share by threads without a lock; the entries
    that it gives are never changed.

    Args:
        budget_tokens: As in `MemoryOptions`, and so are the others.
        recent_frames: Likewise.
        policy: Likewise.
        shown_tokens: Likewise; None shows everything.
        bank_mib: Likewise.
        bank_path: Likewise.

    Raises:
        RequestError: A value is out of its range.
    """

    def __init__(
        self,
        budget_tokens: int,
        recent_frames: int = 8,
        policy: str = "merge",
        *,
        shown_tokens: int | None = None,
        bank_mib: float = DEFAULT_BANK_MIB,
        bank_path: str | Path | None = None,
    ) -> None:
        self.options = MemoryOptions(
            budget_tokens=budget_tokens,
            recent_frames=recent_frames,
            policy=policy,
            shown_tokens=shown_tokens,
            bank_mib=bank_mib,
            bank_path=bank_path,
        )
        self._entries: tuple[MemoryEntry, ...] = ()
        self._num_frames = 0
        self._compression: Compression | None = build_compression(policy)
        self._bank = HostBank(bank_mib, bank_path) if policy == "retrieve" else None

    @property
    def entries(self) -> tuple[MemoryEntry, ...]:
        """What is held outside of the bank, in order of time."""
        return self._entries

    @property
    def bank(self) -> HostBank | None:
        """The bank of `retrieve`."""
        return self._bank

    @property
    def num_frames(self) -> int:
        """Token frames that were added so far."""
        return self._num_frames

    @property
    def num_tokens(self) -> int:
        """Visual tokens held; never above the budget."""
        return count_tokens(self._entries)

    @property
    def nbytes(self) -> int:
        """Bytes of the tokens held, the bank's apart."""
        return sum(entry.tokens.nbytes for entry in self._entries)

    def add(self, frames: Sequence[Tensor] | Tensor, spans: Sequence[tuple[float, float]]) -> None:
        """Add token frames.

        Args:
            frames: T tensors (K, H), or one (T, K, H); K may differ.
            spans: T pairs: the times of the first and the last picture of each token frame, in
                seconds; never falling.

        Raises:
            RequestError: A time falls, or a frame has more tokens than the budget allows beside
                the recent ones. Nothing was added.
        """
        added = [
            MemoryEntry(
                tokens=tokens.clone(),  # a part of a chunk would keep all of it
                first_frame=self._num_frames + place,
                last_frame=self._num_frames + place,
                start_seconds=start,
                end_seconds=end,
            )
            for place, (tokens, (start, end)) in enumerate(zip(frames, spans, strict=True))
        ]
        self._check(added)
        for entry in added:
            kept, passed = self._make_room(self._entries, entry.num_tokens)
            if self._bank is not None:
                self._bank.add(passed)
            self._entries = (*kept, entry)
            self._num_frames += 1

    def view(
        self, query: Tensor | None = None, pending: MemoryEntry | None = None
    ) -> tuple[MemoryEntry, ...]:
        """Return what the language model is to see, in order of time, within the budget.

        Args:
            query: (H,), what is asked, in the space of the tokens: where not everything can be
                shown, those entries are that are nearest to it by cosine; None: evenly spread ones.
            pending: A last frame that is not whole yet: seen, and not kept.
        """
        entries = self._entries
        passed: tuple[MemoryEntry, ...] = ()
        num_frames = self._num_frames
        if pending is not None:
            entries, passed = self._make_room(entries, pending.num_tokens)
            entries, num_frames = (*entries, pending), num_frames + 1
        if self._bank is not None:
            is_all = self._bank.num_tokens + count_tokens((*passed, *entries)) <= (
                self.options.budget_tokens
            )
            room = self._room(is_all) - count_tokens(entries)
            return (*self._bank.nearest(query, room, extra=passed), *entries)
        recent = entries[-self.options.recent_frames :]
        room = self._room(len(entries) == num_frames) - count_tokens(recent)
        return (*pick_nearest(entries[: -len(recent) or None], query, room), *recent)

    def _room(self, is_all: bool) -> int:
        """Return how many tokens may be shown, by whether all frames are there as they came."""
        options = self.options
        if is_all or options.shown_tokens is None:
            return options.budget_tokens
        return min(options.shown_tokens, options.budget_tokens)

    def restore(
        self,
        entries: Sequence[MemoryEntry],
        num_frames: int,
        *,
        bank: Sequence[MemoryEntry] = (),
        bank_stride: int = 1,
    ) -> None:
        """Go on from entries that another memory held.

        Args:
            entries: In order of time, within this memory's budget.
            num_frames: Token frames that it had seen.
            bank: What its bank held, for `retrieve`.
            bank_stride: The stride of that bank.

        Raises:
            RequestError: They are more than the budget allows.
        """
        held = count_tokens(entries)
        if held > self.options.budget_tokens:
            raise RequestError(
                f"{held} tokens are given, budget_tokens is {self.options.budget_tokens}"
            )
        self._entries, self._num_frames = tuple(entries), num_frames
        if self._bank is not None:
            self._bank.stride = bank_stride
            self._bank.add(bank)

    def _make_room(
        self, entries: tuple[MemoryEntry, ...], incoming: int
    ) -> tuple[tuple[MemoryEntry, ...], tuple[MemoryEntry, ...]]:
        """Return what stays and what passes to the bank when so many tokens are to come."""
        num_recent = self.options.recent_frames - 1
        room = self.options.budget_tokens - incoming
        if self._compression is None:
            num_passed = max(len(entries) - num_recent, 0)
            return entries[num_passed:], entries[:num_passed]
        if count_tokens(entries) <= room:
            return entries, ()
        return tuple(self._compression(list(entries), num_recent, room)), ()

    def _check(self, added: list[MemoryEntry]) -> None:
        last = self._entries[-1].end_seconds if self._entries else float("-inf")
        for entry in added:
            if not last <= entry.start_seconds <= entry.end_seconds:
                raise RequestError(
                    f"times go backwards: {entry.start_seconds:g} s to {entry.end_seconds:g} s "
                    f"after {last:g} s: add frames in order of time"
                )
            last = entry.end_seconds
        held = [*self._entries, *added]
        for stop in range(len(self._entries) + 1, len(held) + 1):
            recent = count_tokens(held[max(stop - self.options.recent_frames, 0) : stop])
            if recent > self.options.budget_tokens:
                raise RequestError(
                    f"budget_tokens is {self.options.budget_tokens}; the last "
                    f"{self.options.recent_frames} frames have {recent}: raise the budget or keep "
                    "fewer frames whole"
                )


def count_tokens(entries: Iterable[MemoryEntry]) -> int:
    """Return how many visual tokens some entries have."""
    return sum(entry.num_tokens for entry in entries)
