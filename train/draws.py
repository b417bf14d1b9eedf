"""Which sample a run sees next, numbered so that no draw of a run is like another.

A draw is `pass * length + index`: the index says which sample, the whole number seeds whatever
is random about it. Samples look different in every pass, yet a draw is a pure function of the
run's seed: a resumed run, or one on other numbers of processes, sees the same.
"""

import math
from collections.abc import Iterator
from itertools import chain, count, islice
from typing import TypeVar

import numpy as np
from torch.utils.data import Dataset, Sampler

__all__ = ["DrawSampler", "FreshDraws", "draw_generator"]

Sample_co = TypeVar("Sample_co", covariant=True)


class FreshDraws(Dataset[Sample_co]):
    """A data set that is indexed by draws: `dataset[draw]`, any draw at least 0.

    The training loop gives it a `DrawSampler`; it finds its sample at `draw % len(dataset)`.
    """

    def __len__(self) -> int:
        """Return the number of samples of one epoch."""
        raise NotImplementedError


class DrawSampler(Sampler[int]):
    """Go through all samples again and again, each pass in a fresh order, as numbered draws.

    An epoch is as many whole global batches as one pass needs; what its last batch has room for
    is the next pass already. So no batch is smaller than the others, on one process or on many.

    Args:
        num_samples: Samples of one pass, at least 1.
        seed: Seed of the orders.
        batch_size: Samples of a step, over all processes.
    """

    def __init__(self, num_samples: int, seed: int, *, batch_size: int = 1) -> None:
        self.num_samples = num_samples
        self.seed = seed
        self.length = math.ceil(num_samples / batch_size) * batch_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next pass is; the training loop does."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        first, skipped = divmod(self.epoch * self.length, self.num_samples)
        yield from islice(self.forever(first), skipped, skipped + self.length)

    def forever(self, first: int = 0) -> Iterator[int]:
        """Yield the draws of all passes from one on."""
        return chain.from_iterable(self._draws_of_pass(number) for number in count(first))

    def _draws_of_pass(self, number: int) -> Iterator[int]:
        order = np.random.default_rng([self.seed, number]).permutation(self.num_samples)
        return (number * self.num_samples + int(index) for index in order)


def draw_generator(seed: int, draw: int, stream: int = 0) -> np.random.Generator:
    """Return the randomness of one draw.

    Args:
        seed: Of the run.
        draw: Its number.
        stream: Which of its uses: masks must not repeat what crops were drawn from.
    """
    return np.random.default_rng([seed, draw, stream])
