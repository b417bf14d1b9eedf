"""The families of questions: which facts belong to each, how often it is asked, what is aimed for.

An answer is drawn whether the scene offers it or not, and where it does not nothing is asked: so
rare answers become as frequent as common ones, and a blind model stays near chance.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from videollm.shapeworld import facts, happenings
from videollm.shapeworld.accounts import story_facts, view_facts
from videollm.shapeworld.captions import caption_facts
from videollm.shapeworld.facts import Fact
from videollm.shapeworld.premises import premise_facts
from videollm.shapeworld.scene import Scene
from videollm.shapeworld.vocabulary import COLOURS, DIRECTIONS, FILLS, PLOTS, SHAPES, SIDES, SIZES

__all__ = ["ACCOUNT_FAMILIES", "FAMILIES", "LONG_FAMILIES", "QUESTION_FAMILIES", "Family"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Hold what is common to the questions of one family.

    Args:
        facts: All facts of a scene that may be asked in a split.
        weight: How often the family is asked, relative to the others.
        kinds: Kind to how often it is asked, relative to others that the scene offers; 1 where
            it is not named.
        answers: Kind to the answers to aim for, with weights; "" for all other kinds. Kinds
            without any draw evenly among the answers that the scene offers.
        pool: Answers to draw wrong choices from where a fact has none.
    """

    facts: Callable[[Scene, str], Iterable[Fact]]
    weight: float
    kinds: dict[str, float] = field(default_factory=dict)
    answers: dict[str, dict[str, float]] = field(default_factory=dict)
    pool: tuple[str, ...] = ()


def _even(*answers: str) -> dict[str, float]:
    return dict.fromkeys(answers, 1.0)


_QUARTERS = ("top left", "top right", "bottom left", "bottom right")
_MOTIONS = tuple("stays still" if plot == "still" else plot for plot in PLOTS)
_CHANGES = ("grows", "shrinks", "changes colour", "stays the same")
_SPEEDS = ("slow", "fast", "not at all")
_HALF_SECONDS = tuple(happenings.format_seconds(number / 2) for number in range(1, 16))
_NUMBERS = {"0": 0.32, "1": 0.36, "2": 0.8, "3": 1.3, "4": 2.0}
"""Answers that few scenes offer are aimed for more often, here and below."""

_MOTION_AIMS = {
    "stays still": 1.2,
    "moves": 0.35,
    "bounces": 0.8,
    "collides": 3.0,
    "rotates": 1.0,
    "enters": 1.3,
    "leaves": 0.9,
}
_CHANGE_AIMS = {"grows": 1.7, "shrinks": 2.0, "changes colour": 1.0, "stays the same": 0.2}
_TIME_AIMS = dict(
    zip(_HALF_SECONDS, (1, 0.6, 0.5, 0.6, 0.8, 1, 1, 1, 1.5, 1.5, 2, 2, 2.5, 3, 3), strict=True)
)

_SIDES = _even(*SIDES)

FAMILIES: dict[str, Family] = {
    "existence": Family(
        facts=facts.existence_facts,
        weight=0.4,
        kinds={"pair": 2.0},
        answers={"": _even("yes", "no")},
        pool=("yes", "no"),
    ),
    "count": Family(
        facts=facts.count_facts,
        weight=4.0,
        kinds={"colour": 3.0, "shape": 3.0, "fill": 1.0},
        answers={"": _NUMBERS, "all": {str(number): 1.0 for number in range(1, 7)}},
        pool=tuple("0123456"),
    ),
    "colour": Family(
        facts=facts.colour_facts, weight=1.15, kinds={"shape": 2.0}, pool=tuple(COLOURS)
    ),
    "shape": Family(facts=facts.shape_facts, weight=1.1, kinds={"colour": 2.0}, pool=SHAPES),
    "size": Family(facts=facts.size_facts, weight=0.4, answers={"": _even(*SIZES)}, pool=SIZES),
    "fill": Family(facts=facts.fill_facts, weight=0.4, answers={"": _even(*FILLS)}, pool=FILLS),
    "position": Family(
        facts=facts.position_facts,
        weight=3.5,
        kinds={"relation": 8.0},
        answers={"": _even(*_QUARTERS), "relation": _even("left", "right", "above", "below")},
        pool=_QUARTERS,
    ),
    "motion": Family(
        facts=happenings.motion_facts,
        weight=4.0,
        kinds={"pair": 2.0},
        answers={"": _MOTION_AIMS},
        pool=_MOTIONS,
    ),
    "direction": Family(
        facts=happenings.direction_facts,
        weight=5.0,
        answers={
            "": _even(*DIRECTIONS),
            "enters": _SIDES,
            "leaves": _SIDES,
            "bounces": _SIDES,
        },
        pool=tuple(DIRECTIONS),
    ),
    "speed": Family(
        facts=happenings.speed_facts,
        weight=1.5,
        answers={"": {"slow": 1.0, "fast": 1.0, "not at all": 1.5}},
        pool=_SPEEDS,
    ),
    "change": Family(
        facts=happenings.change_facts,
        weight=5.0,
        answers={"": _CHANGE_AIMS, "turn": _even(*COLOURS)},
        pool=_CHANGES,
    ),
    "time": Family(
        facts=happenings.time_facts, weight=16.0, answers={"": _TIME_AIMS}, pool=_HALF_SECONDS
    ),
    "order": Family(facts=happenings.order_facts, weight=0.6, kinds={"first of 3": 2.0}),
    "scenes": Family(
        facts=happenings.scene_facts,
        weight=1.3,
        kinds={"count": 3.0},
        answers={
            "count": {"1": 0.3, "2": 1.0, "3": 1.5},
            "where of 2": _even("first", "second"),
            "where of 3": _even("first", "second", "third"),
        },
    ),
    "when": Family(facts=happenings.moment_facts, weight=1.0),
    "neighbour": Family(facts=happenings.neighbour_facts, weight=1.0),
    "premise": Family(facts=premise_facts, weight=0.7),
    "caption": Family(facts=caption_facts, weight=1.0),
    "story": Family(facts=story_facts, weight=2.0),
    "view": Family(facts=view_facts, weight=0.7, kinds={"0": 0.2, "1": 0.5}),
}
"""Name to family, in the order of reports; "follow_up" is built of these, see `follow_ups`."""

ACCOUNT_FAMILIES: tuple[str, ...] = ("caption", "story", "view")
"""Families that are answered in sentences and score by recall. They come only when asked for."""

QUESTION_FAMILIES: tuple[str, ...] = (
    *(name for name in FAMILIES if name not in (*ACCOUNT_FAMILIES, "when", "neighbour")),
    "follow_up",
)
"""Families that are asked where none are named."""

LONG_FAMILIES: tuple[str, ...] = (*QUESTION_FAMILIES, "when", "neighbour")
"""The same of long videos."""
