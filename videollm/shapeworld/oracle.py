"""An oracle: it reads a question and answers it from the scene graph, without the question maker.

Whatever `questions` asks, this must agree with; tests hold them against each other. It is also
the upper baseline of reports.
"""

import re
from collections.abc import Callable

import numpy as np

from videollm.shapeworld.captions import describe, tell_story
from videollm.shapeworld.oracle_reading import Reading, named_plural, named_things, read_question
from videollm.shapeworld.scene import Event, Scene, SceneObject

__all__ = ["answer_question"]

_ORDINALS = ("first", "second", "third")
_FILL_WORDS = {"filled": "filled", "outline": "outlined"}
_EVENT_KINDS = {
    "enter": "enters",
    "leave": "leaves",
    "start to move": "starts",
    "starts to move": "starts",
    "stop moving": "stops",
    "stops moving": "stops",
    "start to rotate": "turns",
    "starts to rotate": "turns",
    "stop rotating": "rests",
    "stops rotating": "rests",
    "start to grow": "grows",
    "starts to grow": "grows",
    "start to shrink": "shrinks",
    "starts to shrink": "shrinks",
    "bounce": "bounces",
    "collide": "collides",
    "change its colour": "recolours",
    "changes its colour": "recolours",
}


def answer_question(scene: Scene, question: str, history: tuple[tuple[str, str], ...] = ()) -> str:
    """Return the answer to a question as it is worded.

    Args:
        scene: What it is about.
        question: The sentence; choices after it are passed over.
        history: Earlier questions with their answers; "it" is what the last one was about.
    """
    reading = read_question(question)
    if reading.asks in _WHOLE:
        return _WHOLE[reading.asks](scene, reading)
    named = reading.things or _named_before(history)
    first = named[0]
    found = _find(scene, first)
    if not found:
        return f"there is no {first['words'].split(' ', 1)[1]}"
    if reading.asks == "relation":
        return _relation(scene, reading)
    (thing,) = found
    return _ABOUT_ONE[reading.asks](scene, thing, reading)


def _named_before(history: tuple[tuple[str, str], ...]) -> tuple[dict[str, str], ...]:
    question, _ = history[-1]
    return named_things(question)


def _find(scene: Scene, said: dict[str, str]) -> list[SceneObject]:
    return [thing for thing in scene.objects if _fits(thing, said)]


def _fits(thing: SceneObject, said: dict[str, str]) -> bool:
    """Return whether all that is said of an object is true of it at some time."""
    happened = {event.kind for event in thing.events}
    colours = {thing.colour} | {event.detail for event in thing.events if event.kind == "recolours"}
    sizes = {thing.size}
    sizes |= {"large"} if "grows" in happened else set()
    sizes |= {"small"} if "shrinks" in happened else set()
    fill = _FILL_WORDS[thing.fill]
    truths: tuple[bool, ...] = (
        said.get("colour", thing.colour) in colours,
        said.get("shape", thing.shape) == thing.shape,
        said.get("size", thing.size) in sizes,
        said.get("fill", fill) == fill,
        "scene" not in said or thing.shot == _ORDINALS.index(said["scene"]),
        "clause" not in said or _does(thing, said["clause"]),
    )
    return all(truths)


def _does(thing: SceneObject, clause: str) -> bool:
    kinds = {event.kind for event in thing.events}
    travels = len(set(thing.x.values)) > 1 or len(set(thing.y.values)) > 1
    if clause == "moves":
        return travels
    if clause == "stays still":
        return not travels and len(thing.angle.values) == 1
    if clause == "rotates":
        return len(thing.angle.values) > 1
    return ("recolours" if clause.startswith("changes") else clause) in kinds


def _existence(scene: Scene, reading: Reading) -> str:
    if "a collision" in reading.text:
        return _yes(any(event.kind == "collides" for t in scene.objects for event in t.events))
    return _yes(bool(_find(scene, reading.things[0])))


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"


def _count(scene: Scene, reading: Reading) -> str:
    return str(len(_find(scene, named_plural(reading.text))))


def _order(scene: Scene, reading: Reading) -> str:
    moments = []
    for colour, shape, words in reading.events:
        (thing,) = _find(scene, {"colour": colour, "shape": shape})
        moments.append((_event(thing, words).seconds, f"the {colour} {shape} {words}"))
    return (max if re.search(r"\blast\b", reading.text) else min)(moments)[1]


def _event(thing: SceneObject, words: str) -> Event:
    kind = _EVENT_KINDS.get(words, words)
    return next(event for event in thing.events if event.kind == kind)


def _seen_first(scene: Scene, reading: Reading) -> str:
    found = [(_find(scene, said)[0].begin_seconds, said["words"]) for said in reading.things]
    return min(found)[1]


def _view(scene: Scene, reading: Reading) -> str:
    (seconds,) = re.findall(r"at (\d+\.\d) s", reading.text)
    at = np.array([float(seconds)])
    found = []
    for thing in scene.objects:
        x, y = thing.positions(at)[0]
        if thing.in_shot(at)[0] and 0 < x < 1 and 0 < y < 1:
            happened = {event.kind for event in thing.events if event.seconds < at[0]}
            size = {"grows": "large", "shrinks": "small"}
            sizes = [size[kind] for kind in happened if kind in size]
            colour = thing.last_colour if "recolours" in happened else thing.colour
            looks = (sizes or [thing.size])[0], _FILL_WORDS[thing.fill], colour, thing.shape
            found.append(f"A {' '.join(looks)} is at the {_corner(x, y)}.")
    return " ".join(found) or "Nothing."


def _neighbour(scene: Scene, reading: Reading) -> str:
    """Return what is on right before or after the thing, where nothing else is ever on."""
    (thing,) = _find(scene, reading.things[-1])
    others = sorted(scene.objects, key=lambda one: one.begin_seconds)
    place = others.index(thing) + (1 if " after " in reading.text else -1)
    return f"the {others[place].colour} {others[place].shape}"


def _relation(scene: Scene, reading: Reading) -> str:
    """Return where the one is from the other; the one of whom a sentence says "from" comes last."""
    one, other = (_find(scene, said)[0] for said in reading.things[:2])
    text, words = reading.text, [said["words"] for said in reading.things[:2]]
    marks = ("seen from ", "compared with ", "side of ", "relative to ", "starting at ", "to ")
    if any(f"{mark}{words[0]}" in text for mark in marks):
        one, other = other, one
    at = np.array([one.begin_seconds])
    x, y = (one.positions(at) - other.positions(at))[0]
    if abs(x) > abs(y):
        return "left" if x < 0 else "right"
    return "above" if y < 0 else "below"


def _colour(scene: Scene, thing: SceneObject, reading: Reading) -> str:
    del scene
    return thing.last_colour if "in the end" in reading.text else thing.colour


def _turn(scene: Scene, thing: SceneObject, reading: Reading) -> str:
    del scene, reading
    return thing.last_colour


def _position(scene: Scene, thing: SceneObject, reading: Reading) -> str:
    late = "at the end" in reading.text
    at = np.array([scene.seconds - 0.05 if late else thing.begin_seconds])
    x, y = thing.positions(at)[0]
    return _corner(x, y)


def _corner(x: float, y: float) -> str:
    return f"{'top' if y < 0.5 else 'bottom'} {'left' if x < 0.5 else 'right'}"


def _direction(scene: Scene, thing: SceneObject, reading: Reading) -> str:
    del scene
    x, y = (track.values[-1] - track.values[0] for track in (thing.x, thing.y))
    if "side" not in reading.text:
        words = ["up" if y < 0 else "down"] if abs(y) > 0.4 * abs(x) else []
        words += ["left" if x < 0 else "right"] if abs(x) > 0.4 * abs(y) else []
        return " ".join(words)
    if "bounce" in reading.text:
        # The turning point, seen from where it came.
        x, y = (track.values[1] - track.values[0] for track in (thing.x, thing.y))
    sides = ("left", "right", "top", "bottom")
    if "enter" in reading.text:
        sides = ("right", "left", "bottom", "top")
    if abs(x) > abs(y):
        return sides[0] if x < 0 else sides[1]
    return sides[2] if y < 0 else sides[3]


def _speed(scene: Scene, thing: SceneObject, reading: Reading) -> str:
    del scene, reading
    x, y = (track.values[-1] - track.values[0] for track in (thing.x, thing.y))
    way = float(np.hypot(x, y))
    if not way:
        return "not at all"
    return "fast" if way / (thing.x.seconds[-1] - thing.x.seconds[0]) > 0.15 else "slow"


def _change(scene: Scene, thing: SceneObject, reading: Reading) -> str:
    del scene, reading
    kinds = {event.kind for event in thing.events}
    if "recolours" in kinds:
        return "changes colour"
    return next((kind for kind in ("grows", "shrinks") if kind in kinds), "stays the same")


def _motion(scene: Scene, thing: SceneObject, reading: Reading) -> str:
    del scene, reading
    kinds = {event.kind for event in thing.events}
    for kind in ("enters", "leaves", "bounces", "collides"):
        if kind in kinds:
            return kind
    if _does(thing, "rotates"):
        return "rotates"
    return "moves" if _does(thing, "moves") else "stays still"


def _time(scene: Scene, thing: SceneObject, reading: Reading) -> str:
    if scene.needles and "appear" in reading.text:
        return f"at {thing.begin_seconds:.1f} s"
    asked = sorted(_EVENT_KINDS, key=len, reverse=True)
    words = next(w for w in asked if f" {w}" in reading.text.split(reading.things[0]["words"])[-1])
    return f"at {_event(thing, words).seconds:.1f} s"


def _scene(scene: Scene, thing: SceneObject, reading: Reading) -> str:
    del scene, reading
    return _ORDINALS[thing.shot]


_WHOLE: dict[str, Callable[[Scene, Reading], str]] = {
    "caption": lambda scene, _: describe(scene),
    "scene count": lambda scene, _: str(len(scene.shots)),
    "count": _count,
    "existence": _existence,
    "order": _order,
    "seen first": _seen_first,
    "neighbour": _neighbour,
    "view": _view,
}

_ABOUT_ONE: dict[str, Callable[[Scene, SceneObject, Reading], str]] = {
    "colour": _colour,
    "shape": lambda _, thing, __: thing.shape,
    "size": lambda _, thing, __: thing.size,
    "fill": lambda _, thing, __: thing.fill,
    "turn": _turn,
    "position": _position,
    "direction": _direction,
    "speed": _speed,
    "change": _change,
    "motion": _motion,
    "time": _time,
    "scene": _scene,
    "story": lambda scene, thing, _: tell_story(scene, thing),
}
