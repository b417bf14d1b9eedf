"""Follow-ups: questions that can only be understood, or answered, with the turn before.

A conversation begins with a question that singles out one object, by name or by its answer. The
next one says "it" and asks for something that neither the question nor its answer has told.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from videollm.shapeworld import happenings
from videollm.shapeworld.casting import choose
from videollm.shapeworld.facts import Fact
from videollm.shapeworld.scene import Scene, SceneObject
from videollm.shapeworld.vocabulary import COLOURS, FILLS, SHAPES, SIZES
from videollm.toyworld.wordings import Wordings

__all__ = ["FOLLOW_UPS", "FollowUp", "follow_ups"]

FOLLOW_UPS: dict[str, Wordings] = {
    "colour": Wordings(
        (
            "And its colour?",
            "What colour is it?",
            "And what is its color?",
            "Which colour is that?",
        ),
        ("Its hue, please: which colour?", "And how is it coloured?"),
    ),
    "shape": Wordings(
        ("And its shape?", "What shape is it?", "And what is its shape?", "Which shape is that?"),
        ("Which figure is it?", "And what form has it?"),
    ),
    "size": Wordings(
        ("And its size?", "Is it small or large?", "And how big is it?", "What size is it?"),
        ("Small or large, would you say?", "And how much room does it take up?"),
    ),
    "fill": Wordings(
        ("Is it filled or an outline?", "And is it filled?", "How is it drawn, filled or outline?"),
        ("Just an outline, or filled in?", "And its inside: filled or outline?"),
    ),
    "motion": Wordings(
        (
            "And what does it do?",
            "What is it doing?",
            "How does it behave?",
            "What does it do then?",
        ),
        ("And its motion?", "So what happens to it, motion-wise?"),
    ),
    "direction": Wordings(
        (
            "Where does it go then?",
            "In which direction does it move?",
            "And which way does it move?",
        ),
        ("Which way is it off to?", "And its direction?"),
    ),
    "change": Wordings(
        ("And how does it change?", "Does it change?", "How does it change?"),
        ("Is it altered later on, and how?", "And what about it becomes different?"),
    ),
    "scene_where": Wordings(
        ("In which scene is it?", "And in which scene?", "Which scene is that in?"),
        ("To which scene does it belong?", "And the scene it is in?"),
    ),
}
"""What is asked to its sentences."""

_WEIGHTS = {
    "colour": 1.5,
    "shape": 1.5,
    "size": 0.4,
    "fill": 0.4,
    "motion": 1.5,
    "direction": 4.0,
    "change": 0.3,
    "scene_where": 0.8,
}
"""How often each is asked; what can be guessed less."""

_OPENERS = ("colour", "shape", "size", "fill", "motion", "existence")
_POOLS: dict[str, tuple[str, ...]] = {
    "colour": tuple(COLOURS),
    "shape": SHAPES,
    "size": SIZES,
    "fill": FILLS,
}


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Hold a question about the object that an earlier one was about.

    Args:
        opener: The earlier fact.
        fact: What is asked; its group is a key of `FOLLOW_UPS`.
    """

    opener: Fact
    fact: Fact


def follow_ups(
    scene: Scene, split: str, openers: Sequence[Fact], rng: np.random.Generator
) -> Iterator[FollowUp]:
    """Yield what can be asked next, in an order drawn by lot.

    Args:
        scene: The scene.
        split: As in `make_questions`.
        openers: Facts that may come first; those about one object that stays what it is do.
        rng: Source of randomness.
    """
    for place in rng.permutation(len(openers)):
        opener = openers[int(place)]
        if len(opener.subjects) != 1 or opener.group not in _OPENERS or opener.answer == "no":
            continue
        (thing,) = opener.subjects
        told = f"{dict(opener.slots).get('the', '')} {dict(opener.slots).get('a', '')}"
        told = f"{told} {opener.answer}"
        next_facts = [fact for fact in _about(scene, split, thing) if not _is_told(fact, told)]
        if next_facts:
            weights = [_WEIGHTS[fact.group] for fact in next_facts]
            yield FollowUp(opener, next_facts[choose(rng, weights)])


def _about(scene: Scene, split: str, thing: SceneObject) -> Iterator[Fact]:
    """Yield what can be asked about one object."""
    if thing.colour == thing.last_colour:
        yield _own(thing, "colour", thing.colour)
    yield _own(thing, "shape", thing.shape)
    if thing.size == thing.last_size:
        yield _own(thing, "size", thing.size)
    yield _own(thing, "fill", thing.fill)
    for group, make in (
        ("motion", happenings.motion_facts),
        ("direction", happenings.direction_facts),
        ("change", happenings.change_facts),
        ("scene_where", happenings.scene_facts),
    ):
        for fact in make(scene, split):
            plain = fact.group == group and not (group == "direction" and thing.plot != "moves")
            if plain and fact.subjects == (thing,):
                yield fact
                break


def _own(thing: SceneObject, group: str, answer: str) -> Fact:
    return Fact(group, answer, (), (thing,), group, pool=_POOLS[group])


def _is_told(fact: Fact, told: str) -> bool:
    """Return whether the opening turn says the answer, or asked for the same."""
    if fact.group in ("motion", "direction", "change", "scene_where"):
        clauses = ("stays", "bounces", "rotates", "enters", "leaves", "moves", "grows", "shrinks")
        words = (*clauses, "changes", "collides", "scene")
        return any(word in told for word in words)
    answer = "outlined" if fact.answer == "outline" and "outlined" in told else fact.answer
    return answer in told
