"""The scoring rules that a benchmark can name, each a function of an output and its example."""

import re
from collections.abc import Callable, Mapping

from videollm.choices import parse_choice
from videollm.eval.open_ended import score_open_answer
from videollm.eval.task import Example, Score
from videollm.eval.wups import wups
from videollm.scoring import normalize_answer

__all__ = ["METRICS", "find_moments", "score_short_answer", "temporal_iou"]

IOU_LEVELS = (0.3, 0.5, 0.7)
_WUPS_LEVELS = {"wups_0": 0.0, "wups_9": 0.9}
_COUNT_FAMILIES = ("DC", "DB")  # NExT-QA: counting and yes or no are scored by exact match

_VERDICT = re.compile(r"(?:the answer is|answer:)?\s*(yes|no)\b", re.I)
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d{1,2}(?:\.\d+)?)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def score_choice(output: str, example: Example) -> Score:
    """Return which choice an output names, as `videollm.choices.parse_choice` reads it.

    Args:
        output: The text as it was generated.
        example: The question with its choices; aliases are choices that are right as well.
    """
    index = parse_choice(output, example.choices)
    chosen = None if index is None else example.choices[index]
    return Score(chosen, chosen is not None and chosen in (example.answer, *example.aliases))


def score_short_answer(output: str, example: Example) -> Score:
    """Return the choice that an output names, or whether a short free answer matches."""
    if not example.choices:
        return score_open_answer(output, example)
    score = score_choice(output, example)
    if score.parsed is None:  # another right answer need not be a choice
        return score_open_answer(output, example)
    return score


def score_yes_no(output: str, example: Example) -> Score:
    """Return the yes or no at the head of an output; anything else is unparsable."""
    match = _VERDICT.match(re.sub(r"[*_`\"']", "", output).strip())
    said = match[1].lower() if match else None
    return Score(said, said == normalize_answer(example.answer))


def score_wups(output: str, example: Example) -> Score:
    """Return exact match, and WUPS at 0 and at 0.9 against the nearest right answer.

    Counts and yes-or-no questions (families DC and DB) score 0 or 1, as in NExT-OE.

    Raises:
        DataError: WordNet is not installed.
    """
    exact = score_open_answer(output, example)
    truths = (example.answer, *example.aliases)
    if example.family in _COUNT_FAMILIES:
        return Score(
            exact.parsed, exact.correct, dict.fromkeys(_WUPS_LEVELS, float(bool(exact.correct)))
        )
    measures = {
        name: max(wups(output, truth, level) for truth in truths)
        for name, level in _WUPS_LEVELS.items()
    }
    return Score(exact.parsed, exact.correct, measures)


def score_temporal_iou(output: str, example: Example) -> Score:
    """Return the overlap of a span of time with the right one; 0.5 and more is right.

    An output without two moments, or whose second is not after its first, is unparsable: its
    overlap is 0.
    """
    said, right = find_moments(output), find_moments(example.answer)
    iou = temporal_iou(said, right) if said and right else 0.0
    measures = {"iou": iou, **{f"recall_{level}": float(iou >= level) for level in IOU_LEVELS}}
    return Score(f"{said[0]:g} to {said[1]:g}" if said else None, iou >= 0.5, measures)


def score_judged(output: str, example: Example) -> Score:
    """Return an answer that nobody has judged yet; an empty one needs no judge."""
    del example
    said = output.strip()
    return Score(said, None) if said else Score(None, False)


def find_moments(text: str) -> tuple[float, float] | None:
    """Return the span of time that a text names first, in seconds, or None.

    Args:
        text: Such as "4.0 to 9.5", "from 4s until 9.5s", "0:04 - 0:09", "[4.0, 9.5]".
    """
    plain = _CLOCK.sub(lambda hit: f"{_clock_seconds(hit):g}", text)
    numbers = [float(number) for number in _NUMBER.findall(plain)]
    if len(numbers) < 2 or numbers[0] >= numbers[1]:
        return None
    return numbers[0], numbers[1]


def _clock_seconds(hit: re.Match[str]) -> float:
    return 3600 * float(hit[1] or 0) + 60 * float(hit[2]) + float(hit[3])


def temporal_iou(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return how much two spans of time overlap, as a share of what they cover, from 0 to 1.

    Args:
        one: Start and end in seconds, the end after the start.
        other: Likewise.
    """
    overlap = min(one[1], other[1]) - max(one[0], other[0])
    covered = max(one[1], other[1]) - min(one[0], other[0])
    return max(0.0, overlap) / covered


METRICS: Mapping[str, Callable[[str, Example], Score]] = {
    "exact_match": score_open_answer,
    "judged_caption": score_judged,
    "multiple_choice": score_choice,
    "short_answer": score_short_answer,
    "temporal_iou": score_temporal_iou,
    "wups": score_wups,
    "yes_no": score_yes_no,
}
"""Every scoring rule by the name that a spec gives it."""
