"""What can be asked about a scene: families of facts, each with its one right answer.

A fact is a question without its wording. Facts come from the scene graph, so their answers are
true by construction; which fact is asked, and how, is decided in `questions`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from videollm.toyworld.referents import MOVES, indefinite, name_pair, plural, references
from videollm.toyworld.scene import CLIP_SECONDS, Scene, SceneObject
from videollm.toyworld.splits import pairs_for
from videollm.toyworld.vocabulary import COLOURS, HELD_OUT_PAIRS, MOTIONS, SHAPES, SIZES

__all__ = ["FAMILIES", "Fact", "Family", "format_seconds"]

_CLEAR_GAP_SECONDS = 0.4
"""Least time between two events whose order may be asked."""

_CLEAR_OFFSET = 0.1
"""Least distance from the middle line of an object whose half may be asked."""

_EDGE_SECONDS = np.array([0.0, 0.125, 0.25])
"""How long an object must stay in its half at the start or the end to be asked about."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Hold one thing that can be asked.

    Args:
        kind: Which sort of question within its family.
        answer: The right answer, short.
        slots: (name, words) pairs for the wording.
        subjects: The objects that the question or its answer singles out.
    """

    kind: str
    answer: str
    slots: tuple[tuple[str, str], ...]
    subjects: tuple[SceneObject, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """Hold what is common to the questions of one family.

    Args:
        facts: All facts of a scene that may be asked in a split.
        weight: How often the family is asked, relative to the others.
        kinds: Kind to how often it is asked, relative to others that the scene offers; 1 where
            it is not named.
        answers: Kind to the answers to aim for, with weights. An answer is drawn whether the
            scene offers it or not, and where it does not nothing is asked: so rare answers
            become as frequent as common ones. Kinds that are not named draw evenly among the
            answers that the scene offers.
        pool: Answers to draw wrong choices from; empty where the scene decides.
    """

    facts: Callable[[Scene, str], Iterator[Fact]]
    weight: float
    kinds: dict[str, float]
    answers: dict[str, dict[str, float]]
    pool: tuple[str, ...]


def format_seconds(seconds: float) -> str:
    """Return a moment rounded to half a second, as an answer: "at 1.5 s"."""
    return f"at {round(2 * seconds) / 2:.1f} s"


def _existence(scene: Scene, split: str) -> Iterator[Fact]:
    for pair in pairs_for(split):
        found = tuple(thing for thing in scene.objects if thing.pair == pair)
        if split != "test_compositional" or pair in HELD_OUT_PAIRS:
            yield _exists("pair", " ".join(pair), found)
    if split == "test_compositional":
        return
    for colour in COLOURS:
        found = tuple(thing for thing in scene.objects if thing.colour == colour)
        yield _exists("colour", f"{colour} shape", found)
    for shape in SHAPES:
        yield _exists("shape", shape, tuple(t for t in scene.objects if t.shape == shape))
    for motion in MOTIONS:
        found = tuple(thing for thing in scene.objects if thing.motion == motion)
        yield _exists("motion", f"shape that {MOVES[motion]}", found)


def _exists(kind: str, words: str, found: tuple[SceneObject, ...]) -> Fact:
    return Fact(kind, "yes" if found else "no", (("a", indefinite(words)),), found)


def _count(scene: Scene, split: str) -> Iterator[Fact]:
    yield Fact("all", str(len(scene.objects)), (("things", "shapes"),), scene.objects)
    for colour in COLOURS:
        found = tuple(thing for thing in scene.objects if thing.colour == colour)
        yield Fact("colour", str(len(found)), (("things", f"{colour} shapes"),), found)
    for shape in SHAPES:
        found = tuple(thing for thing in scene.objects if thing.shape == shape)
        yield Fact("shape", str(len(found)), (("things", plural(shape)),), found)


def _colour(scene: Scene, split: str) -> Iterator[Fact]:
    ways = ("shape", "motion", "size", "size and shape", "alone")
    for way, name, thing in references(scene, ways, "shape"):
        yield Fact(way, thing.colour, (("the", name),), (thing,))


def _shape(scene: Scene, split: str) -> Iterator[Fact]:
    ways = ("colour", "motion", "size", "size and colour", "alone")
    for way, name, thing in references(scene, ways, "object"):
        yield Fact(way, thing.shape, (("the", name),), (thing,))


def _size(scene: Scene, split: str) -> Iterator[Fact]:
    for way, name, thing in references(scene, ("pair", "shape", "colour", "motion"), "shape"):
        yield Fact(way, thing.size, (("the", name),), (thing,))


def _motion(scene: Scene, split: str) -> Iterator[Fact]:
    ways = ("pair", "shape", "colour", "size", "size and shape")
    for way, name, thing in references(scene, ways, "shape"):
        yield Fact(way, thing.motion, (("the", name),), (thing,))


def _position(scene: Scene, split: str) -> Iterator[Fact]:
    places = {
        "at the start": _EDGE_SECONDS,
        "at the end": CLIP_SECONDS - 1e-6 - _EDGE_SECONDS,
    }
    for _, name, thing in references(scene, ("pair", "shape", "colour"), "shape"):
        for when, seconds in places.items():
            if not thing.present(seconds).all():
                continue
            x, y = (thing.positions(seconds) - 0.5).T
            for offset, sides in ((x, ("left", "right")), (y, ("top", "bottom"))):
                if np.abs(offset).min() < _CLEAR_OFFSET or np.ptp(np.sign(offset)):
                    continue
                answer = sides[int(offset[0] > 0)]
                on = "on" if sides[0] == "left" else "at"
                ends = " or ".join(sides)
                slots = (
                    ("the", name),
                    ("when", when),
                    ("sides", f"{on} the {sides[0]} or {on} the {sides[1]}"),
                    ("ends", ends),
                )
                yield Fact(f"{ends} {when}", answer, slots, (thing,))


def _order(scene: Scene, split: str) -> Iterator[Fact]:
    begins = sorted(scene.objects, key=lambda thing: thing.begin_seconds)
    ends = sorted(scene.objects, key=lambda thing: thing.end_seconds)
    if len(begins) < 2:
        return
    candidates = (
        ("appears first", begins[0], begins[1].begin_seconds - begins[0].begin_seconds),
        ("appears last", begins[-1], begins[-1].begin_seconds - begins[-2].begin_seconds),
        ("disappears first", ends[0], ends[1].end_seconds - ends[0].end_seconds),
    )
    for event, thing, gap in candidates:
        if gap >= _CLEAR_GAP_SECONDS:
            yield Fact(event, name_pair(thing), (("event", event),), (thing,))


def _time(scene: Scene, split: str) -> Iterator[Fact]:
    for _, name, thing in references(scene, ("pair", "shape", "colour"), "shape"):
        for verb, seconds in (
            ("appear", thing.begin_seconds),
            ("disappear", thing.end_seconds),
        ):
            if 0 < seconds < CLIP_SECONDS:
                slots = (("the", name), ("do", verb), ("does", f"{verb}s"))
                yield Fact(verb, format_seconds(seconds), slots, (thing,))


def _caption(scene: Scene, split: str) -> Iterator[Fact]:
    things = sorted(
        scene.objects,
        key=lambda thing: (thing.begin_seconds, thing.positions(np.array([0.0]))[0, 0]),
    )
    yield Fact("all", " ".join(map(_sentence, things)), (), tuple(things))


def _sentence(thing: SceneObject) -> str:
    words = indefinite(f"{thing.size} {name_pair(thing)}").capitalize()
    if thing.begin_seconds > 0:
        words += f" appears {format_seconds(thing.begin_seconds)} and"
    words += f" {MOVES[thing.motion]}"
    if thing.end_seconds < CLIP_SECONDS:
        words += f" and disappears {format_seconds(thing.end_seconds)}"
    return f"{words}."


_HALF_SECONDS = tuple(format_seconds(seconds) for seconds in np.arange(0.5, 3.6, 0.5))

_EVEN = {"yes": 1.0, "no": 1.0}
_NUMBERS = {"0": 0.15, "1": 0.15, "2": 0.45, "3": 0.9, "4": 1.5}
"""Numbers that few scenes offer are aimed for more often."""

FAMILIES: dict[str, Family] = {
    "existence": Family(
        facts=_existence,
        weight=1.5,
        kinds={"pair": 2.0},
        answers=dict.fromkeys(("pair", "colour", "shape", "motion"), _EVEN),
        pool=("yes", "no"),
    ),
    "count": Family(
        facts=_count,
        weight=5.5,
        kinds={"colour": 9.0, "shape": 9.0},
        answers={"colour": _NUMBERS, "shape": _NUMBERS},
        pool=tuple("01234"),
    ),
    "colour": Family(_colour, 1.0, {"shape": 2.0}, {}, tuple(COLOURS)),
    "shape": Family(_shape, 1.0, {"colour": 2.0}, {}, SHAPES),
    "size": Family(_size, 1.5, {"pair": 2.0}, {}, SIZES),
    "position": Family(_position, 1.0, {}, {}, ()),
    "motion": Family(_motion, 1.2, {"pair": 2.0}, {}, MOTIONS),
    "order": Family(_order, 3.0, {}, {}, ()),
    "time": Family(_time, 2.2, {}, {}, _HALF_SECONDS),
    "caption": Family(_caption, 1.0, {}, {}, ()),
}
"""Name to family, in the order of reports."""
