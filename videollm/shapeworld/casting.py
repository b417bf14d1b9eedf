"""Who plays what in a shot: looks, plots and changes for given colours and shapes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from videollm.shapeworld.drafts import Draft, Look, Span
from videollm.shapeworld.layout import place_drafts
from videollm.shapeworld.plots import draw_change, draw_collision, draw_plot, fits
from videollm.shapeworld.scene import SceneObject
from videollm.shapeworld.vocabulary import FILLS, PLOTS, RADII, SIZES

__all__ = ["Cast", "choose", "draw_objects"]

_PLOT_WEIGHTS = dict(zip(PLOTS, (0.22, 0.34, 0.11, 0.05, 0.12, 0.11, 0.1), strict=True))
_CHANGE_CHANCE = 0.6
_CROSSING_CHANCE = 0.25


@dataclass(frozen=True, slots=True)
class Cast:
    """Hold who is in a shot.

    Args:
        pairs: (colour, shape) of each object.
        free: Pairs that no object of the clip has: what a change of colour may lead to.
    """

    pairs: Sequence[tuple[str, str]]
    free: set[tuple[str, str]]


def draw_objects(
    cast: Cast, span: Span, *, shot: int, first: int, rng: np.random.Generator
) -> list[SceneObject]:
    """Return the objects of a shot; a pair that one turns to is taken out of `cast.free`.

    Args:
        cast: Who is in it.
        span: When it is on.
        shot: Its number.
        first: The number of its first object.
        rng: Source of randomness.
    """
    looks = [_draw_look(pair, rng) for pair in cast.pairs]
    groups: list[list[Draft]] = []
    while looks:
        look = looks.pop()
        weights = {
            plot: weight
            for plot, weight in _PLOT_WEIGHTS.items()
            if fits(plot, span, look) and (looks or plot != "collides")
        }
        plot = list(weights)[choose(rng, tuple(weights.values()))]
        if plot == "collides":
            groups.append(draw_collision(look, _narrow(looks.pop(), look, rng), span, rng))
            continue
        draft = draw_plot(plot, look, span, rng)
        if plot == "still" and rng.random() < _CHANGE_CHANCE:
            draft = _change(draft, cast, span, rng)
        groups.append([draft])
    # Those with the least room come first.
    groups.sort(key=lambda group: -len(group))
    crossing = rng.random() < _CROSSING_CHANCE
    return place_drafts(groups, span, shot=shot, first=first, crossing=crossing, rng=rng)


def choose(rng: np.random.Generator, weights: Sequence[float]) -> int:
    """Draw a number in proportion to its weight."""
    left = rng.random() * sum(weights)
    for number, weight in enumerate(weights):
        left -= weight
        if left < 0:
            return number
    return len(weights) - 1


def _draw_look(pair: tuple[str, str], rng: np.random.Generator) -> Look:
    size, fill = SIZES[int(rng.integers(2))], FILLS[int(rng.integers(2))]
    return Look(*pair, size, fill, float(rng.uniform(*RADII[size])))


def _narrow(look: Look, beside: Look, rng: np.random.Generator) -> Look:
    """Return a small look where two large objects would have no room to meet."""
    if look.size == "small" or beside.size == "small":
        return look
    return Look(look.colour, look.shape, "small", look.fill, float(rng.uniform(*RADII["small"])))


def _change(draft: Draft, cast: Cast, span: Span, rng: np.random.Generator) -> Draft:
    shape = draft.look.shape
    colours = sorted(colour for colour, other in cast.free if other == shape)
    changed = draw_change(draft, span, colours, rng)
    for event in changed.events:
        if event.kind == "recolours":
            cast.free.discard((event.detail, shape))
    return changed
