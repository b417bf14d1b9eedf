"""What can be asked about a scene: a fact is a question without its wording.

Facts come from the scene graph, so their answers are true by construction. Which fact is asked,
and how, is decided in `questions`; what happens over time is in `happenings`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from videollm.shapeworld.referents import (
    askable,
    indefinite,
    matching,
    plural,
    references,
)
from videollm.shapeworld.scene import Scene, SceneObject
from videollm.shapeworld.splits import pairs_for
from videollm.shapeworld.vocabulary import COLOURS, FILLS, HELD_OUT_PAIRS, SHAPES

__all__ = [
    "Fact",
    "colour_facts",
    "count_facts",
    "existence_facts",
    "fill_facts",
    "position_facts",
    "quarter_of",
    "shape_facts",
    "size_facts",
]

_CLEAR_OFFSET = 0.1
"""Least distance from the middle lines of an object whose quarter may be asked."""

_CLEAR_AWAY, _CLEAR_BESIDE = 0.3, 0.15
"""Least distance along one axis, and greatest along the other, of two that are compared."""

_EDGE_SECONDS = np.array([0.0, 0.125, 0.25])
"""How long an object must stay in its quarter at the start or the end to be asked about."""

_FILL_WORDS = {"filled": "filled", "outline": "outlined"}


@dataclass(frozen=True, slots=True)
class Fact:
    """Hold one thing that can be asked.

    Args:
        kind: Which sort of question within its family.
        answer: The right answer, short.
        slots: (name, words) pairs for the wording.
        subjects: The objects that the question or its answer singles out.
        group: Which wordings it takes: a key of `WORDINGS`.
        aliases: Other right answers that belong to this fact alone.
        pool: Answers to draw wrong choices from; empty for those of its family.
    """

    kind: str
    answer: str
    slots: tuple[tuple[str, str], ...]
    subjects: tuple[SceneObject, ...]
    group: str
    aliases: tuple[str, ...] = ()
    pool: tuple[str, ...] = ()


def existence_facts(scene: Scene, split: str) -> Iterator[Fact]:
    """Yield whether there is such a shape, or such a happening."""
    for colour, shape in pairs_for(split):
        if split == "test_compositional" and (colour, shape) not in HELD_OUT_PAIRS:
            continue
        yield _exists("pair", f"{colour} {shape}", matching(scene, colour=colour, shape=shape))
    if split == "test_compositional":
        return
    for shape in SHAPES:
        yield _exists("shape", shape, matching(scene, shape=shape))
        for fill, word in _FILL_WORDS.items():
            yield _exists("fill", f"{word} {shape}", matching(scene, fill=fill, shape=shape))
    for colour in COLOURS:
        yield _exists("colour", f"{colour} shape", matching(scene, colour=colour))
    if scene.needles:
        return
    for plot in ("bounces", "rotates", "enters", "leaves"):
        found = tuple(thing for thing in scene.objects if thing.plot == plot)
        yield _exists("plot", f"shape that {plot}", found)
    for kind, words in (
        ("grows", "grows"),
        ("shrinks", "shrinks"),
        ("recolours", "changes colour"),
    ):
        found = tuple(t for t in scene.objects if t.change is not None and t.change.kind == kind)
        yield _exists("plot", f"shape that {words}", found)
    found = tuple(thing for thing in scene.objects if thing.plot == "collides")
    yield Fact("plot", "yes" if found else "no", (("a", "a collision"),), found, "existence")


def _exists(kind: str, words: str, found: tuple[SceneObject, ...]) -> Fact:
    answer = "yes" if found else "no"
    return Fact(kind, answer, (("a", indefinite(words)),), found, "existence")


def count_facts(scene: Scene, split: str) -> Iterator[Fact]:
    """Yield how many shapes there are, of a colour, a shape or a fill, or in all."""
    del split
    changed = {thing.last_colour for thing in scene.objects if thing.colour != thing.last_colour}
    changed |= {thing.colour for thing in scene.objects if thing.colour != thing.last_colour}
    chorus = set(scene.objects) - set(askable(scene))
    hidden = {word for thing in chorus for word in thing.pair}
    for colour in COLOURS:
        if colour not in changed | hidden:
            yield _counts("colour", f"{colour} shapes", matching(scene, colour=colour))
    for shape in SHAPES:
        if shape not in hidden:
            yield _counts("shape", plural(shape), matching(scene, shape=shape))
    if scene.needles:
        return
    for fill in FILLS:
        yield _counts("fill", f"{_FILL_WORDS[fill]} shapes", matching(scene, fill=fill))
    yield _counts("all", "shapes", scene.objects)


def _counts(kind: str, words: str, found: tuple[SceneObject, ...]) -> Fact:
    return Fact(kind, str(len(found)), (("things", words),), found, "count")


def colour_facts(scene: Scene, split: str) -> Iterator[Fact]:
    """Yield what colour something has, or has at first or at last where it changes."""
    del split
    ways = ("shape", "clause", "scene", "size and shape", "fill and shape", "size", "fill", "alone")
    for way, name, thing in references(scene, ways, "shape"):
        times = {"": thing.colour}
        if thing.colour != thing.last_colour:
            times = {" at first": thing.colour, " in the end": thing.last_colour}
        for when, colour in times.items():
            slots = (("the", name), ("when", when))
            yield Fact(f"{way}{when}", colour, slots, (thing,), "colour")


def shape_facts(scene: Scene, split: str) -> Iterator[Fact]:
    """Yield what shape something has."""
    del split
    ways = ("colour", "clause", "scene", "size and colour", "fill and colour", "size", "fill")
    for way, name, thing in references(scene, (*ways, "alone"), "object"):
        yield Fact(way, thing.shape, (("the", name),), (thing,), "shape")


def size_facts(scene: Scene, split: str) -> Iterator[Fact]:
    """Yield whether something that does not grow or shrink is small or large."""
    del split
    for way, name, thing in references(scene, ("pair", "shape", "colour", "clause"), "shape"):
        if thing.size == thing.last_size:
            yield Fact(way, thing.size, (("the", name),), (thing,), "size")


def fill_facts(scene: Scene, split: str) -> Iterator[Fact]:
    """Yield whether something is filled or an outline."""
    del split
    for way, name, thing in references(scene, ("pair", "shape", "colour", "clause"), "shape"):
        yield Fact(way, thing.fill, (("the", name),), (thing,), "fill")


def position_facts(scene: Scene, split: str) -> Iterator[Fact]:
    """Yield in which quarter of the frame something is, and where one is seen from another."""
    del split
    if scene.needles:
        return
    named = list(references(scene, ("pair", "shape", "colour"), "shape"))
    for way, name, thing in named:
        for when, seconds in _moments(scene, thing).items():
            quarter = quarter_of(thing, seconds)
            if quarter:
                slots = (("the", name), ("when", when))
                yield Fact(f"{way}{when}", quarter, slots, (thing,), "position")
    resting = [entry for entry in named if entry[0] == "pair" and _rests(entry[2])]
    for _, name, thing in resting:
        for _, other_name, other in resting:
            side = _side(thing, other) if thing.shot == other.shot else ""
            if side:
                slots = (("the", name), ("other", other_name))
                pool = ("left", "right", "above", "below")
                yield Fact("relation", side, slots, (thing,), "relation", pool=pool)


def _rests(thing: SceneObject) -> bool:
    return thing.plot in ("still", "rotates")


def _moments(scene: Scene, thing: SceneObject) -> dict[str, np.ndarray]:
    """Return words for the moments at which the place of an object may be asked, and seconds."""
    if _rests(thing):
        return {"": np.array([thing.begin_seconds])}
    if len(scene.shots) > 1:
        return {}
    return {
        " at the start": _EDGE_SECONDS,
        " at the end": scene.seconds - 1e-6 - _EDGE_SECONDS,
    }


def quarter_of(thing: SceneObject, seconds: np.ndarray) -> str:
    """Return "top left" and the like, or nothing where it is not in one clearly."""
    if not thing.present(seconds).all():
        return ""
    offsets = thing.positions(seconds) - 0.5
    if np.abs(offsets).min() < _CLEAR_OFFSET or np.ptp(np.sign(offsets), axis=0).any():
        return ""
    x, y = offsets[0]
    return f"{'top' if y < 0 else 'bottom'} {'left' if x < 0 else 'right'}"


def _side(thing: SceneObject, other: SceneObject) -> str:
    """Return where a resting object is, seen from another; nothing where it is not clear."""
    at = np.array([thing.begin_seconds])
    x, y = (thing.positions(at) - other.positions(at))[0]
    if abs(x) >= _CLEAR_AWAY and abs(y) <= _CLEAR_BESIDE:
        return "left" if x < 0 else "right"
    if abs(y) >= _CLEAR_AWAY and abs(x) <= _CLEAR_BESIDE:
        return "above" if y < 0 else "below"
    return ""
