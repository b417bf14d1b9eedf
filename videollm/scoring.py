"""Whether an answer is right: normalisation and matching, shared by training and evaluation.

Matching is strict on purpose: the whole answer must be right, up to case, articles, punctuation,
number words and spelling. Only three kinds of answer are read with more care: moments ("at 1.5 s"
within half a second), choices ("(B) red" by letter or by text), and yes or no (a sentence that
begins with the word). It knows no dataset.
"""

import re
from collections.abc import Iterable

__all__ = ["TIME_TOLERANCE_SECONDS", "exact_match", "normalize_answer", "parse_seconds"]

TIME_TOLERANCE_SECONDS = 0.5
"""Largest error of a moment that still counts as right."""

_NUMBER_WORDS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
)
_SPELLINGS = {word: str(number) for number, word in enumerate(_NUMBER_WORDS)} | {
    "colour": "color",
    "colours": "colors",
    "coloured": "colored",
    "grey": "gray",
}
_ARTICLES = {"a", "an", "the"}

_MOMENT = re.compile(
    r"(?<![\w.])(?:(?P<minutes>\d+):(?P<rest>\d{1,2}(?:\.\d+)?)|(?P<number>\d*\.?\d+))"
    r"\s*(?P<unit>milliseconds?|ms|seconds?|secs?|s)?(?!\w)"
)
_PREAMBLE = re.compile(r"\s*(?:the )?(?:best |correct |right )?(?:answer|option|choice)(?: is)?:?")
_CHOICE = re.compile(r"\s*(?:\((?P<bracketed>[a-z])\)|(?P<bare>[a-z])[).:])\s*(?P<text>.*)", re.S)
_LETTER = re.compile(r"\s*\(?(?P<letter>[a-z])[).:]*\s*")
_VERDICT = re.compile(r"\s*(yes|no)\s*(?:[,.;:!]|$)")


def normalize_answer(answer: str) -> str:
    """Return an answer without what does not matter for being right.

    Lower case; no articles, unless nothing else is left; no punctuation but the point and the
    minus of a number; number words up to twenty as digits; American spelling of colour and grey;
    single spaces.
    """
    text = re.sub("['\u2019]", "", answer.lower())
    text = re.sub(r"\.(?!\d)|(?<=\w)-|-(?![\d.])|[^\w.-]|_", " ", text)
    words = [_SPELLINGS.get(word, word) for word in text.split()]
    return " ".join([word for word in words if word not in _ARTICLES] or words)


def parse_seconds(answer: str) -> float | None:
    """Return the one moment that an answer names, in seconds.

    Reads "at 1.5 s", "1.5 seconds", "two seconds", "1500 ms", "0:01.5" and a number alone.

    Returns:
        Seconds, or None where the answer names no moment or more than one.
    """
    moment = _find_moment(answer)
    return None if moment is None else moment[0]


def _find_moment(answer: str) -> tuple[float, bool] | None:
    """Return the one moment of an answer in seconds, and whether it had a unit of time."""
    text = re.sub(r"[a-z]+", lambda word: _SPELLINGS.get(word[0], word[0]), answer.lower())
    found = list(_MOMENT.finditer(text))
    if len(found) != 1:
        return None
    match = found[0]
    if match["minutes"] is not None:
        return 60 * float(match["minutes"]) + float(match["rest"]), True
    unit = match["unit"] or ""
    return float(match["number"]) * (0.001 if unit.startswith("m") else 1.0), bool(unit)


def exact_match(prediction: str, answer: str, aliases: Iterable[str] = ()) -> bool:
    """Return whether a prediction is right.

    Args:
        prediction: What the model said.
        answer: The right answer. "(B) red" makes it a choice: the letter or the text will do,
            but a letter and a text that disagree are wrong. A number with a unit of time makes
            it a moment: half a second more or less will do. "yes" and "no" are also right at the
            head of a sentence.
        aliases: Other right answers, matched like the text of the answer.
    """
    choice = _CHOICE.fullmatch(answer.lower())
    if choice and choice["bracketed"]:
        return _matches_choice(prediction, choice["bracketed"], choice["text"], aliases)
    return any(_matches_text(prediction, right) for right in (answer, *aliases))


def _matches_choice(prediction: str, letter: str, text: str, aliases: Iterable[str]) -> bool:
    said = _PREAMBLE.sub("", prediction.lower().strip(), count=1)
    alone = _LETTER.fullmatch(said)
    if alone:
        return alone["letter"] == letter
    both = _CHOICE.fullmatch(said)
    if both:
        rest = both["text"]
        return (both["bracketed"] or both["bare"]) == letter and _any(rest, text, aliases)
    return _any(said, text, aliases)


def _any(prediction: str, text: str, aliases: Iterable[str]) -> bool:
    return any(_matches_text(prediction, right) for right in (text, *aliases))


def _matches_text(prediction: str, right: str) -> bool:
    wanted = _find_moment(right)
    if wanted is not None and wanted[1]:
        said = parse_seconds(prediction)
        return said is not None and abs(said - wanted[0]) <= TIME_TOLERANCE_SECONDS + 1e-6
    wanted_text = normalize_answer(right)
    if wanted_text in ("yes", "no"):
        verdict = _VERDICT.match(prediction.lower())
        return verdict is not None and verdict[1] == wanted_text
    return normalize_answer(prediction) == wanted_text
