"""What can be asked about the course of a clip: motion, changes, moments, their order, scenes."""

from collections.abc import Iterator

import numpy as np

from videollm.shapeworld.facts import Fact
from videollm.shapeworld.referents import (
    askable,
    event_phrase,
    event_verbs,
    name_pair,
    references,
)
from videollm.shapeworld.scene import Event, Scene, SceneObject
from videollm.shapeworld.vocabulary import COLOURS, DIRECTIONS, ORDINALS, SIDES

__all__ = [
    "change_facts",
    "direction_facts",
    "format_seconds",
    "motion_facts",
    "order_facts",
    "scene_facts",
    "speed_facts",
    "time_facts",
]

_CLEAR_GAP_SECONDS = 0.9
"""Least time between two events whose order may be asked: two frames at 2 frames a second."""

_NAMES = ("pair", "shape", "colour")


def format_seconds(seconds: float) -> str:
    """Return a moment rounded to half a second, as an answer: "at 1.5 s"."""
    return f"at {round(2 * seconds) / 2:.1f} s"


def motion_facts(scene: Scene, split: str) -> Iterator[Fact]:
    """Yield what something does; those that grow, shrink or change colour are left to `change`."""
    del split
    ways = (*_NAMES, "size and shape", "fill and shape", "scene")
    for way, name, thing in references(scene, ways, "shape"):
        if thing.change is None:
            answer = "stays still" if thing.plot == "still" else thing.plot
            yield Fact(way, answer, (("the", name),), (thing,), "motion")


def direction_facts(scene: Scene, split: str) -> Iterator[Fact]:
    """Yield in which direction something moves, or which side it meets."""
    del split
    asked = {
        "enters": ("from which side", "enter", "enters"),
        "leaves": ("through which side", "leave", "leaves"),
        "bounces": ("off which side", "bounce", "bounces"),
    }
    for way, name, thing in references(scene, _NAMES, "shape"):
        if thing.plot == "moves":
            words, answer, kind = ("in which direction", "move", "moves"), thing.direction, way
            pool = tuple(DIRECTIONS)
        elif thing.plot in asked:
            words, answer, kind = asked[thing.plot], thing.side, thing.plot
            pool = tuple(SIDES)
        else:
            continue
        slots = (("the", name), *zip(("which", "do", "does"), words, strict=True))
        yield Fact(kind, answer, slots, (thing,), "direction", pool=pool)


def speed_facts(scene: Scene, split: str) -> Iterator[Fact]:
    """Yield whether something moves slowly, fast, or not at all."""
    del split
    for way, name, thing in references(scene, _NAMES, "shape"):
        if thing.plot == "moves":
            yield Fact(way, thing.speed, (("the", name),), (thing,), "speed")
        elif thing.plot == "still" and thing.change is None:
            yield Fact(way, "not at all", (("the", name),), (thing,), "speed")


def change_facts(scene: Scene, split: str) -> Iterator[Fact]:
    """Yield how something changes, and to what colour."""
    del split
    if scene.needles:
        return
    answers = {"grows": "grows", "shrinks": "shrinks", "recolours": "changes colour"}
    for way, name, thing in references(scene, ("pair", "shape"), "shape"):
        change = thing.change
        answer = "stays the same" if change is None else answers[change.kind]
        if thing.plot in ("still", "moves"):
            yield Fact(way, answer, (("the", name),), (thing,), "change")
        if change is not None and change.kind == "recolours":
            pool = tuple(COLOURS)
            yield Fact("turn", change.detail, (("the", name),), (thing,), "turn", pool=pool)


def time_facts(scene: Scene, split: str) -> Iterator[Fact]:
    """Yield when something happens."""
    del split
    if scene.needles:
        return
    for _, name, thing in references(scene, _NAMES, "shape"):
        for event in thing.events:
            do, does = event_verbs(event)
            slots = (("the", name), ("do", do), ("does", does))
            yield Fact(event.kind, format_seconds(event.seconds), slots, (thing,), "time")


def moment_facts(scene: Scene, split: str) -> Iterator[Fact]:
    """Yield when a needle of a long video appears; any moment of its shot is right."""
    del split
    if not scene.needles:
        return
    moments = [format_seconds(thing.begin_seconds) for thing in askable(scene)]
    for way, name, thing in references(scene, ("pair", "shape"), "shape"):
        slots = (("the", name), ("do", "appear"), ("does", "appears"))
        first, *others = np.arange(thing.begin_seconds, thing.end_seconds + 0.1, 0.5)
        aliases = tuple(format_seconds(moment) for moment in others)
        yield Fact(way, format_seconds(first), slots, (thing,), "time", aliases, tuple(moments))


def order_facts(scene: Scene, split: str) -> Iterator[Fact]:
    """Yield which of two or three events comes first, or last."""
    del split
    if scene.needles:
        yield from _needle_order(scene)
        return
    events = _events(scene)
    for number, one in enumerate(events):
        for other in events[number + 1 :]:
            yield from _compare(scene, (one, other))
            for third in events[events.index(other) + 1 :]:
                yield from _compare(scene, (one, other, third))


def _events(scene: Scene) -> list[tuple[SceneObject, Event]]:
    """Return all events in order of time, each collision once."""
    events = []
    collided = set()
    for thing in scene.objects:
        for event in thing.events:
            if event.kind != "collides" or (thing.shot, event.seconds) not in collided:
                events.append((thing, event))
            if event.kind == "collides":
                collided.add((thing.shot, event.seconds))
    return sorted(events, key=lambda entry: entry[1].seconds)


def _compare(scene: Scene, events: tuple[tuple[SceneObject, Event], ...]) -> Iterator[Fact]:
    moments = [event.seconds for _, event in events]
    gaps = [after - before for before, after in zip(moments[:-1], moments[1:], strict=True)]
    if min(gaps) < _CLEAR_GAP_SECONDS:
        return
    phrases = [event_phrase(thing, event) for thing, event in events]
    # The order in which they are named is a whim of the clip, not of what happens first.
    turn = (scene.index + round(2 * sum(moments))) % len(phrases)
    listed = [*phrases[turn:], *phrases[:turn]]
    if (scene.index + len(phrases[0])) % 2:
        listed.reverse()
    words = f"{', '.join(listed[:-1])} or {listed[-1]}"
    subjects = tuple(thing for thing, _ in events)
    for which, answer in (("first", phrases[0]), ("last", phrases[-1])):
        slots = (("which", which), ("events", words))
        kind = f"{which} of {len(phrases)}"
        yield Fact(kind, answer, slots, subjects, "order", pool=tuple(listed))


def _needle_order(scene: Scene) -> Iterator[Fact]:
    things = askable(scene)
    for number, one in enumerate(things):
        for other in things[number + 1 :]:
            yield _seen_first(scene, one, other)


def neighbour_facts(scene: Scene, split: str) -> Iterator[Fact]:
    """Yield what comes right before or after a needle of a quiet video."""
    del split
    if not scene.is_quiet:
        return
    things = askable(scene)
    names = [f"the {name_pair(thing)}" for thing in things]
    for number in range(1, len(things)):
        pairs = (("after", number - 1, number), ("before", number, number - 1))
        for where, known, asked in pairs:
            slots = (("the", names[known]), ("where", where))
            pool = tuple(name for name in names if name != names[known])
            subjects = (things[known], things[asked])
            yield Fact(where, names[asked], slots, subjects, "neighbour", pool=pool)


def scene_facts(scene: Scene, split: str) -> Iterator[Fact]:
    """Yield how many scenes there are, what is in which, and which of two is seen first."""
    if scene.needles:
        return
    count = str(len(scene.shots))
    if split != "test_compositional":
        yield Fact("count", count, (), (), "scene_count", pool=("1", "2", "3"))
    if len(scene.shots) == 1:
        return
    pool = ORDINALS[: len(scene.shots)]
    for _, name, thing in references(scene, ("pair", "shape", "colour"), "shape"):
        answer = ORDINALS[thing.shot]
        kind = f"where of {count}"
        yield Fact(kind, answer, (("the", name),), (thing,), "scene_where", pool=pool)
    for one in scene.objects:
        for other in scene.objects:
            if one.shot < other.shot:
                yield _seen_first(scene, one, other)


def _seen_first(scene: Scene, one: SceneObject, other: SceneObject) -> Fact:
    """Return which of two objects is seen first; `one` is."""
    names = [f"the {name_pair(one)}", f"the {name_pair(other)}"]
    if (scene.index + one.number + other.number + len(names[0])) % 2:
        names.reverse()
    slots = (("things", " or ".join(names)),)
    answer = f"the {name_pair(one)}"
    return Fact("seen", answer, slots, (one, other), "seen_first", pool=tuple(names))
