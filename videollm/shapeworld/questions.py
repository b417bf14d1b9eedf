"""Questions about scenes, with answers that are right by construction and hard to guess.

The answer to ask for is drawn before the question that has it, evenly among the possible ones, so
that neither a family nor a wording gives the answer away. Facts are in `facts` and `happenings`,
sentences in `wordings`; this module draws among them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from videollm.errors import DataError, RequestError
from videollm.shapeworld.facts import Fact
from videollm.shapeworld.families import (
    ACCOUNT_FAMILIES,
    FAMILIES,
    LONG_FAMILIES,
    QUESTION_FAMILIES,
    Family,
)
from videollm.shapeworld.follow_ups import FOLLOW_UPS, follow_ups
from videollm.shapeworld.scene import Scene
from videollm.shapeworld.splits import check_split, generator_for
from videollm.shapeworld.vocabulary import HELD_OUT_PAIRS
from videollm.shapeworld.wordings import ALIASES, WORDINGS
from videollm.toyworld.wordings import Wordings

__all__ = ["Question", "Turn", "make_questions"]

_QUESTION_STREAM = 1
_MAX_CHOICES = 4
_LETTERS = "ABCD"
_MAX_MISSES = 400
_FOLLOW_UP_WEIGHT = 1.1


@dataclass(frozen=True, slots=True)
class Turn:
    """Hold an earlier question of a conversation, with its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Question:
    """Hold one question about one scene.

    Args:
        id: Unique among all questions of a split and seed.
        family: One of `FAMILIES`, or "follow_up".
        wording: Its sentence, as "colour-3": group and number, training ones first.
        question: The sentence, without choices.
        answer: The right answer, short; with choices the letter and the text, "(B) red".
        choices: ("(A) blue", "(B) red", ...), or empty for an open question.
        aliases: Other answers that are right.
        history: The turns before it; it cannot be understood without them.
    """

    id: str
    family: str
    wording: str
    question: str
    answer: str
    choices: tuple[str, ...]
    aliases: tuple[str, ...]
    history: tuple[Turn, ...] = ()

    @property
    def prompt(self) -> str:
        """Return what to ask a model: the question, and its choices one a line."""
        return "\n".join((self.question, *self.choices))


def make_questions(
    scene: Scene,
    split: str,
    *,
    count: int,
    seed: int,
    families: Sequence[str] | None = None,
    choice_fraction: float = 0.0,
) -> list[Question]:
    """Return questions about a scene, no two about the same fact.

    Args:
        scene: What the questions are about.
        split: Decides the wordings, and in `test_compositional` that every question concerns a
            held-out (colour, shape) pair.
        count: How many; fewer come back where the scene offers fewer facts.
        seed: Together with split and the scene's number it decides everything.
        families: Which families to ask; where None all of
            `QUESTION_FAMILIES`, and of a long video those of `LONG_FAMILIES`.
        choice_fraction: Share of questions in multiple-choice form, 0..1.

    Raises:
        RequestError: Unknown split or family, a negative count, or a fraction outside 0..1.
        DataError: The scene holds a pair that the split must not show, or lacks one that it must.
    """
    usual = LONG_FAMILIES if scene.needles else QUESTION_FAMILIES
    asked = tuple(usual if families is None else dict.fromkeys(families))
    _check_request(scene, split, asked, count, choice_fraction)
    rng = generator_for(split, scene.index, seed, _QUESTION_STREAM)
    weights = {
        name: FAMILIES[name].weight if name in FAMILIES else _FOLLOW_UP_WEIGHT for name in asked
    }
    menus: dict[str, _Menu | _Talks] = {}
    questions: list[Question] = []
    misses = 0
    while len(questions) < count and weights and misses < _MAX_MISSES:
        name = _draw(weights, rng)
        if name not in menus:
            menus[name] = _Menu(name, scene, split) if name in FAMILIES else _Talks(scene, split)
        menu = menus[name]
        number = f"{split}-{seed}-{scene.index}-{len(questions)}"
        made = menu.ask(number, choice_fraction, rng)
        misses += made is None
        if made is not None:
            questions.append(made)
        if not menu.is_open:
            del weights[name]
    return questions


class _Menu:
    """What is left to ask in one family: kind, then answer, then facts."""

    def __init__(self, name: str, scene: Scene, split: str) -> None:
        self.name, self.split = name, split
        self.family: Family = FAMILIES[name]
        self.kinds: dict[str, dict[str, list[Fact]]] = {}
        for fact in self.family.facts(scene, split):
            if split != "test_compositional" or _concerns_held_out(name, fact):
                self.kinds.setdefault(fact.kind, defaultdict(list))[fact.answer].append(fact)

    @property
    def is_open(self) -> bool:
        """Return whether there is something left."""
        return bool(self.kinds)

    def ask(self, number: str, choice_fraction: float, rng: np.random.Generator) -> Question | None:
        """Return a question, or None where the scene lacks the answer aimed for."""
        fact = self.take(rng) if self.kinds else None
        if fact is None:
            return None
        choices: tuple[str, ...] = ()
        if self.name not in (*ACCOUNT_FAMILIES, "premise") and rng.random() < choice_fraction:
            choices = _draw_choices(fact, self.family.pool, rng)
        sentence = write_out(WORDINGS[fact.group], fact, self.split, rng)
        return _question(number, self.name, fact, sentence, choices)

    def take(self, rng: np.random.Generator) -> Fact | None:
        """Draw a kind, an answer, then a fact, and strike it off.

        Where the scene does not offer the answer aimed for nothing is asked, for any substitute
        would be a common answer. A kind goes when such an answer runs out.
        """
        kind = _draw({kind: self.family.kinds.get(kind, 1.0) for kind in self.kinds}, rng)
        offered = self.kinds[kind]
        aims = self.family.answers.get(kind, self.family.answers.get("", {}))
        answer = _draw(aims or dict.fromkeys(offered, 1.0), rng)
        if answer not in offered:
            return None
        fact = offered[answer].pop(int(rng.random() * len(offered[answer])))
        if not offered[answer]:
            del offered[answer]
            if aims or not offered:
                del self.kinds[kind]
        return fact


class _Talks:
    """Conversations of two turns that are left."""

    def __init__(self, scene: Scene, split: str) -> None:
        self.scene, self.split = scene, split
        self.is_open = True
        self.used: set[tuple[int, str]] = set()
        names = ("colour", "shape", "size", "fill", "motion", "existence")
        self.openers = [
            fact
            for name in names
            for fact in FAMILIES[name].facts(scene, split)
            if split != "test_compositional" or _concerns_held_out(name, fact)
        ]

    def ask(self, number: str, choice_fraction: float, rng: np.random.Generator) -> Question | None:
        """Return a question with the turn before it, or None where there is none left."""
        for talk in follow_ups(self.scene, self.split, self.openers, rng):
            key = (talk.fact.subjects[0].number, talk.fact.group)
            if key in self.used:
                continue
            self.used.add(key)
            opening = write_out(WORDINGS[talk.opener.group], talk.opener, self.split, rng)
            sentence = write_out(FOLLOW_UPS[talk.fact.group], talk.fact, self.split, rng)
            choices: tuple[str, ...] = ()
            if rng.random() < choice_fraction:
                family = FAMILIES["scenes" if talk.fact.group == "scene_where" else talk.fact.group]
                choices = _draw_choices(talk.fact, family.pool, rng)
            history = (Turn(opening[1], talk.opener.answer),)
            return _question(number, "follow_up", talk.fact, sentence, choices, history)
        self.is_open = False
        return None


def _question(
    number: str,
    family: str,
    fact: Fact,
    sentence: tuple[int, str],
    choices: tuple[str, ...],
    history: tuple[Turn, ...] = (),
) -> Question:
    group = f"follow-up {fact.group}" if history else fact.group
    return Question(
        id=number,
        family=family,
        wording=f"{group}-{sentence[0]}",
        question=sentence[1],
        answer=next((text for text in choices if text[4:] == fact.answer), fact.answer),
        choices=choices,
        aliases=(*fact.aliases, *ALIASES.get(fact.answer, ())),
        history=history,
    )


def write_out(
    wordings: Wordings, fact: Fact, split: str, rng: np.random.Generator
) -> tuple[int, str]:
    """Return number and text of a sentence: a paraphrase or a trained one."""
    training, paraphrase = wordings
    number = int(rng.random() * len(training))
    if split == "test_paraphrase":
        number = len(training) + int(rng.random() * len(paraphrase))
    text = (training + paraphrase)[number].format_map(dict(fact.slots))
    # Slots may open a sentence, also a later one.
    for end in (". ", "? "):
        text = end.join(part[0].upper() + part[1:] for part in text.split(end) if part)
    return number, text


def _concerns_held_out(family: str, fact: Fact) -> bool:
    """Whether a fact is about a held-out pair: one in the scene, or that none is there."""
    if family in ("existence", "premise") or fact.answer == "0":
        return True
    return any(thing.pair in HELD_OUT_PAIRS for thing in fact.subjects)


def _draw_choices(fact: Fact, pool: Sequence[str], rng: np.random.Generator) -> tuple[str, ...]:
    """Return the right answer among up to three wrong ones, in any order, with letters."""
    others = [text for text in fact.pool or pool if text != fact.answer]
    if fact.group == "time":
        # Whole seconds apart, so that the tolerance of scoring never reaches a wrong choice.
        others = [moment for moment in others if moment[-4:] == fact.answer[-4:]]
    if not others:
        return ()
    texts = [fact.answer, *(others[k] for k in rng.permutation(len(others))[: _MAX_CHOICES - 1])]
    order = rng.permutation(len(texts))
    return tuple(f"({letter}) {texts[k]}" for letter, k in zip(_LETTERS, order, strict=False))


def _check_request(
    scene: Scene, split: str, families: Sequence[str], count: int, choice_fraction: float
) -> None:
    check_split(split)
    known = (*FAMILIES, "follow_up")
    unknown = [name for name in families if name not in known]
    if unknown or not families:
        named = ", ".join(unknown) if unknown else "none at all"
        raise RequestError(f"families asked for: {named}; choose from {', '.join(known)}")
    if count < 0 or not 0 <= choice_fraction <= 1:
        raise RequestError(
            f"count is {count} and choice_fraction {choice_fraction}: "
            "count must be at least 0 and choice_fraction within 0..1"
        )
    held_out = [thing.pair for thing in scene.objects if thing.pair in HELD_OUT_PAIRS]
    if bool(held_out) != (split == "test_compositional"):
        raise DataError(
            f"scene {scene.index} of {scene.split} holds {len(held_out)} held-out pairs, which "
            f"does not fit questions for {split}: make the scene with that split's name"
        )


def _draw(weights: Mapping[str, float], rng: np.random.Generator) -> str:
    """Draw one key in proportion to its weight."""
    left = rng.random() * sum(weights.values())
    for key, weight in weights.items():
        left -= weight
        if left < 0:
            return key
    return key
