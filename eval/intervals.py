"""Bootstrap intervals for accuracies and for differences between them.

Questions about one clip are not independent, so clips are drawn with replacement, not
questions: each resample takes as many clips as there are, with all their questions. Two
conditions that answered the same questions are compared on the same resamples.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from videollm.errors import DataError

__all__ = ["NUM_RESAMPLES", "bootstrap_interval"]

NUM_RESAMPLES = 2000

_ENTRIES_AT_ONCE = 1_000_000  # bounds memory: resamples are drawn in blocks of this many clips


def bootstrap_interval(
    sums: Sequence[float],
    counts: Sequence[int],
    *,
    confidence: float = 0.95,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a mean over clustered items.

    The mean is sum(sums) / sum(counts). The interval is widened to hold it where a skewed
    resample would leave it out. When every clip scores the same, the interval has no width:
    a bootstrap cannot see what was never drawn.

    Args:
        sums: Per clip, the sum of its items' values, such as how many are right; for a paired
            difference, right answers of one condition less those of the other.
        counts: Per clip, the number of its items, each at least 1.
        confidence: Share of resamples inside the interval, above 0 and below 1.
        num_resamples: Resamples to draw, at least 1.
        seed: Seed of the drawing; the same seed gives the same interval.

    Returns:
        Lower and upper bound, in the unit of `sums`.

    Raises:
        DataError: There is nothing to draw from, or the lists do not match.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3 (percentile
        interval), over clusters.
    """
    if not sums or len(sums) != len(counts):
        raise DataError(
            f"a bootstrap needs one sum and one count per clip: got {len(sums)} sums and "
            f"{len(counts)} counts; give at least one of each"
        )
    sums_of_clips = torch.tensor(sums, dtype=torch.float64)
    counts_of_clips = torch.tensor(counts, dtype=torch.float64)
    means = _resampled_means(sums_of_clips, counts_of_clips, num_resamples, seed)
    tail = (1.0 - confidence) / 2.0
    bounds = torch.quantile(means, torch.tensor([tail, 1.0 - tail], dtype=torch.float64))
    mean = float(sums_of_clips.sum() / counts_of_clips.sum())
    return min(float(bounds[0]), mean), max(float(bounds[1]), mean)


def _resampled_means(sums: Tensor, counts: Tensor, num_resamples: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    num_clips = len(sums)
    block = max(1, _ENTRIES_AT_ONCE // num_clips)
    means = []
    for start in range(0, num_resamples, block):
        shape = (min(block, num_resamples - start), num_clips)
        drawn = torch.randint(num_clips, shape, generator=generator)
        means.append(sums[drawn].sum(dim=1) / counts[drawn].sum(dim=1))
    return torch.cat(means)
