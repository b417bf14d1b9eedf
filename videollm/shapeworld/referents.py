"""Words that pick out one object of a clip, and phrases for what objects do.

An object may be named by any set of properties that no other object of the clip shares at any
time, so every question has exactly one referent. Who changes its colour is called by the first.
"""

from collections.abc import Callable, Iterator

from videollm.shapeworld.scene import Event, Scene, SceneObject
from videollm.shapeworld.vocabulary import ORDINALS

__all__ = [
    "MOVING",
    "askable",
    "event_phrase",
    "event_verbs",
    "indefinite",
    "matching",
    "name_pair",
    "plural",
    "references",
]

MOVING = ("moves", "bounces", "collides", "enters", "leaves")
"""Plots in which an object goes from place to place."""

_CLAUSES: dict[str, Callable[[SceneObject], bool]] = {
    "that stays still": lambda thing: thing.plot == "still",
    "that bounces": lambda thing: thing.plot == "bounces",
    "that rotates": lambda thing: thing.plot == "rotates",
    "that enters": lambda thing: thing.plot == "enters",
    "that leaves": lambda thing: thing.plot == "leaves",
    "that moves": lambda thing: thing.plot in MOVING,
    "that grows": lambda thing: _changes(thing, "grows"),
    "that shrinks": lambda thing: _changes(thing, "shrinks"),
    "that changes its colour": lambda thing: _changes(thing, "recolours"),
}

_VERBS: dict[str, tuple[str, str]] = {
    "enters": ("enter", "enters"),
    "leaves": ("leave", "leaves"),
    "starts": ("start to move", "starts to move"),
    "stops": ("stop moving", "stops moving"),
    "bounces": ("bounce", "bounces"),
    "collides": ("collide", "collides"),
    "turns": ("start to rotate", "starts to rotate"),
    "rests": ("stop rotating", "stops rotating"),
    "grows": ("start to grow", "starts to grow"),
    "shrinks": ("start to shrink", "starts to shrink"),
    "recolours": ("change its colour", "changes its colour"),
}

_WAYS: dict[str, tuple[str, ...]] = {
    "pair": ("colour", "shape"),
    "shape": ("shape",),
    "colour": ("colour",),
    "size": ("size",),
    "fill": ("fill",),
    "size and shape": ("size", "shape"),
    "size and colour": ("size", "colour"),
    "fill and shape": ("fill", "shape"),
    "fill and colour": ("fill", "colour"),
    "alone": (),
}
"""Way of naming an object to the properties that it mentions."""


_LAST = {"colour": "last_colour", "size": "last_size"}
"""Properties that may change, to what they are in the end."""


def askable(scene: Scene) -> tuple[SceneObject, ...]:
    """Return the objects that questions may be about: all, or the needles of a long video."""
    if not scene.needles:
        return scene.objects
    return tuple(scene.objects[number] for number in scene.needles)


def references(
    scene: Scene, ways: tuple[str, ...], noun: str
) -> Iterator[tuple[str, str, SceneObject]]:
    """Yield every unambiguous name of every object that may be asked about.

    Args:
        scene: The scene.
        ways: Which properties a name may mention: keys of `_WAYS`, "clause" (what it does) and
            "scene" (in which scene it is alone).
        noun: Word for an object whose shape is not mentioned: "shape" or "object".

    Yields:
        The way, the name ("the red circle"), and the object that has it.
    """
    for way in ways:
        if way == "clause":
            yield from _by_clause(scene, noun)
        elif way == "scene":
            yield from _by_scene(scene, noun)
        else:
            for thing in askable(scene):
                name = _name(scene, thing, way, noun)
                if name:
                    yield way, name, thing


def matching(scene: Scene, **properties: str) -> tuple[SceneObject, ...]:
    """Return the objects that have all these properties at any time of the clip."""
    return tuple(thing for thing in scene.objects if _has(thing, properties))


def _has(thing: SceneObject, properties: dict[str, str]) -> bool:
    for name, value in properties.items():
        if value != getattr(thing, name) and value != getattr(thing, _LAST.get(name, name)):
            return False
    return True


def name_pair(thing: SceneObject) -> str:
    """Return colour and shape: "red circle"."""
    return f"{thing.colour} {thing.shape}"


def indefinite(words: str) -> str:
    """Return the words with their indefinite article: "an orange star"."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def plural(shape: str) -> str:
    """Return the plural of a shape word."""
    return f"{shape}es" if shape.endswith("s") else f"{shape}s"


def event_verbs(event: Event) -> tuple[str, str]:
    """Return what happens, as the infinitive and in the third person: "bounce", "bounces"."""
    return _VERBS[event.kind]


def event_phrase(thing: SceneObject, event: Event) -> str:
    """Return what happens to whom: "the red circle bounces"."""
    return f"the {name_pair(thing)} {_VERBS[event.kind][1]}"


def _changes(thing: SceneObject, kind: str) -> bool:
    return thing.change is not None and thing.change.kind == kind


def _name(scene: Scene, thing: SceneObject, way: str, noun: str) -> str:
    """Return the name of an object, or nothing where others share it or it is not its own."""
    properties = _WAYS[way]
    if "size" in properties and thing.size != thing.last_size:
        return ""
    own = {name: str(getattr(thing, name)) for name in properties}
    if len(matching(scene, **own)) != 1:
        return ""
    if " and " in way and len(matching(scene, **{properties[1]: own[properties[1]]})) == 1:
        return ""
    words = [own["size"]] if "size" in own else []
    words += [{"filled": "filled", "outline": "outlined"}[own["fill"]]] if "fill" in own else []
    words += [own["colour"]] if "colour" in own else []
    return " ".join(("the", *words, own.get("shape", noun)))


def _by_clause(scene: Scene, noun: str) -> Iterator[tuple[str, str, SceneObject]]:
    if scene.needles:
        return
    for clause, holds in _CLAUSES.items():
        found = [thing for thing in scene.objects if holds(thing)]
        if len(found) != 1 or (clause == "that stays still" and found[0].change):
            continue
        yield "clause", f"the {noun} {clause}", found[0]


def _by_scene(scene: Scene, noun: str) -> Iterator[tuple[str, str, SceneObject]]:
    if scene.needles or len(scene.shots) == 1:
        return
    for number in range(len(scene.shots)):
        found = scene.shot_objects(number)
        if len(found) == 1:
            yield "scene", f"the {noun} in the {ORDINALS[number]} scene", found[0]
