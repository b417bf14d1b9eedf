"""False premises: questions about something that is not there, worded like all others.

The right answer says so. A question of another family can only be told from these by looking.
"""

from collections.abc import Iterator

from videollm.shapeworld.facts import Fact
from videollm.shapeworld.referents import matching
from videollm.shapeworld.scene import Scene
from videollm.shapeworld.splits import pairs_for
from videollm.shapeworld.vocabulary import COLOURS, HELD_OUT_PAIRS, SHAPES

__all__ = ["denial", "premise_facts"]

_BY_SHAPE = ("colour", "size", "fill", "motion", "speed", "direction")
_BY_COLOUR = ("shape", "size", "fill", "motion", "speed", "direction")
_BY_PAIR = ("size", "fill", "motion", "speed", "change", "direction", "position", "time")

_SLOTS = {
    "direction": (("which", "in which direction"), ("do", "move"), ("does", "moves")),
    "time": (("do", "stop moving"), ("does", "stops moving")),
    "colour": (("when", ""),),
    "position": (("when", ""),),
}


def denial(words: str) -> str:
    """Return the answer to a question about something that is not there."""
    return f"there is no {words}"


def premise_facts(scene: Scene, split: str) -> Iterator[Fact]:
    """Yield questions about shapes, colours and pairs that the clip does not show."""
    shown = {
        (colour, thing.shape)
        for thing in scene.objects
        for colour in (thing.colour, thing.last_colour)
    }
    for pair in pairs_for(split):
        if split == "test_compositional" and pair not in HELD_OUT_PAIRS:
            continue
        colour, shape = pair
        if pair not in shown:
            yield from _questions(scene, _BY_PAIR, "pair", f"{colour} {shape}", "")
    if split == "test_compositional":
        return
    for shape in SHAPES:
        if not matching(scene, shape=shape):
            yield from _questions(scene, _BY_SHAPE, "shape", shape, "")
    for colour in COLOURS:
        if not matching(scene, colour=colour):
            yield from _questions(
                scene, _BY_COLOUR, "colour", f"{colour} shape", f"{colour} object"
            )


def _questions(
    scene: Scene, groups: tuple[str, ...], kind: str, words: str, other_words: str
) -> Iterator[Fact]:
    """Yield a question of each group; the noun of questions about shapes is "object"."""
    for group in groups:
        if scene.needles and group in ("speed", "change", "position", "time"):
            continue
        named = other_words if group == "shape" else words
        slots = (("the", f"the {named}"), *_SLOTS.get(group, ()))
        aliases = (f"no {named}", f"there is none, no {named}", f"there is no {named} in the video")
        yield Fact(f"{kind} {group}", denial(named), slots, (), group, aliases)
