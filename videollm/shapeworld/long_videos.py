"""Long videos, up to an hour: a chorus that comes again and again, and a few needles.

A needle is an object that is on for one shot; its shape is nobody else's, so it can be asked for
however long the video is. The chorus has colours and shapes that no needle has. Quiet videos have
no chorus: beside the needles nothing is there but backgrounds.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from videollm.shapeworld.backdrops import draw_backdrops
from videollm.shapeworld.casting import Cast, draw_objects
from videollm.shapeworld.drafts import Span
from videollm.shapeworld.scene import Scene, SceneObject, Shot
from videollm.shapeworld.splits import pairs_for
from videollm.shapeworld.vocabulary import COLOURS, HELD_OUT_PAIRS, SHAPES

__all__ = ["LONG_MINUTES", "draw_pairs", "film", "make_long_scene"]

LONG_MINUTES: dict[str, tuple[float, ...]] = {
    "train_long": (0.25, 0.5, 0.75, 1.0),
    "train_stream": (2.0, 5.0, 10.0, 20.0, 40.0, 60.0),
    "test_long": (1.0, 2.0, 5.0),
    "test_long_10": (10.0,),
    "test_long_60": (60.0,),
}
"""Split to the lengths of its videos, which take turns."""

_SHOT_SECONDS = (4.0, 5.0, 6.0, 8.0)
_NEEDLE_SECONDS = 6.0
_MAX_NEEDLES = 5
_CHORUS = 2
_QUIET = {"train_stream": 0.35}
"""Split to the share of its videos that are quiet."""


def make_long_scene(split: str, index: int, seed: int, rng: np.random.Generator) -> Scene:
    """Return a long video.

    Args:
        split: One of `LONG_MINUTES`.
        index: Its number in the split.
        seed: Seed of the whole world.
        rng: Source of its randomness.
    """
    minutes = LONG_MINUTES[split]
    spans = _draw_spans(60 * minutes[index % len(minutes)], rng)
    chorus, needles = draw_pairs(2 + int(rng.integers(_MAX_NEEDLES - 1)), rng)
    eligible = [number for number, span in enumerate(spans) if span.seconds >= 5]
    shots = rng.choice(eligible, size=min(len(needles), len(eligible) - 1), replace=False)
    plays = dict(zip(np.sort(shots).tolist(), needles, strict=False))
    is_quiet = split in _QUIET and rng.random() < _QUIET[split]
    return film(split, index, seed, spans, plays, [] if is_quiet else chorus, rng)


def film(
    split: str,
    index: int,
    seed: int,
    spans: Sequence[Span],
    plays: Mapping[int, tuple[str, str]],
    chorus: Sequence[tuple[str, str]],
    rng: np.random.Generator,
) -> Scene:
    """Return a long video of given shots.

    Args:
        split: As in `make_long_scene`, and so are the next two.
        index: Likewise.
        seed: Likewise.
        spans: Its shots, in order.
        plays: Number of a shot to the (colour, shape) of the needle that is on in it.
        chorus: Pairs that are on in the other shots, one or more; none: nobody is.
        rng: Source of its randomness.
    """
    objects: list[SceneObject] = []
    numbers = []
    for shot, span in enumerate(spans):
        if shot in plays:
            numbers.append(len(objects))
            pairs = [plays[shot]]
        elif not chorus:
            continue
        else:
            order = rng.permutation(len(chorus))[: 1 + int(rng.integers(len(chorus)))]
            pairs = [chorus[k] for k in order]
        # Nobody changes colour: the pairs of a long video must stay what they are.
        cast = Cast(pairs, set())
        objects += draw_objects(cast, span, shot=shot, first=len(objects), rng=rng)
    backdrops = draw_backdrops(len(spans), rng)
    made = [Shot(span.begin, span.end, drop) for span, drop in zip(spans, backdrops, strict=True)]
    return Scene(
        split, index, seed, spans[-1].end, tuple(made), tuple(objects), needles=tuple(numbers)
    )


def _draw_spans(seconds: float, rng: np.random.Generator) -> list[Span]:
    spans = [Span(0.0, _NEEDLE_SECONDS)]
    while spans[-1].end < seconds:
        length = float(rng.choice(_SHOT_SECONDS))
        begin = spans[-1].end
        # What is left over is added to the last shot, which must not be a flash.
        end = seconds if seconds - begin - length < _SHOT_SECONDS[0] else begin + length
        spans.append(Span(begin, end))
    return spans


def draw_pairs(
    num: int, rng: np.random.Generator
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the pairs of the chorus and of `num` needles, whose shapes are all different."""
    while True:
        shapes = [SHAPES[k] for k in rng.permutation(len(SHAPES))]
        colours = [list(COLOURS)[k] for k in rng.permutation(len(COLOURS))]
        # Some needles share a colour, so that there is something to count.
        own = colours[_CHORUS : _CHORUS + 1 + int(rng.integers(num))]
        chosen = [own[int(rng.integers(len(own)))] for _ in range(num)]
        chorus = list(zip(colours[:_CHORUS], shapes[:_CHORUS], strict=True))
        needles = list(zip(chosen, shapes[_CHORUS : _CHORUS + num], strict=True))
        if not set(HELD_OUT_PAIRS) & {*chorus, *needles}:
            assert set(needles) <= set(pairs_for("train"))
            return chorus, needles
