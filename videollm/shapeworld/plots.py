"""What an object does: ways relative to a place that is chosen later, with events on a grid.

A plot decides when things happen and how far they go; where, is left to `layout`, which moves
the whole way within the room that the plot leaves. Events fall near half seconds, at least a
second from cuts, so that none of them hides between two frames.
"""

from dataclasses import replace
from typing import TypeVar

import numpy as np

from videollm.shapeworld.drafts import Draft, Look, Span
from videollm.shapeworld.scene import Event
from videollm.shapeworld.shapes import EXTENTS, REACH, TOUCH
from videollm.shapeworld.vocabulary import DIRECTIONS, RADII, SIDES, SPEEDS

__all__ = ["draw_change", "draw_collision", "draw_plot", "fits"]

_Item = TypeVar("_Item")

_GAP = 0.02
_CLEAR_SECONDS = 1.0
"""Least time between a cut and an event."""

_LEAST_SECONDS = {"slow": 2.0, "fast": 1.25}
"""Least time that a way takes."""

_GROW_SECONDS = 1.0
_TURN_RATE = np.deg2rad(60.0)
"""Radians a second: 30 degrees from frame to frame at 2 frames a second, less than any shape
needs to look as before."""

_COLLISION_SPEED = 0.2
_COLLISION_SECONDS = 2.75


def fits(plot: str, span: Span, look: Look) -> bool:
    """Return whether a plot can be played in a shot by an object of that look."""
    if plot == "rotates":
        return look.shape != "circle"
    least = {"enters": 3.0, "leaves": 2.5, "bounces": 2.0, "collides": _COLLISION_SECONDS}
    return span.seconds >= least.get(plot, 0.0)


def draw_plot(plot: str, look: Look, span: Span, rng: np.random.Generator) -> Draft:
    """Return a draft of any plot but "collides", which takes two: see `draw_collision`."""
    if plot == "still":
        return _still(look, span)
    if plot == "moves":
        return _moves(look, span, rng)
    if plot == "rotates":
        return _rotates(look, span, rng)
    if plot == "bounces":
        return _bounces(look, span, rng)
    return _crosses(plot, look, span, rng)


def draw_change(draft: Draft, span: Span, colours: list[str], rng: np.random.Generator) -> Draft:
    """Return a draft whose object grows, shrinks or changes its colour where there is time.

    Args:
        draft: Of an object that is still.
        span: Its shot.
        colours: Those that it may turn to.
        rng: Source of randomness.
    """
    look = draft.look
    late = span.moments(_CLEAR_SECONDS, _CLEAR_SECONDS + _GROW_SECONDS)
    if late and rng.random() < 0.6:
        begin = _near(_pick(late, rng), rng)
        kind, size = ("grows", "large") if look.size == "small" else ("shrinks", "small")
        last = float(rng.uniform(*RADII[size]))
        margin = EXTENTS[look.shape] * max(look.radius, last)
        return replace(
            draft,
            low=(margin, margin),
            high=(1 - margin, 1 - margin),
            radius=((begin, look.radius), (begin + _GROW_SECONDS, last)),
            events=(Event(kind, begin),),
        )
    moments = span.moments(_CLEAR_SECONDS, _CLEAR_SECONDS)
    if not moments or not colours:
        return draft
    event = Event("recolours", _near(_pick(moments, rng), rng), _pick(colours, rng))
    return replace(draft, events=(event,))


def draw_collision(one: Look, other: Look, span: Span, rng: np.random.Generator) -> list[Draft]:
    """Return two drafts with one place, where they meet; the first comes from the left or top.

    They come towards each other, touch, and go back the way they came.
    """
    axis = int(rng.integers(2))
    moment = _near(_pick(span.moments(1.25, 1.25), rng), rng)
    margins = [EXTENTS[look.shape] * look.radius for look in (one, other)]
    away = min(0.3, (1 - 2 * sum(margins) - _GAP) / 2)
    touches = [TOUCH[look.shape][axis] * look.radius for look in (one, other)]
    wide = max(margins)
    low, high = [wide, wide], [1 - wide, 1 - wide]
    low[axis], high[axis] = 2 * margins[0] + away, 1 - 2 * margins[1] - away
    drafts = []
    for look, reach, sign in ((one, touches[0], -1), (other, touches[1], 1)):
        touch, far = sign * reach, sign * (reach + away)
        seconds = away / _COLLISION_SPEED
        knots = [(moment - seconds, far), (moment, touch), (moment + seconds, far)]
        way = tuple((at, *((0.0, v) if axis else (v, 0.0))) for at, v in knots)
        drafts.append(
            Draft(
                look,
                "collides",
                way,
                (low[0], low[1]),
                (high[0], high[1]),
                (Event("collides", moment),),
                radius=((0.0, look.radius),),
            )
        )
    return drafts


def _still(look: Look, span: Span) -> Draft:
    margin = EXTENTS[look.shape] * look.radius
    return Draft(
        look,
        "still",
        ((span.begin, 0.0, 0.0),),
        (margin, margin),
        (1 - margin, 1 - margin),
        radius=((0.0, look.radius),),
    )


def _interval(
    span: Span, least: float, most: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Draw begin and end of something that lasts `least` to `most` seconds, or touches cuts."""
    options = [
        (begin, end)
        for begin in (span.begin, *span.moments(_CLEAR_SECONDS, least))
        for end in (*span.moments(least, _CLEAR_SECONDS), span.end)
        if least <= end - begin <= most
    ]
    begin, end = options[int(rng.integers(len(options)))]
    begin = begin if begin == span.begin else _near(begin, rng)
    return begin, end if end == span.end else _near(end, rng)


def _edges(span: Span, begin: float, end: float, kinds: tuple[str, str]) -> tuple[Event, ...]:
    events = []
    if begin > span.begin:
        events.append(Event(kinds[0], begin))
    if end < span.end:
        events.append(Event(kinds[1], end))
    return tuple(events)


def _moves(look: Look, span: Span, rng: np.random.Generator) -> Draft:
    margin = EXTENTS[look.shape] * look.radius
    direction = _pick(list(DIRECTIONS), rng)
    step = np.array(DIRECTIONS[direction])
    room = (1 - 2 * margin) / float(np.abs(step).max())
    speed = _pick(list(SPEEDS), rng)
    # A jitter of 0.05 s at either end must not push it out.
    longest = room / SPEEDS[speed] - 0.12
    begin, end = _interval(span, min(_LEAST_SECONDS[speed], span.seconds), longest, rng)
    reach = step * SPEEDS[speed] * (end - begin)
    low, high = margin + np.maximum(0, -reach), 1 - margin - np.maximum(0, reach)
    return Draft(
        look,
        "moves",
        ((begin, 0.0, 0.0), (end, float(reach[0]), float(reach[1]))),
        (float(low[0]), float(low[1])),
        (float(high[0]), float(high[1])),
        _edges(span, begin, end, ("starts", "stops")),
        direction=direction,
        speed=speed,
        radius=((0.0, look.radius),),
    )


def _rotates(look: Look, span: Span, rng: np.random.Generator) -> Draft:
    begin, end = _interval(span, min(2.0, span.seconds), span.seconds, rng)
    sign = 1 if rng.random() < 0.5 else -1
    margin = REACH[look.shape] * look.radius
    return replace(
        _still(look, span),
        plot="rotates",
        low=(margin, margin),
        high=(1 - margin, 1 - margin),
        angle=((begin, 0.0), (end, sign * _TURN_RATE * (end - begin))),
        events=_edges(span, begin, end, ("turns", "rests")),
    )


def _bounces(look: Look, span: Span, rng: np.random.Generator) -> Draft:
    margin = EXTENTS[look.shape] * look.radius
    moment = _near(_pick(span.moments(_CLEAR_SECONDS, _CLEAR_SECONDS), rng), rng)
    longest = min(0.6, 1 - 2 * margin)
    before, after = rng.uniform(SPEEDS["fast"], longest, size=2)
    side = _pick(list(SIDES), rng)
    way = tuple(
        (moment + length / SPEEDS["fast"] * sign, *_inwards(side, length))
        for length, sign in ((float(before), -1), (0.0, 0), (float(after), 1))
    )
    return replace(
        _beside(look, side, margin),
        plot="bounces",
        way=way,
        side=side,
        events=(Event("bounces", moment, side),),
    )


def _crosses(plot: str, look: Look, span: Span, rng: np.random.Generator) -> Draft:
    """Return an object that enters or leaves through a side, straight and fast."""
    margin = EXTENTS[look.shape] * look.radius
    fast = SPEEDS["fast"]
    hidden = margin + _GAP
    outside, side = hidden / fast, _pick(list(SIDES), rng)
    length = float(rng.uniform(margin + 0.12, min(0.65, 1 - margin)))
    if plot == "enters":
        moment = _near(_pick(span.moments(outside + 0.2, 1.25), rng), rng)
        knots = ((moment - outside, -hidden), (moment + length / fast, length))
    else:
        moment = _near(_pick(span.moments(1.25, 0.75), rng), rng)
        knots = ((moment - length / fast, length), (moment + outside, -hidden))
    return replace(
        _beside(look, side, 0.0),
        plot=plot,
        way=tuple((at, *_inwards(side, depth)) for at, depth in knots),
        side=side,
        events=(Event(plot, moment, side),),
    )


def _beside(look: Look, side: str, depth: float) -> Draft:
    """Return an object whose place is `depth` inwards of a side, anywhere along it."""
    margin = EXTENTS[look.shape] * look.radius
    axis = 0 if SIDES[side][0] else 1
    low, high = [margin, margin], [1 - margin, 1 - margin]
    low[axis] = high[axis] = depth if sum(SIDES[side]) < 0 else 1 - depth
    return Draft(look, "", (), (low[0], low[1]), (high[0], high[1]), radius=((0.0, look.radius),))


def _inwards(side: str, depth: float) -> tuple[float, float]:
    x, y = SIDES[side]
    return -x * depth, -y * depth


def _near(moment: float, rng: np.random.Generator) -> float:
    return moment + float(rng.uniform(-0.05, 0.05))


def _pick(items: list[_Item], rng: np.random.Generator) -> _Item:
    return items[int(rng.random() * len(items))]
