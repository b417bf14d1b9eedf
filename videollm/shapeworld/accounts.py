"""What one object does from beginning to end, and all that is to be seen at one moment.

Like captions these are answers of whole sentences, in which a model says much of what it sees; they
are made of the same sentences and score in the same way (`caption_recall`).
"""

from collections.abc import Iterator

import numpy as np

from videollm.shapeworld.captions import looks, tell_story
from videollm.shapeworld.facts import Fact, quarter_of
from videollm.shapeworld.happenings import format_seconds
from videollm.shapeworld.referents import indefinite, references
from videollm.shapeworld.scene import Scene, SceneObject

__all__ = ["story_facts", "view_facts"]

_NOTHING = "Nothing."
"""What is to be seen at a moment without objects."""

_WAYS = ("pair", "shape", "colour", "clause", "scene", "size and shape", "fill and shape")
_AROUND = np.array([-0.25, 0.0, 0.25])
"""What is said of a moment holds this many seconds around it."""

_CHANGE_SECONDS = 1.25
"""How long an object that changes is not described."""


def story_facts(scene: Scene, split: str) -> Iterator[Fact]:
    """Yield all that is to be said of one object: its scene, its looks, its doings."""
    del split
    if scene.needles:
        return
    for way, name, thing in references(scene, _WAYS, "shape"):
        yield Fact(way, tell_story(scene, thing), (("the", name),), (thing,), "story")


def view_facts(scene: Scene, split: str) -> Iterator[Fact]:
    """Yield what is where at a moment, at those half seconds at which all of that is clear."""
    del split
    if scene.needles:
        return
    for number in range(1, int(2 * scene.seconds)):
        around = number / 2 + _AROUND
        if len(set(scene.shot_numbers(around))) > 1 or around[-1] >= scene.seconds:
            continue
        sentences = []
        for thing in scene.objects:
            place = _place(thing, around)
            if place is None:
                break
            if place:
                words = indefinite(looks(thing, number / 2))
                sentences.append(f"{words[0].upper()}{words[1:]} is at the {place}.")
        else:
            slots = (("when", format_seconds(number / 2)),)
            answer = " ".join(sentences) or _NOTHING
            yield Fact(str(len(sentences)), answer, slots, scene.objects, "view")


def _place(thing: SceneObject, around: np.ndarray) -> str | None:
    """Return an object's quarter, "" where it is not to be seen, None where neither is clear."""
    change = thing.change
    if change is not None and 0 < around[-1] - change.seconds < _CHANGE_SECONDS + _AROUND[-1]:
        return None
    if not thing.in_shot(around).all():
        return ""
    radius = thing.radius.at(around)[:, None]
    places = thing.positions(around)
    if ((places < -radius) | (places > 1 + radius)).any(axis=1).all():
        return ""
    return quarter_of(thing, around) or None
