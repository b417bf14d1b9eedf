"""Needles at chosen places of a long video, and what is asked about them.

What, which colour, how it moves and when are asked about one needle; which of two came first, how
many there were, and what came right before or after another, about several.
"""

from collections.abc import Sequence
from dataclasses import replace

from videollm.shapeworld.drafts import Span
from videollm.shapeworld.long_videos import draw_pairs, film
from videollm.shapeworld.questions import Question, make_questions
from videollm.shapeworld.scene import Scene
from videollm.shapeworld.splits import generator_for
from videollm.toyworld.long_videos import HAYSTACKS, place_needles

__all__ = ["HAYSTACKS", "NEEDLE_FAMILIES", "make_needle_scene", "needle_questions"]

NEEDLE_FAMILIES = ("shape", "colour", "motion", "when", "order", "count", "neighbour")

_OF_ONE, _OF_SEVERAL = NEEDLE_FAMILIES[:4], NEEDLE_FAMILIES[4:]
_SHOT_SECONDS = 6.0
_SPLIT, _STREAM = "test_long", 5


def make_needle_scene(
    haystack: str, index: int, seed: int, *, minutes: float, depths: Sequence[float]
) -> Scene:
    """Return a long video; the same arguments give the same one.

    Args:
        haystack: One of `HAYSTACKS`.
        index: Its number, at least 0.
        seed: Seed of the whole world, at least 0.
        minutes: Its length, of at least one shot of six seconds for each needle.
        depths: Where the needles are, rising from 0 (the first shot) to 1 (the last).

    Raises:
        RequestError: The haystack is unknown, a number is negative, or the needles find no place.
    """
    num_shots = round(60 * minutes / _SHOT_SECONDS)
    shots = place_needles(haystack, depths, num_shots)
    rng = generator_for(_SPLIT, index, seed, _STREAM)
    chorus, needles = draw_pairs(len(shots), rng)
    spans = [Span(_SHOT_SECONDS * n, _SHOT_SECONDS * (n + 1)) for n in range(num_shots)]
    plays = dict(zip(shots, needles, strict=True))
    return film(_SPLIT, index, seed, spans, plays, chorus if haystack == "busy" else [], rng)


def needle_questions(scene: Scene) -> list[Question]:
    """Return the questions about a long video, always the same ones, at most one of a family."""
    return [
        replace(question, id=f"{question.id}-{family}")
        for family in (_OF_ONE if len(scene.needles) == 1 else _OF_SEVERAL)
        for question in make_questions(scene, _SPLIT, count=1, seed=scene.seed, families=[family])
    ]
