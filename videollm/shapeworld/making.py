"""Seeded scenes: what a clip holds is drawn first, where it is last.

So crowding cannot change which words are frequent. No (colour, shape) pair comes twice in a clip,
not even after a change of colour, and most clips repeat one colour or one shape, which makes
counts of two and more frequent.
"""

import numpy as np

from videollm.shapeworld.backdrops import draw_backdrops
from videollm.shapeworld.casting import Cast, choose, draw_objects
from videollm.shapeworld.drafts import Span
from videollm.shapeworld.long_videos import LONG_MINUTES, make_long_scene
from videollm.shapeworld.scene import Scene, SceneObject, Shot
from videollm.shapeworld.splits import generator_for, pairs_for
from videollm.shapeworld.vocabulary import HELD_OUT_PAIRS

__all__ = ["make_scene"]

_SCENE_STREAM = 0
_LENGTHS = (4.0, 5.0, 6.0, 7.0, 8.0)
_LENGTH_WEIGHTS = (0.2, 0.15, 0.25, 0.15, 0.25)
_LEAST_SHOT_SECONDS = 2.5
_NUM_SHOTS = (0.4, 0.35, 0.25)
"""How frequent one, two and three shots are, where there is time for three."""

_NUM_OBJECTS = {1: (0.14, 0.26, 0.32, 0.28), 2: (0.35, 0.4, 0.25), 3: (0.6, 0.4)}
"""Number of shots to how frequent one, two, ... objects in each are."""


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
    if split in LONG_MINUTES:
        return make_long_scene(split, index, seed, rng)
    seconds = _LENGTHS[choose(rng, _LENGTH_WEIGHTS)]
    spans = _draw_spans(seconds, rng)
    numbers = [1 + choose(rng, _NUM_OBJECTS[len(spans)]) for _ in spans]
    pairs = _draw_pairs(split, sum(numbers), rng)
    free = set(pairs_for(split)) - set(pairs) - set(HELD_OUT_PAIRS)
    objects: list[SceneObject] = []
    for shot, (span, number) in enumerate(zip(spans, numbers, strict=True)):
        first = len(objects)
        cast = Cast(pairs[first : first + number], free)
        objects += draw_objects(cast, span, shot=shot, first=first, rng=rng)
    backdrops = draw_backdrops(len(spans), rng)
    shots = tuple(
        Shot(span.begin, span.end, backdrop)
        for span, backdrop in zip(spans, backdrops, strict=True)
    )
    return Scene(split, index, seed, seconds, shots, tuple(objects))


def _draw_spans(seconds: float, rng: np.random.Generator) -> list[Span]:
    """Draw the cuts, at half seconds."""
    most = min(int(seconds / _LEAST_SHOT_SECONDS), 3)
    num = 1 + choose(rng, _NUM_SHOTS[:most])
    spare = int(2 * (seconds - num * _LEAST_SHOT_SECONDS))
    shares = np.sort(rng.integers(0, spare + 1, size=num - 1)) / 2
    cuts = shares + _LEAST_SHOT_SECONDS * np.arange(1, num)
    edges = [0.0, *cuts.tolist(), seconds]
    return [Span(begin, end) for begin, end in zip(edges[:-1], edges[1:], strict=True)]


def _draw_pairs(split: str, num: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Draw distinct (colour, shape) pairs, one colour or shape of which may come up often."""
    pairs: list[tuple[str, str]] = []
    if split == "test_compositional":
        pairs.append(HELD_OUT_PAIRS[int(rng.integers(len(HELD_OUT_PAIRS)))])
    place = choose(rng, (0.3, 0.3, 0.4))
    num_repeats = min(num, 4) - int(rng.random() < 0.35)
    while len(pairs) < num:
        options = [pair for pair in pairs_for(split) if pair not in pairs]
        if pairs and place < 2 and len(pairs) < num_repeats:
            options = [pair for pair in options if pair[place] == pairs[0][place]]
        colours = list(dict.fromkeys(pair[0] for pair in options))
        colour = colours[int(rng.integers(len(colours)))]
        shapes = [pair[1] for pair in options if pair[0] == colour]
        pairs.append((colour, shapes[int(rng.integers(len(shapes)))]))
    return [pairs[k] for k in rng.permutation(num)]
