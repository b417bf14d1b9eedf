"""Which clips belong to which split, and where each gets its randomness.

Clip number `index` of a split depends on (seed, split, index) and on nothing else, so splits are
disjoint, endless, and the same on every machine.
"""

import numpy as np

from videollm.errors import RequestError
from videollm.shapeworld.vocabulary import COLOURS, HELD_OUT_PAIRS, SHAPES

__all__ = ["SPLITS", "check_split", "generator_for", "pairs_for"]

SPLITS: tuple[str, ...] = (
    "train",
    "val",
    "test_iid",
    "test_compositional",
    "test_paraphrase",
    "test_long",
    "test_long_10",
    "test_long_60",
    "train_long",
    "train_stream",
)

_ALL_PAIRS = tuple((colour, shape) for colour in COLOURS for shape in SHAPES)
_TRAINED_PAIRS = tuple(pair for pair in _ALL_PAIRS if pair not in HELD_OUT_PAIRS)
_WORLD = 1
"""Keeps the numbers apart from those of the toy world, which draws by the same law."""


def check_split(split: str) -> None:
    """Refuse a split that does not exist.

    Raises:
        RequestError: `split` is none of `SPLITS`.
    """
    if split not in SPLITS:
        raise RequestError(f"there is no split {split!r}: choose one of {', '.join(SPLITS)}")


def generator_for(split: str, index: int, seed: int, stream: int) -> np.random.Generator:
    """Return the random generator of one clip.

    Args:
        split: One of `SPLITS`.
        index: Number of the clip in its split, at least 0.
        seed: Seed of the whole world, at least 0.
        stream: What the numbers are for; scenes and questions draw from different streams.

    Raises:
        RequestError: The split is unknown, or index or seed is negative.
    """
    check_split(split)
    if index < 0 or seed < 0:
        raise RequestError(f"index {index} and seed {seed} must both be at least 0")
    entropy = (seed, SPLITS.index(split), index, stream, _WORLD)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def pairs_for(split: str) -> tuple[tuple[str, str], ...]:
    """Return the (colour, shape) pairs that may be seen or named in a split."""
    return _ALL_PAIRS if split == "test_compositional" else _TRAINED_PAIRS
