"""Seeded scenes: one to four coloured shapes, each with a path and a presence in time.

`make_scene` draws first what a scene holds (how many, colours, shapes, sizes, motions, times) and
only then where, so that crowding cannot change which words are frequent. Places are in units of
the frame's side, x to the right, y down; times in seconds from the start of the clip.

Legend: O objects, T times, K candidate paths.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from videollm.toyworld.motion import Floats, Path, draw_paths
from videollm.toyworld.shapes import EXTENTS
from videollm.toyworld.splits import generator_for, pairs_for
from videollm.toyworld.vocabulary import HELD_OUT_PAIRS, MOTIONS, RADII, SIZES

__all__ = [
    "CLIP_SECONDS",
    "Scene",
    "SceneObject",
    "draw_backdrop",
    "draw_whole_objects",
    "make_scene",
]

CLIP_SECONDS = 4.0

_SCENE_STREAM = 0
_NUM_CANDIDATES = 128
_MAX_LAYOUTS = 4
_TOLERATED_OVERLAP = 0.3
"""Deepest intrusion into the wanted distance that is accepted at once, in smaller radii."""

_APART, _ALIKE = 1.05, 1.3
"""Wanted distance of two objects, in sums of radii; those of one colour must not melt together."""

_EDGE_SECONDS = np.arange(0.5, 3.01, 0.5)
"""When an object may appear; it may vanish at the same distances from the end."""

_LAYOUT_TIMES = (np.arange(16) + 0.5) * CLIP_SECONDS / 16


@dataclass(frozen=True, slots=True)
class SceneObject:
    """Hold one object of a scene.

    Args:
        colour: One of `COLOURS`.
        shape: One of `SHAPES`.
        size: One of `SIZES`.
        radius: Its radius in units of the frame's side; the outline reaches to
            `EXTENTS[shape] * radius`.
        path: Where its centre is.
        begin_seconds: First moment of its presence, 0 for most.
        end_seconds: First moment after its presence, the clip's length for most.
    """

    colour: str
    shape: str
    size: str
    radius: float
    path: Path
    begin_seconds: float
    end_seconds: float

    @property
    def motion(self) -> str:
        """Return how it moves, one of `MOTIONS`."""
        return self.path.motion

    @property
    def pair(self) -> tuple[str, str]:
        """Return (colour, shape), which no other object of the scene has."""
        return self.colour, self.shape

    def present(self, times: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Return (T,) bool: whether it is there at each time of `times` (T,) in seconds."""
        return (times >= self.begin_seconds) & (times < self.end_seconds)

    def positions(self, times: Floats) -> Floats:
        """Return (T, 2), x and y of its centre; where it is absent, the nearest place it had."""
        return self.path.at(_progress(times, self.begin_seconds, self.end_seconds))


@dataclass(frozen=True, slots=True)
class Scene:
    """Hold everything that determines the pictures of one clip and the answers about it.

    Args:
        split: One of `SPLITS`.
        index: Its number in the split.
        seed: Seed of the whole world.
        objects: O objects; a later one hides an earlier one.
        background: RGB in 0..255 at the top and at the bottom of the frame.
        noise: Size of the sensor noise in levels of 0..255; 0 for none.
    """

    split: str
    index: int
    seed: int
    objects: tuple[SceneObject, ...]
    background: tuple[tuple[float, float, float], tuple[float, float, float]]
    noise: float


@dataclass(frozen=True, slots=True)
class _Draft:
    """An object before it has a path."""

    pair: tuple[str, str]
    size: str
    radius: float
    motion: str
    begin: float
    end: float


def make_scene(split: str, index: int, seed: int = 0) -> Scene:
    """Return scene number `index` of a split: the same arguments give the same scene.

    Args:
        split: One of `SPLITS`; scenes of `test_compositional` hold at least one of
            `HELD_OUT_PAIRS`, no other scene holds any.
        index: At least 0.
        seed: Seed of the whole world, at least 0.

    Raises:
        RequestError: The split is unknown, or index or seed is negative.
    """
    rng = generator_for(split, index, seed, _SCENE_STREAM)
    drafts = _draw_drafts(split, rng)
    background, noise = draw_backdrop(rng)
    return Scene(split, index, seed, _place(drafts, rng), background, noise)


def draw_whole_objects(
    pairs: Sequence[tuple[str, str]], rng: np.random.Generator
) -> tuple[SceneObject, ...]:
    """Return objects of any size and motion that are there all the time.

    Args:
        pairs: Their (colour, shape) pairs, at most four.
        rng: Source of randomness.
    """
    drafts = []
    for pair in pairs:
        size, motion = SIZES[rng.integers(2)], MOTIONS[rng.integers(len(MOTIONS))]
        drafts.append(_Draft(pair, size, rng.uniform(*RADII[size]), motion, 0.0, CLIP_SECONDS))
    return _place(drafts, rng)


def _draw_drafts(split: str, rng: np.random.Generator) -> list[_Draft]:
    """Draw what the objects are and when they are there."""
    num = 1 + _choose(rng, (0.21, 0.23, 0.27, 0.29))
    pairs = _draw_pairs(split, num, rng)
    staggered = rng.random() < 0.35
    chance = 0.8 if staggered else 0.3
    side = rng.random()
    drafts = []
    for pair in pairs:
        size, motion = SIZES[rng.integers(2)], MOTIONS[rng.integers(len(MOTIONS))]
        appears = side < 0.5 if staggered else rng.random() < 0.5
        begin, end = _draw_presence(motion, chance, appears, rng)
        drafts.append(_Draft(pair, size, rng.uniform(*RADII[size]), motion, begin, end))
    return drafts


def _draw_pairs(split: str, num: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Draw distinct (colour, shape) pairs; most scenes repeat one colour or one shape.

    The repeats make counts of three and four as frequent as counts of one.
    """
    pairs: list[tuple[str, str]] = []
    if split == "test_compositional":
        pairs.append(HELD_OUT_PAIRS[rng.integers(len(HELD_OUT_PAIRS))])
    repeated = (None, "colour", "shape")[_choose(rng, (0.36, 0.32, 0.32))]
    num_repeats = num - int(rng.random() < 0.35)
    while len(pairs) < num:
        options = [pair for pair in pairs_for(split) if pair not in pairs]
        if pairs and repeated and len(pairs) < num_repeats:
            place = ("colour", "shape").index(repeated)
            options = [pair for pair in options if pair[place] == pairs[0][place]]
        colours = list(dict.fromkeys(pair[0] for pair in options))
        colour = colours[rng.integers(len(colours))]
        shapes = [pair[1] for pair in options if pair[0] == colour]
        pairs.append((colour, shapes[rng.integers(len(shapes))]))
    return [pairs[k] for k in rng.permutation(num)]


def _draw_presence(
    motion: str, chance: float, appears: bool, rng: np.random.Generator
) -> tuple[float, float]:
    """Draw begin and end in seconds.

    Loops and bounces need three seconds to be seen, so these objects come at most one second
    late. The weights of the others make up for it: all times are equally frequent.
    """
    long = motion in ("bounces", "loops")
    if rng.random() >= (0.4 * chance if long else chance):
        return 0.0, CLIP_SECONDS
    weights = (0.5, 0.5) if long else (0.12, 0.12, 0.19, 0.19, 0.19, 0.19)
    edge = float(_EDGE_SECONDS[_choose(rng, weights)] + rng.uniform(-0.05, 0.05))
    return (edge, CLIP_SECONDS) if appears else (0.0, CLIP_SECONDS - edge)


def draw_backdrop(
    rng: np.random.Generator,
) -> tuple[tuple[tuple[float, float, float], tuple[float, float, float]], float]:
    """Draw a dark background of any hue, and how noisy the sensor is (half have no noise)."""
    grey = rng.uniform(18, 48)
    tint = rng.uniform(-10, 10, size=3)
    slope = rng.uniform(-10, 10)
    top, bottom = (np.clip(grey + tint + sign * slope, 4, 64).tolist() for sign in (-1, 1))
    noise = max(0.0, float(rng.uniform(-4, 4)))
    return ((top[0], top[1], top[2]), (bottom[0], bottom[1], bottom[2])), noise


def _place(drafts: list[_Draft], rng: np.random.Generator) -> tuple[SceneObject, ...]:
    """Choose the paths: the best layout of a few, or the first in which nothing overlaps much."""
    best: list[Path] = []
    least = np.inf
    for _ in range(_MAX_LAYOUTS):
        paths, overlap = _draw_layout(drafts, rng)
        if overlap < least:
            best, least = paths, overlap
        if least <= _TOLERATED_OVERLAP:
            break
    return tuple(
        SceneObject(*draft.pair, draft.size, draft.radius, path, draft.begin, draft.end)
        for draft, path in zip(drafts, best, strict=True)
    )


def _draw_layout(drafts: list[_Draft], rng: np.random.Generator) -> tuple[list[Path], float]:
    """Place one object after the other, each on the best of K paths; return the worst overlap."""
    paths: list[Path] = []
    tracks: list[Floats] = []
    worst = 0.0
    for draft in drafts:
        margin = EXTENTS[draft.pair[1]] * draft.radius + 0.005
        batch = draw_paths(draft.motion, _NUM_CANDIDATES, margin, rng)
        centres = batch.at(_progress(_LAYOUT_TIMES, draft.begin, draft.end))
        overlap = np.zeros(_NUM_CANDIDATES)
        for other, track in zip(drafts, tracks, strict=False):
            overlap = np.maximum(overlap, _overlaps(draft, other, centres - track))
        k = int(np.argmin(overlap))
        worst = max(worst, float(overlap[k]))
        paths.append(batch.pick(k))
        tracks.append(centres[k])
    return paths, worst


def _overlaps(one: _Draft, other: _Draft, apart: Floats) -> Floats:
    """Return (K,), how deep two objects overlap, at worst and on average, in smaller radii.

    Args:
        one: The object with K candidate paths.
        other: The object that is placed already.
        apart: (K, T, 2), from the centre of `other` to that of `one` at the layout's times.
    """
    first, last = max(one.begin, other.begin), min(one.end, other.end)
    together = (first <= _LAYOUT_TIMES) & (last > _LAYOUT_TIMES)
    touching = (one.radius + other.radius) * (_ALIKE if one.pair[0] == other.pair[0] else _APART)
    depth = np.maximum(touching - np.sqrt(np.square(apart).sum(axis=-1)), 0.0) * together
    mean = depth.sum(axis=1) / len(_LAYOUT_TIMES)
    return (depth.max(axis=1) + 2 * mean) / min(one.radius, other.radius)


def _progress(times: Floats, begin: float, end: float) -> Floats:
    return np.minimum(np.maximum((times - begin) / (end - begin), 0.0), 1.0)


def _choose(rng: np.random.Generator, weights: tuple[float, ...]) -> int:
    return int(np.searchsorted(np.cumsum(weights), rng.random() * sum(weights), side="right"))
