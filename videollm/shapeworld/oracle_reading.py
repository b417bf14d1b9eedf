"""Reading a question: whom it names and what it wants to know, from its words alone.

It knows nothing of how questions are made: no wordings, families or facts are imported.
"""

import re
from dataclasses import dataclass

__all__ = ["Reading", "named_things", "read_question"]

_COLOURS = "red|green|blue|yellow|orange|purple|white|cyan"
_SHAPES = "circle|square|triangle|star|cross|diamond|heart|moon"
_THING = re.compile(
    rf"\b(?P<article>the|an?) (?:(?P<size>small|large) )?(?:(?P<fill>filled|outlined) )?"
    rf"(?:(?P<colour>{_COLOURS}) )?(?P<shape>{_SHAPES}|shape|object)\b(?! of\b)"
    r"(?: that (?P<clause>stays still|bounces|rotates|enters|leaves|moves|grows|shrinks|"
    r"changes (?:its )?colour)| in the (?P<scene>first|second|third) scene)?"
)
_PLURAL = re.compile(
    rf"\b(?:(?P<fill>filled|outlined) )?(?:(?P<colour>{_COLOURS}) )?(?P<shape>shape|{_SHAPES})e?s\b"
)
_EVENT = re.compile(
    rf"the (?P<colour>{_COLOURS}) (?P<shape>{_SHAPES}) (?P<event>enters|leaves|starts to \w+|"
    r"stops \w+|bounces|collides|changes its colour)"
)

_MEANINGS: tuple[tuple[str, str], ...] = (
    ("view", r"\bat \d+\.\d s\b"),
    (
        "story",
        r"^describe the thing|(all|everything|story|know|description|account|detail|say|tell me)"
        r" (of|on|about) the thing|\babout it\b",
    ),
    (
        "caption",
        r"^(describe (the|this) video|describe what|what (happens|can be seen) in the video)",
    ),
    (
        "caption",
        r"^(what does the video show\?|give a description|write a caption|say what you see)",
    ),
    ("caption", r"^(tell me what happens in|summarise|put into words|explain to somebody)"),
    ("neighbour", r"\b(right|immediately|directly) (before|after) "),
    ("time", r"how many seconds|how much time|what does the clock|time at which"),
    ("scene count", r"(how many|number of|count the|quantity of|add up all) (different )?scenes"),
    ("count", r"how many|number of|\bcount\b|add up all|quantity of|how numerous"),
    ("seen first", rf"the ({_COLOURS}) ({_SHAPES}) or the ({_COLOURS}) ({_SHAPES})(?! \w+s\b)"),
    ("scene", r"(which|what) (of the )?scenes?|scene to which|the scene it is in"),
    ("time", r"\bwhen\b|what time|which second|at what moment|how far into|find the second"),
    (
        "turn",
        r"turns?( to)?[?.]|become(?!s different)|change to|to what colou?r|end up with|takes on",
    ),
    ("turn", r"after its change"),
    ("change", r"\bchanges?\b|altered"),
    ("change", r"what is different|does the look of|becomes different"),
    ("speed", r"how fast|slow|speed|pace"),
    (
        "relation",
        r"seen from|compared with|relative to|on which side of|starting at|in what relation",
    ),
    ("direction", r"direction|which side|which way|where does it go"),
    ("fill", r"\bfilled\b.*\boutline\b|\boutline\b.*\bfilled\b|is it filled"),
    ("size", r"how big|size|how large|small or large|large or small|(large|small), or is it"),
    ("size", r"room does"),
    ("colour", r"colou?r|hue"),
    ("shape", r"(which|what|the) (kind of )?shape|what is the thing\?|figure|\bform\b|outline of"),
    ("shape", r"its shape"),
    ("position", r"\bwhere(abouts)?\b|corner|quarter|quadrant|what is the place"),
    (
        "motion",
        r"\bdo(es)?\b.*\?|doing|motion|behave|action|up to|done by|happens to it|tell me what",
    ),
)
"""What is asked, and words that tell so; the first that fits is meant."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Hold what a question means.

    Args:
        asks: One of the words in `_MEANINGS`, "order" or "existence".
        things: Who is named: each a description as `named_things` returns it.
        text: The question in small letters.
        events: (colour, shape, what happens) of each event that is named.
    """

    asks: str
    things: tuple[dict[str, str], ...]
    text: str
    events: tuple[tuple[str, str, str], ...]


def named_things(text: str) -> tuple[dict[str, str], ...]:
    """Return the things that a text names, by what it says of each: colour, shape, clause, ..."""
    found = []
    for match in _THING.finditer(text.lower()):
        said = {key: value for key, value in match.groupdict().items() if value}
        if said["shape"] in ("shape", "object"):
            said["noun"] = said.pop("shape")
        said["words"] = match[0]
        found.append(said)
    return tuple(found)


def named_plural(text: str) -> dict[str, str]:
    """Return what is to be counted: its colour, shape and fill as far as they are said."""
    match = _PLURAL.search(text)
    assert match is not None
    said = {key: value for key, value in match.groupdict().items() if value}
    if said["shape"] == "shape":
        del said["shape"]
    return said


def read_question(question: str) -> Reading:
    """Return what a question means; its choices are not read."""
    text = question.split("\n")[0].lower()
    things = tuple(thing for thing in named_things(text) if thing["article"] == "the")
    events = tuple((m["colour"], m["shape"], m["event"]) for m in _EVENT.finditer(text))
    some = [thing for thing in named_things(text) if thing["article"] != "the"]
    if len(events) > 1:
        return Reading("order", things, text, events)
    if some or "a collision" in text:
        return Reading("existence", tuple(some), text, ())
    # Clauses name an object; they do not ask.
    bare = _THING.sub(lambda match: "the thing", text) if len(things) < 2 else text
    asks = next(meaning for meaning, words in _MEANINGS if re.search(words, bare))
    return Reading(asks, things, text, ())
