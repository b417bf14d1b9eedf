"""Rows of samples that fit together, in the place of single samples.

What a batch counts are rows then: `per_device_train_batch_size: 1` is one row of `row_tokens`.
"""

from torch.utils.data import Dataset

from videollm.train.examples import Example
from videollm.train.lengths import RowSampler
from videollm.train.mixture import Mixture

__all__ = ["Rows"]


class Rows(Dataset[tuple[Example, ...]]):
    """Samples of a mixture, by rows of draws as a `RowSampler` gives them.

    A bad sample leaves its place empty; where nothing else is in its row, another one stands in.

    Args:
        mixture: The samples.
        max_tokens: Of a row.
        seed: Of the order.
    """

    def __init__(self, mixture: Mixture, *, max_tokens: int, seed: int) -> None:
        self.mixture, self.max_tokens, self.seed = mixture, max_tokens, seed
        self.num_rows = len(self.sampler(1))

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, draws: tuple[int, ...]) -> tuple[Example, ...]:
        """Return the samples of a row."""
        found = [self.mixture.read(draw) for draw in draws]
        return tuple(item for item in found if item is not None) or (self.mixture[draws[0]],)

    def sampler(self, batch_size: int) -> RowSampler:
        """Return the order of the rows for so many in a step, over all processes."""
        return RowSampler(
            len(self.mixture),
            self.seed,
            tokens=self.mixture.tokens,
            max_tokens=self.max_tokens,
            batch_size=batch_size,
        )
