"""One run divided among processes: which batches are whose, and one file out of many.

Batches are dealt out whole, since a batch decides its padding. So two shards write what one run
writes, and the merged file is the same to the byte.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from videollm.errors import RequestError

__all__ = ["WHOLE", "Shard", "parse_shard", "shard_of_launcher"]


@dataclass(frozen=True, slots=True)
class Shard:
    """Say which part of a run this process does.

    Args:
        index: From 0.
        count: How many parts there are, at least 1.
    """

    index: int
    count: int

    def owns(self, batch: int) -> bool:
        """Return whether a batch, counted from 0 over a task, is this shard's."""
        return batch % self.count == self.index

    @property
    def suffix(self) -> str:
        """Return what tells this shard's files from the others'; empty for a whole run."""
        return "" if self.count == 1 else f".{self.index + 1}-of-{self.count}"

    @property
    def siblings(self) -> Sequence["Shard"]:
        """Return all shards of the run."""
        return [Shard(index, self.count) for index in range(self.count)]


WHOLE = Shard(0, 1)


def parse_shard(text: str) -> Shard:
    """Return the shard that "2/4" names, the second of four.

    Raises:
        RequestError: The text is no such thing.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise RequestError(f"--shard {text} is no part of a whole; write 1/4 to 4/4")
    return Shard(int(match[1]) - 1, int(match[2]))


def shard_of_launcher(environment: Mapping[str, str] = os.environ) -> Shard:
    """Return the shard of a process that `accelerate launch` or `torchrun` started.

    Args:
        environment: Where RANK and WORLD_SIZE are.
    """
    count = int(environment.get("WORLD_SIZE", "1"))
    return Shard(int(environment.get("RANK", "0")), count)
