"""Dense labels: which words are true of each object at a moment, as far as they can be known.

What an object does is said while it does it, and a little longer for what takes no time, so that
a model that reads the labels also reads when things happened.

Legend: T times, O objects, W words.
"""

import numpy as np
from numpy.typing import NDArray

from videollm.shapeworld.scene import Floats, Scene, SceneObject
from videollm.shapeworld.vocabulary import FEATURE_WORDS

__all__ = ["known_words"]

_PLACES = {word: place for place, word in enumerate(FEATURE_WORDS)}

_KNOWN_SECONDS = 0.5
"""How long something is watched until what it does is known in full."""

_AFTER_SECONDS = 1.25
"""How long an event that takes no time is told after it."""

_LEAST_SPEED, _FAST = 0.03, 0.17


def known_words(scene: Scene, times: Floats) -> NDArray[np.float32]:
    """Return (T, O, W): how true each word of `FEATURE_WORDS` is of each object, 0 to 1.

    An object has its colour, its size and its motion of that moment; all are 0 while its shot is
    not on. No word depends on what comes later, or came before the first of the times.
    """
    at = np.asarray(times, dtype=np.float64)
    words = np.zeros((len(at), len(scene.objects), len(FEATURE_WORDS)), dtype=np.float32)
    for thing in scene.objects:
        on = thing.in_shot(at)
        if on.any():
            since = max(thing.begin_seconds, float(at[0]))
            words[on, thing.number] = _of_object(thing, at[on], since)
    return words


def _of_object(thing: SceneObject, times: Floats, since: float) -> NDArray[np.float32]:
    """Return (T, W) for times in the object's shot, watched since a moment."""
    words = np.zeros((len(times), len(FEATURE_WORDS)), dtype=np.float32)
    for word in (thing.shape, thing.fill):
        words[:, _PLACES[word]] = 1
    _blend(words, times, thing.colour, thing.last_colour, thing, "recolours")
    _blend(words, times, thing.size, thing.last_size, thing, "grows", "shrinks")
    _motion(words, times, thing, since)
    for event in thing.events:
        after = times - event.seconds
        told = (after > 0) & (after <= _AFTER_SECONDS) & (event.seconds >= since)
        word = {"recolours": "changes"}.get(event.kind, event.kind)
        if word in _PLACES:
            words[told, _PLACES[word]] = np.minimum(after[told] / _KNOWN_SECONDS + 0.5, 1)
    return words


def _blend(
    words: NDArray[np.float32],
    times: Floats,
    first: str,
    last: str,
    thing: SceneObject,
    *kinds: str,
) -> None:
    """Write how true a first and a last word are, which trade places at an event."""
    share = np.zeros(len(times))
    for event in thing.events:
        if event.kind in kinds:
            length = 0.2 if event.kind == "recolours" else 1.0
            share = np.clip((times - event.seconds) / length, 0, 1)
    words[:, _PLACES[first]] += (1 - share).astype(np.float32)
    words[:, _PLACES[last]] += share.astype(np.float32)


def _motion(words: NDArray[np.float32], times: Floats, thing: SceneObject, since: float) -> None:
    """Write where it goes, how fast, and whether it turns, all of the last half second."""
    back = np.maximum(times - _KNOWN_SECONDS, since)
    seconds = np.maximum(times - back, 1e-3)
    known = np.clip((times - since) / _KNOWN_SECONDS, 0, 1)
    step = (thing.positions(times) - thing.positions(back)) / seconds[:, None]
    speed = np.hypot(step[:, 0], step[:, 1])
    moves = np.clip((speed - _LEAST_SPEED) / _LEAST_SPEED, 0, 1) * known
    unit = step / np.maximum(speed, 1e-6)[:, None]
    for word, share in (
        ("left", -unit[:, 0]),
        ("right", unit[:, 0]),
        ("up", -unit[:, 1]),
        ("down", unit[:, 1]),
    ):
        words[:, _PLACES[word]] = moves * np.clip(share * 1.4, 0, 1)
    fast = np.clip((speed - _FAST + 0.04) / 0.08, 0, 1)
    words[:, _PLACES["fast"]] = moves * fast
    words[:, _PLACES["slow"]] = moves * (1 - fast)
    turned = np.abs(thing.angle.at(times) - thing.angle.at(back)) / seconds
    turns = np.clip(turned / 0.5, 0, 1) * known
    words[:, _PLACES["rotates"]] = turns
    words[:, _PLACES["still"]] = known * (1 - np.maximum(moves, turns))
