"""Bootstrap intervals for accuracies and for differences between them.

Questions about one clip are not independent, so clips are drawn with replacement, not
questions: each resample takes as many clips as there are, with all their questions. Two
conditions that answered the same questions are compared on the same resamples.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from videollm.errors import DataError

__all__ = ["NUM_RESAMPLES", "Clusters", "bootstrap_interval", "bootstrap_mean_of_means"]

NUM_RESAMPLES = 2000

Clusters = tuple[Sequence[float], Sequence[int]]
"""Per clip, the sum of its items' values and the number of its items."""

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
    means = _resampled_means((sums, counts), num_resamples, seed)
    return _percentiles(means, sum(sums) / sum(counts), confidence)


def bootstrap_mean_of_means(
    groups: Sequence[Clusters],
    *,
    confidence: float = 0.95,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the bootstrap interval of the mean of several groups' means, each weighing the same.

    Each group is resampled by itself, so that none is ever without items.

    Args:
        groups: At least one, each as in `bootstrap_interval`.
        confidence: As in `bootstrap_interval`.
        num_resamples: As in `bootstrap_interval`.
        seed: Of the first group's drawing; the others follow from it.
    """
    means = [
        _resampled_means(clusters, num_resamples, seed + number)
        for number, clusters in enumerate(groups)
    ]
    mean = sum(sum(sums) / sum(counts) for sums, counts in groups) / len(groups)
    return _percentiles(torch.stack(means).mean(dim=0), mean, confidence)


def _percentiles(means: Tensor, mean: float, confidence: float) -> tuple[float, float]:
    tail = (1.0 - confidence) / 2.0
    bounds = torch.quantile(means, torch.tensor([tail, 1.0 - tail], dtype=torch.float64))
    return min(float(bounds[0]), mean), max(float(bounds[1]), mean)


def _resampled_means(clusters: Clusters, num_resamples: int, seed: int) -> Tensor:
    sums, counts = (torch.tensor(values, dtype=torch.float64) for values in clusters)
    generator = torch.Generator().manual_seed(seed)
    num_clips = len(sums)
    block = max(1, _ENTRIES_AT_ONCE // num_clips)
    means = []
    for start in range(0, num_resamples, block):
        shape = (min(block, num_resamples - start), num_clips)
        drawn = torch.randint(num_clips, shape, generator=generator)
        means.append(sums[drawn].sum(dim=1) / counts[drawn].sum(dim=1))
    return torch.cat(means)
