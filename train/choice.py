"""Which samples of a data set take part: all, the first, the last, or some at random."""

import re

import numpy as np

from videollm.errors import RecipeError

__all__ = ["choose"]

_STRATEGY = re.compile(r"(?:(first|end|random):)([0-9]+(?:\.[0-9]+)?)(%?)")


def choose(strategy: str, size: int, seed: int) -> list[int]:
    """Return the chosen ones of `size` samples, in order.

    Args:
        strategy: "all", "first:N", "end:N" or "random:N"; N is a number of samples, or a share
            of them such as 20%. More than there are takes all.
        size: Samples in all.
        seed: Of a random choice.

    Raises:
        RecipeError: It is none of these.
    """
    if strategy == "all":
        return list(range(size))
    match = _STRATEGY.fullmatch(strategy)
    if match is None or not (match[3] or match[2].isdecimal()) or not float(match[2]) > 0:
        raise RecipeError(
            f"sampling: {strategy!r} given; all, first:N, end:N or random:N allowed, N above 0 and "
            "whole, or a share such as 20%"
        )
    count = round(size * float(match[2]) / 100) if match[3] else int(match[2])
    count = min(count, size)
    if match[1] == "first":
        return list(range(count))
    if match[1] == "end":
        return list(range(size - count, size))
    order = np.random.default_rng([seed, size]).permutation(size)[:count]
    return sorted(int(place) for place in order)
