"""Questions about the needles of a long video, in the sentences of the toy world.

What, which colour, how it moves and when are asked about one needle; what comes right before or
after another, which is first, and how many there are, about several.
"""

from collections.abc import Iterator

import numpy as np

from videollm.toyworld.families import format_seconds
from videollm.toyworld.long_videos import LongVideo, Needle
from videollm.toyworld.questions import Question
from videollm.toyworld.referents import name_pair
from videollm.toyworld.wordings import ALIASES, WORDINGS

__all__ = ["NEEDLE_FAMILIES", "needle_questions"]

NEEDLE_FAMILIES = ("what", "colour", "motion", "when", "before_after", "order", "count")

_WORDED_AS = {"what": "shape", "when": "time", "before_after": "order"}
_STREAM = 2


def needle_questions(video: LongVideo) -> list[Question]:
    """Return the questions about a long video, always the same ones, one of a family.

    A moment is right from half a second before the needle appears to half a second after it is
    gone.

    Args:
        video: With one needle: `what`, `colour`, `motion` and `when`. With several: the others.
    """
    about = _about_one(video) if len(video.needles) == 1 else _about_several(video)
    rng = np.random.Generator(np.random.PCG64([video.seed, video.index, _STREAM]))
    questions: list[Question] = []
    for family, slots, answer, aliases in about:
        sentences = WORDINGS[_WORDED_AS.get(family, family)].training
        wording = int(rng.integers(len(sentences)))
        sentence = sentences[wording].format_map(slots)
        questions.append(
            Question(
                id=f"{video.haystack}-{video.seed}-{video.index}-{len(questions)}",
                family=family,
                wording=wording,
                question=sentence[0].upper() + sentence[1:],
                answer=answer,
                choices=(),
                aliases=aliases,
            )
        )
    return questions


Asked = tuple[str, dict[str, str], str, tuple[str, ...]]


def _about_one(video: LongVideo) -> Iterator[Asked]:
    (needle,) = video.needles
    thing = needle.thing
    shape, colour = thing.shape, thing.colour
    yield "what", {"the": f"the {colour} object"}, shape, ALIASES.get(shape, ())
    yield "colour", {"the": f"the {shape}"}, colour, ALIASES.get(colour, ())
    yield "motion", {"the": f"the {shape}"}, thing.motion, ALIASES.get(thing.motion, ())
    moments = np.arange(needle.begin_seconds, needle.end_seconds + 0.1, 0.5)
    first, *others = (format_seconds(moment) for moment in moments)
    yield "when", {"the": f"the {shape}", "do": "appear", "does": "appears"}, first, tuple(others)


def _about_several(video: LongVideo) -> Iterator[Asked]:
    needles = video.needles
    place = video.index % (len(needles) - 1)
    known, asked = needles[place], needles[place + 1]
    when = "after"
    if video.index % 2:
        known, asked, when = asked, known, "before"
    event = f"appears right {when} the {name_pair(known.thing)}"
    yield "before_after", {"event": event}, name_pair(asked.thing), ()
    yield "order", *_order(video)
    yield "count", *_count(video)


def _order(video: LongVideo) -> tuple[dict[str, str], str, tuple[str, ...]]:
    needles = video.needles
    if video.haystack == "quiet":
        which, chosen = (("last", needles[-1]), ("first", needles[0]))[video.index % 2]
        return {"event": f"appears {which}"}, name_pair(chosen.thing), ()
    named: list[Needle] = [needles[0], needles[-1]]
    if video.index % 2:
        named.reverse()
    names = " or ".join(f"the {name_pair(needle.thing)}" for needle in named)
    return {"event": f"appears first, {names}"}, name_pair(needles[0].thing), ()


def _count(video: LongVideo) -> tuple[dict[str, str], str, tuple[str, ...]]:
    needles = video.needles
    if video.haystack == "quiet":
        return {"things": "shapes"}, str(len(needles)), ()
    colour = needles[0].thing.colour
    number = sum(needle.thing.colour == colour for needle in needles)
    return {"things": f"{colour} shapes"}, str(number), ()
