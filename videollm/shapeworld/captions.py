"""Descriptions of whole clips, one sentence an object, and how much of one an answer recalls."""

import re

from videollm.scoring import TIME_TOLERANCE_SECONDS, normalize_answer, parse_seconds
from videollm.shapeworld.facts import Fact
from videollm.shapeworld.happenings import format_seconds
from videollm.shapeworld.referents import indefinite, name_pair
from videollm.shapeworld.scene import Event, Scene, SceneObject
from videollm.shapeworld.vocabulary import ORDINALS

__all__ = ["caption_facts", "caption_recall", "describe", "looks", "tell_story"]

_DIRECTION_WORDS = {
    "left": "to the left",
    "right": "to the right",
    "up left": "up and left",
    "up right": "up and right",
    "down left": "down and left",
    "down right": "down and right",
}
_SPEED_WORDS = {"slow": "slowly", "fast": "fast"}
_MOMENT = re.compile(r"\bat \d+(?:\.\d+)? s\b")


def caption_facts(scene: Scene, split: str) -> "list[Fact]":
    """Return the one description of a clip; long videos have none."""
    del split
    if scene.needles:
        return []
    return [Fact("all", describe(scene), (), scene.objects, "caption")]


def describe(scene: Scene) -> str:
    """Return one sentence an object, with every event, scene by scene."""
    sentences = []
    for number in range(len(scene.shots)):
        for place, thing in enumerate(scene.shot_objects(number)):
            sentences.append(_sentence(scene, thing, introduced=place == 0))
    return " ".join(sentences)


def tell_story(scene: Scene, thing: SceneObject) -> str:
    """Return the sentence about one object, which says in which scene it is if there are more."""
    return _sentence(scene, thing, introduced=True)


def caption_recall(output: str, answer: str) -> float:
    """Return the share of a description's parts that an output says, 0 to 1.

    A part is an object with its looks, or something that it does; one that does something counts
    only where the output says it of the same object, and at a time within the tolerance.

    Args:
        output: What the model said.
        answer: A description as `describe` returns it, or a sentence without such parts, which is
            recalled by itself alone.
    """
    said: dict[str, list[str]] = {}
    for name, parts in _parts(output):
        said.setdefault(name, []).extend(parts)
    wanted = [(name, part) for name, parts in _parts(answer) for part in parts]
    found = sum(any(_same(part, other) for other in said.get(name, ())) for name, part in wanted)
    if not wanted:
        return float(normalize_answer(output) == normalize_answer(answer))
    return found / len(wanted)


def _parts(text: str) -> list[tuple[str, list[str]]]:
    """Return for each sentence the object (its colour and shape), and its looks and doings."""
    found = []
    for sentence in re.split(r"(?<=[a-z ]s|\D[a-z])\.\s*", text.strip()):
        match = re.match(
            r"(?:in the \w+ scene, )?(an? (?:\w+ ){0,2}(\w+ \w+)) (?=is|stays|moves|starts|bounces|"
            r"collides|rotates|enters|leaves)(.*)",
            sentence.strip().rstrip(".").lower(),
        )
        if match:
            looks, name, doings = match.groups()
            found.append((name, [looks, *re.split(r" and (?=[a-z]+s\b)", doings)]))
    return found


def _same(part: str, other: str) -> bool:
    if normalize_answer(_MOMENT.sub("", part)) != normalize_answer(_MOMENT.sub("", other)):
        return False
    wanted, said = (_MOMENT.search(text) for text in (part, other))
    if wanted is None or said is None:
        return wanted is said
    seconds = [parse_seconds(match[0]) for match in (wanted, said)]
    assert seconds[0] is not None
    assert seconds[1] is not None
    return abs(seconds[0] - seconds[1]) <= TIME_TOLERANCE_SECONDS + 1e-6


def _sentence(scene: Scene, thing: SceneObject, *, introduced: bool) -> str:
    words = indefinite(looks(thing, thing.begin_seconds))
    doings = _DOINGS[thing.plot](scene, thing)
    change = thing.change
    if change is not None:
        doings.append(_change(change))
    several = introduced and len(scene.shots) > 1
    intro = f"In the {ORDINALS[thing.shot]} scene, " if several else ""
    sentence = f"{intro}{words} {' and '.join(doings)}."
    return sentence[0].upper() + sentence[1:]


def looks(thing: SceneObject, seconds: float) -> str:
    """Return what an object looks like at a moment: "small filled red star"."""
    change = thing.change
    changed = change is not None and seconds > change.seconds
    size = thing.last_size if changed else thing.size
    colour = thing.last_colour if changed else thing.colour
    fill = "outlined" if thing.fill == "outline" else "filled"
    return f"{size} {fill} {colour} {thing.shape}"


def _change(change: Event) -> str:
    when = format_seconds(change.seconds)
    if change.kind == "recolours":
        return f"turns {change.detail} {when}"
    return f"{change.kind} {when}"


def _moment(thing: SceneObject, kind: str) -> str:
    """Return when an event of that kind happens, or nothing where it does not."""
    return next((format_seconds(e.seconds) for e in thing.events if e.kind == kind), "")


def _still(scene: Scene, thing: SceneObject) -> list[str]:
    del scene, thing
    return ["stays still"]


def _moves(scene: Scene, thing: SceneObject) -> list[str]:
    del scene
    way = _DIRECTION_WORDS.get(thing.direction, thing.direction)
    begin, end = _moment(thing, "starts"), _moment(thing, "stops")
    doings = [f"moves {_SPEED_WORDS[thing.speed]} {way}"]
    if begin:
        doings.insert(0, f"starts {begin}")
    if end:
        doings.append(f"stops {end}")
    return doings


def _rotates(scene: Scene, thing: SceneObject) -> list[str]:
    del scene
    begin, end = _moment(thing, "turns"), _moment(thing, "rests")
    doings = [f"starts to rotate {begin}" if begin else "rotates"]
    return [*doings, f"stops {end}"] if end else doings


def _bounces(scene: Scene, thing: SceneObject) -> list[str]:
    del scene
    return [f"bounces off the {thing.side} side {_moment(thing, 'bounces')}"]


def _collides(scene: Scene, thing: SceneObject) -> list[str]:
    """Name the other one, which is the only other of the shot that collides at that time."""
    moment = thing.events[0].seconds
    other = next(
        other
        for other in scene.shot_objects(thing.shot)
        if other is not thing and other.plot == "collides" and other.events[0].seconds == moment
    )
    return [f"collides with the {name_pair(other)} {_moment(thing, 'collides')}"]


def _enters(scene: Scene, thing: SceneObject) -> list[str]:
    del scene
    return [f"enters from the {thing.side} {_moment(thing, 'enters')}"]


def _leaves(scene: Scene, thing: SceneObject) -> list[str]:
    del scene
    return [f"leaves through the {thing.side} {_moment(thing, 'leaves')}"]


_DOINGS = {
    "still": _still,
    "moves": _moves,
    "rotates": _rotates,
    "bounces": _bounces,
    "collides": _collides,
    "enters": _enters,
    "leaves": _leaves,
}
