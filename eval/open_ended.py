"""Scoring of short answers, free or chosen, by the exact match of `videollm.scoring`."""

from videollm.eval.task import Example, Score
from videollm.scoring import exact_match, normalize_answer

__all__ = ["score_open_answer"]


def score_open_answer(output: str, example: Example) -> Score:
    """Return what a short answer was understood as, and whether it is right.

    An output with no word in it is unparsable. So is one that is none of the choices, where the
    question has choices.

    Args:
        output: The text as it was generated.
        example: The question with its truth.
    """
    right = exact_match(output, example.answer, example.aliases)
    if not example.choices:
        return Score(normalize_answer(output) or None, right)
    if right:
        return Score(example.answer, True)
    chosen = (choice for choice in example.choices if exact_match(output, choice))
    return Score(next(chosen, None), False)
