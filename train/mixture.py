"""Several data sets as one: how much of each a pass holds, and which sample a draw stands for.

Counts are exact in every pass, and a draw is a pure function of the seed, so a resumed run sees
the samples that an uninterrupted one would have seen.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from videollm.errors import RecipeError
from videollm.train.draws import FreshDraws
from videollm.train.examples import DialogueSet, Example

__all__ = ["MIXING_LAWS", "Member", "Mixture", "counts_of_pass"]

MIXING_LAWS = ("size", "weights", "temperature")


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """Hold one data set of a mixture.

    Args:
        name: What messages and reports call it.
        dataset: Its samples.
        size: How many it has; at least 1 to be drawn from.
        weight: Its share of a pass relative to the others' weights, above 0.
        repeat: How often a pass holds each of its samples, where the law is "size".
        tokens: Most tokens of a sample by its index, where an order goes by lengths.
    """

    name: str
    dataset: DialogueSet
    size: int
    weight: float = 1.0
    repeat: int = 1
    tokens: Callable[[int], int] | None = None


def counts_of_pass(members: Sequence[Member], *, law: str, temperature: float = 1.0) -> list[int]:
    """Return how many samples of each member one pass holds; all laws have passes of equal length.

    Args:
        members: Data sets; with s their size times repeat, a pass has sum(s) samples.
        law: "size": s each. "weights": in proportion to the weights. "temperature": in proportion
            to s ** (1 / temperature).
        temperature: Above 0; 1 is "size", infinity gives every member the same.

    Returns:
        Whole numbers, by largest remainders.

    Raises:
        RecipeError: A member would get none.

    Source: temperature as in multilingual pretraining, arXiv 1910.10683, section 3.5.2.
    """
    sizes = [member.size * member.repeat for member in members]
    if law == "size":
        return sizes
    if law == "weights":
        shares = [member.weight for member in members]
    else:
        shares = [math.exp(math.log(size / max(sizes)) / temperature) for size in sizes]
    exact = [sum(sizes) * share / sum(shares) for share in shares]
    counts = [math.floor(part) for part in exact]
    rest = sum(sizes) - sum(counts)
    for place in sorted(range(len(exact)), key=lambda item: counts[item] - exact[item])[:rest]:
        counts[place] += 1
    for member, count in zip(members, counts, strict=True):
        if not count:
            raise RecipeError(
                f"mixture: {member.name} gets none of the {sum(sizes)} samples of a pass: raise "
                "its weight, or leave it out"
            )
    return counts


class Mixture(FreshDraws[Example]):
    """Samples of several data sets, indexed by draws.

    Each member goes through all its samples, in an order of its own that is drawn once, before
    one comes again: over the passes no sample is drawn more than once more than another.

    Args:
        members: Data sets.
        counts: Samples of each in one pass, see `counts_of_pass`.
        seed: Of the members' orders.
    """

    def __init__(self, members: Sequence[Member], counts: Sequence[int], *, seed: int) -> None:
        self.members = list(members)
        self.counts = list(counts)
        self._tokens: dict[tuple[int, int], int] = {}
        self._starts = [0, *accumulate(self.counts)]
        self._orders = [
            np.random.default_rng([seed, number]).permutation(member.size)
            for number, member in enumerate(self.members)
        ]

    def __len__(self) -> int:
        return self._starts[-1]

    def place(self, draw: int) -> tuple[int, int]:
        """Return the number of the member that a draw is from, and its sample."""
        number, index = divmod(draw, len(self))
        member = bisect_right(self._starts, index) - 1
        earlier = number * self.counts[member] + index - self._starts[member]
        order = self._orders[member]
        return member, int(order[earlier % len(order)])

    def __getitem__(self, draw: int) -> Example:
        """Return the sample of a draw."""
        member, index = self.place(draw)
        return self.members[member].dataset[index]

    def read(self, draw: int) -> Example | None:
        """Return the sample of a draw, or None where it is bad and was recorded."""
        member, index = self.place(draw)
        return self.members[member].dataset.read(index)

    def tokens(self, draw: int) -> int:
        """Return the most tokens that the sample of a draw may have; nothing is decoded."""
        member, index = self.place(draw)
        if (member, index) not in self._tokens:
            count = self.members[member].tokens
            assert count is not None
            self._tokens[member, index] = count(index)
        return self._tokens[member, index]
