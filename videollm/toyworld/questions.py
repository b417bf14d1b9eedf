"""Questions about scenes, with answers that are right by construction and hard to guess.

The answer to ask for is drawn before the question that has it, evenly among the answers that a
scene offers, so that neither a family nor a wording gives the answer away. Facts are in
`families`, sentences in `wordings`; this module draws among them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from videollm.errors import DataError, RequestError
from videollm.toyworld.families import FAMILIES, Fact, Family
from videollm.toyworld.scene import Scene
from videollm.toyworld.splits import check_split, generator_for, pairs_for
from videollm.toyworld.vocabulary import HELD_OUT_PAIRS
from videollm.toyworld.wordings import ALIASES, WORDINGS

__all__ = ["QUESTION_FAMILIES", "Question", "make_questions"]

QUESTION_FAMILIES: tuple[str, ...] = tuple(family for family in FAMILIES if family != "caption")
"""Families that are asked where none are named; captions come only when asked for."""

_QUESTION_STREAM = 1
_MAX_CHOICES = 4
_LETTERS = "ABCD"


@dataclass(frozen=True, slots=True)
class Question:
    """Hold one question about one scene.

    Args:
        id: Unique among all questions of a split and seed.
        family: One of `FAMILIES`.
        wording: Number of its sentence in `WORDINGS[family]`: training ones first.
        question: The sentence, without choices.
        answer: The right answer, short; with choices the letter and the text, "(B) red".
        choices: ("(A) blue", "(B) red", ...), or empty for an open question.
        aliases: Other answers that are right.
    """

    id: str
    family: str
    wording: int
    question: str
    answer: str
    choices: tuple[str, ...]
    aliases: tuple[str, ...]

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
        families: Which families to ask; all of `QUESTION_FAMILIES` where None.
        choice_fraction: Share of questions in multiple-choice form, 0..1.

    Returns:
        At most `count` questions, families mixed.

    Raises:
        RequestError: Unknown split or family, a negative count, or a fraction outside 0..1.
        DataError: The scene holds a pair that the split must not show, or lacks one that it must.
    """
    asked = tuple(QUESTION_FAMILIES if families is None else dict.fromkeys(families))
    _check_request(scene, split, asked, count, choice_fraction)
    rng = generator_for(split, scene.index, seed, _QUESTION_STREAM)
    weights = {name: FAMILIES[name].weight for name in asked}
    menus: dict[str, _Menu] = {}
    questions: list[Question] = []
    while len(questions) < count and weights:
        family = _draw(weights, rng)
        if family not in menus:
            menus[family] = _Menu(family, scene, split)
        fact = menus[family].take(rng) if menus[family].kinds else None
        if fact is not None:
            wording = _choose_wording(family, split, rng)
            choices: tuple[str, ...] = ()
            if family != "caption" and rng.random() < choice_fraction:
                choices = _draw_choices(family, fact, scene, split, rng)
            question = Question(
                id=f"{split}-{seed}-{scene.index}-{len(questions)}",
                family=family,
                wording=wording,
                question=_write_out(family, wording, fact),
                answer=next((text for text in choices if text[4:] == fact.answer), fact.answer),
                choices=choices,
                aliases=ALIASES.get(fact.answer, ()),
            )
            questions.append(question)
        if not menus[family].kinds:
            del weights[family]
    return questions


class _Menu:
    """What is left to ask in one family: kind, then answer, then facts."""

    def __init__(self, name: str, scene: Scene, split: str) -> None:
        self.family: Family = FAMILIES[name]
        self.kinds: dict[str, dict[str, list[Fact]]] = {}
        for fact in self.family.facts(scene, split):
            if split != "test_compositional" or _concerns_held_out(name, fact):
                self.kinds.setdefault(fact.kind, defaultdict(list))[fact.answer].append(fact)

    def take(self, rng: np.random.Generator) -> Fact | None:
        """Draw a kind, an answer, then a fact, and strike it off.

        Returns None where the scene does not offer the answer aimed for; then nothing is asked,
        for any substitute would be a common answer. A kind goes when such an answer runs out.
        """
        kind = _draw({kind: self.family.kinds.get(kind, 1.0) for kind in self.kinds}, rng)
        offered = self.kinds[kind]
        aims = self.family.answers.get(kind, dict.fromkeys(offered, 1.0))
        answer = _draw(aims, rng)
        if answer not in offered:
            return None
        fact = offered[answer].pop(int(rng.random() * len(offered[answer])))
        if not offered[answer]:
            del offered[answer]
            if kind in self.family.answers or not offered:
                del self.kinds[kind]
        return fact


def _concerns_held_out(family: str, fact: Fact) -> bool:
    """Whether a fact is about a held-out pair: one in the scene, or that none is there."""
    if family == "existence" or fact.answer == "0":
        return True
    return any(thing.pair in HELD_OUT_PAIRS for thing in fact.subjects)


def _check_request(
    scene: Scene, split: str, families: Sequence[str], count: int, choice_fraction: float
) -> None:
    check_split(split)
    unknown = [name for name in families if name not in FAMILIES]
    if unknown or not families:
        named = ", ".join(unknown) if unknown else "none at all"
        raise RequestError(f"families asked for: {named}; choose from {', '.join(FAMILIES)}")
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


def _choose_wording(name: str, split: str, rng: np.random.Generator) -> int:
    """Draw the number of a sentence: a paraphrase in `test_paraphrase`, else a training one."""
    training, paraphrase = WORDINGS[name]
    if split == "test_paraphrase":
        return len(training) + int(rng.random() * len(paraphrase))
    return int(rng.random() * len(training))


def _write_out(name: str, wording: int, fact: Fact) -> str:
    sentence = (WORDINGS[name].training + WORDINGS[name].paraphrase)[wording]
    sentence = sentence.format_map(dict(fact.slots))
    return sentence[0].upper() + sentence[1:]


def _draw_choices(
    name: str, fact: Fact, scene: Scene, split: str, rng: np.random.Generator
) -> tuple[str, ...]:
    """Return the right answer among up to three wrong ones, in any order, with letters."""
    pool: Sequence[str] = FAMILIES[name].pool
    likely: Sequence[str] = ()
    if name == "position":
        pool = dict(fact.slots)["ends"].split(" or ")
    elif name == "order":
        pool = [" ".join(pair) for pair in pairs_for(split)]
        likely = [" ".join(thing.pair) for thing in scene.objects]
    elif name == "time":
        # Whole seconds apart, so that the tolerance of scoring never reaches a wrong choice.
        pool = [moment for moment in pool if moment[-4:] == fact.answer[-4:]]
    wrong = [text for text in likely if text != fact.answer]
    others = [text for text in pool if text != fact.answer and text not in wrong]
    wrong += [others[k] for k in rng.permutation(len(others))]
    texts = [fact.answer, *wrong[: _MAX_CHOICES - 1]]
    order = rng.permutation(len(texts))
    return tuple(f"({letter}) {texts[k]}" for letter, k in zip(_LETTERS, order, strict=False))


def _draw(weights: Mapping[str, float], rng: np.random.Generator) -> str:
    """Draw one key in proportion to its weight."""
    left = rng.random() * sum(weights.values())
    for key, weight in weights.items():
        left -= weight
        if left < 0:
            return key
    return key
