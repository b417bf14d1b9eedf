"""Where the objects of a shot are: the places at which their ways keep clear of each other.

Legend: K candidate places, T times.
"""

from collections.abc import Sequence

import numpy as np

from videollm.shapeworld.drafts import Draft, Span
from videollm.shapeworld.scene import Floats, SceneObject, Track

__all__ = ["place_drafts"]

_NUM_CANDIDATES = 48
_MAX_LAYOUTS = 6
_STEP_SECONDS = 0.4
_WIDE = 1.1
"""Radius of the disc that stands for a shape, in radii."""

_APART, _ALIKE = 1.05, 1.25
"""Wanted distance of two objects, in sums of discs; those of one colour must not melt together."""

_TOLERATED_OVERLAP = 0.25
"""Deepest intrusion into the wanted distance that is accepted at once, in smaller radii."""

_CROSSING_SHARE = 0.3
"""Share of the time that two objects may overlap in a shot with crossings."""


def place_drafts(
    groups: Sequence[Sequence[Draft]],
    span: Span,
    *,
    shot: int,
    first: int,
    crossing: bool,
    rng: np.random.Generator,
) -> list[SceneObject]:
    """Return the objects of a shot at the best places of a few layouts.

    Args:
        groups: Objects that share a place, mostly one.
        span: When the shot is on.
        shot: Its number.
        first: The number of its first object.
        crossing: Whether objects may pass in front of each other.
        rng: Source of randomness.
    """
    times = np.arange(span.begin + _STEP_SECONDS / 2, span.end, _STEP_SECONDS)
    drafts = [draft for group in groups for draft in group]
    ways = [_way(draft, times) for draft in drafts]
    best: list[Floats] = []
    least = np.inf
    for _ in range(_MAX_LAYOUTS):
        places, overlap = _draw_layout(groups, ways, crossing, rng)
        if overlap < least:
            best, least = places, overlap
        if least <= _TOLERATED_OVERLAP:
            break
    return [
        _object(draft, place, span, shot=shot, number=first + number)
        for number, (draft, place) in enumerate(zip(drafts, best, strict=True))
    ]


def _draw_layout(
    groups: Sequence[Sequence[Draft]],
    ways: Sequence[Floats],
    crossing: bool,
    rng: np.random.Generator,
) -> tuple[list[Floats], float]:
    """Place one group after the other, each at the best of K places; return the worst overlap."""
    placed: list[tuple[Draft, Floats]] = []
    places: list[Floats] = []
    worst = 0.0
    for group in groups:
        low, high = np.array(group[0].low), np.array(group[0].high)
        candidates = low + (high - low) * rng.random((_NUM_CANDIDATES, 2))
        overlap = np.zeros(_NUM_CANDIDATES)
        own = ways[len(places) : len(places) + len(group)]
        for draft, way in zip(group, own, strict=True):
            for other, track in placed:
                apart = candidates[:, None] + (way - track)
                overlap = np.maximum(overlap, _overlaps(draft, other, apart, crossing))
        k = int(np.argmin(overlap))
        worst = max(worst, float(overlap[k]))
        places += [candidates[k]] * len(group)
        placed += [(draft, candidates[k] + way) for draft, way in zip(group, own, strict=True)]
    return places, worst


def _overlaps(one: Draft, other: Draft, apart: Floats, crossing: bool) -> Floats:
    """Return (K,), how deep two objects overlap, in smaller radii; `apart` is (K, T, 2)."""
    radii = [max(radius for _, radius in draft.radius) for draft in (one, other)]
    alike = one.look.colour == other.look.colour
    touching = sum(radii) * _WIDE * (_ALIKE if alike else _APART)
    away = np.sqrt(np.einsum("ktd,ktd->kt", apart, apart))
    depth = np.maximum(touching - away, 0.0) / min(radii)
    mean: Floats = depth.mean(axis=1)
    if crossing and not alike:
        often = (depth > 0.3).mean(axis=1)
        free: Floats = np.where(often <= _CROSSING_SHARE, 0.0, often + mean)
        return free
    deepest: Floats = depth.max(axis=1) + 2 * mean
    return deepest


def _way(draft: Draft, times: Floats) -> Floats:
    """Return (T, 2), the way from its place."""
    x, y = _tracks(draft, np.zeros(2))
    return np.stack((x.at(times), y.at(times)), axis=-1)


def _tracks(draft: Draft, place: Floats) -> tuple[Track, Track]:
    seconds = tuple(knot[0] for knot in draft.way)
    x, y = (tuple(float(place[axis]) + knot[1 + axis] for knot in draft.way) for axis in (0, 1))
    return Track(seconds, x), Track(seconds, y)


def _object(draft: Draft, place: Floats, span: Span, *, shot: int, number: int) -> SceneObject:
    x, y = _tracks(draft, place)
    look = draft.look
    return SceneObject(
        number=number,
        shot=shot,
        colour=look.colour,
        shape=look.shape,
        size=look.size,
        fill=look.fill,
        plot=draft.plot,
        direction=draft.direction,
        speed=draft.speed,
        side=draft.side,
        begin_seconds=span.begin,
        end_seconds=span.end,
        x=x,
        y=y,
        radius=Track(*_columns(draft.radius)),
        angle=Track(*_columns(draft.angle)),
        events=draft.events,
    )


def _columns(
    knots: tuple[tuple[float, float], ...],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(knot[0] for knot in knots), tuple(knot[1] for knot in knots)
