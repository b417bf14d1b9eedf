"""Which of the choices on offer an answer names, in every form in which models say it.

"B", "(b)", "B. red", "The answer is B.", "**B**", "option b", "Answer: (B) red", "red", "it is the
red one" all name "(B) red". What names no choice, or more than one, names none: nothing is ever
guessed. A letter counts only where it cannot be a word: "a" and "I" in running text do not.
"""

import re
from collections.abc import Iterator, Sequence

from videollm.scoring import normalize_answer

__all__ = ["LETTERS", "choice_letter", "choice_text", "label_choices", "parse_choice"]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_LABELLED = re.compile(r"\(([A-Z])\)\s*(.*)", re.S)
_DROPPED = re.compile(
    r"<think(?:ing)?>.*?(?:</think(?:ing)?>|$)|<\|[^|>]*\|>|</?s>|\[/?INST\]", re.S | re.I
)
_TAGGED = re.compile(
    r"<answer>(.*?)(?:</answer>|$)|\\boxed\{\s*(?:\\text\{)?([^{}]*)\}+", re.S | re.I
)
_MARKUP = re.compile("[*_`$#\"\u201c\u201d\u2018]|\u2019(?!\\w)|(?<!\\w)'|'(?!\\w)|^\\s*[>\\-]\\s+")
_NUMBERED = re.compile(
    r"\b(option|caption|sentence|choice|answer)(\s*:?\s*)([1-9])\b(?![.:]?\d)", re.I
)

_CAPITAL = r"([A-Z])(?![\w'])"
_IN_BRACKETS = r"[(\[{]\s*([A-Za-z])\s*[)\]}]"
_STATED = re.compile(
    r"\b(?:answer|option|caption|sentence|choice|conclusion|pick|choose|chose|select|selected|guess)"
    r"(?:\s+(?:is|was|be|would|should|to|letter|option|choice|caption|sentence|the|my|best|correct|right))*"
    rf"[\s:=-]*(?:{_IN_BRACKETS}|(?-i:{_CAPITAL}(?!\s+[a-z]+\s+[a-z])|([b-hj-z])(?![\w'])"
    rf"|([A-Za-z])(?=\s*(?:[.):,;]|$|is\b|because\b|since\b))))",
    re.I,
)
_LEADING = re.compile(
    rf"\s*(?:{_IN_BRACKETS}|([A-Za-z])\s*[).:](?!\w)|([A-Z])\s*[-,;/](?!\w)|([A-Za-z])\s*(?:\n|$)"
    r"|([B-HJ-Z])(?=\s))"
)
_SEVERAL = re.compile(
    r"\s*(?:both\s+|either\s+)?\(?[A-Z]\)?\s*(?:,|/|&|\+|\band\b|\bor\b)\s*(?:\band\b|\bor\b)?\s*"
    r"\(?[A-Z]\)?(?![\w'])",
    re.I,
)
_LINE_LABEL = re.compile(r"^\s*\(?([A-Z])[).:]\s", re.M)
_LABEL = re.compile(r"[(\[{]\s*[A-Za-z]\s*[)\]}]|[A-Za-z]\s*[).:]")
_LONG_WORDS = 3
_ANYWHERE = (
    re.compile(_IN_BRACKETS),
    re.compile(
        rf"\b{_CAPITAL}[).]?\s+(?:is|was|seems|appears|looks|would be)\s+(?:to be\s+)?"
        r"(?:the\s+|my\s+)?(?:most\s+)?(?:correct|right|best|answer|true|likely|accurate|choice)"
    ),
    re.compile(r"(?<![\w'.-])([B-HJ-Z]|[AI](?=\s*(?:[.),:;!]|$)))(?![\w'-])"),
)
_NEGATED = re.compile(r"(?:\b(?:not|never|neither|nor|cannot|no)|n't)(?:\s+\w+){0,2}\s*\(?$", re.I)


def label_choices(texts: Sequence[str]) -> tuple[str, ...]:
    """Return texts as lettered choices, "(A) red", "(B) blue".

    Args:
        texts: At most 26.
    """
    return tuple(f"({letter}) {text}" for letter, text in zip(LETTERS, texts, strict=False))


def choice_letter(choice: str) -> str:
    """Return the letter of "(B) red", or nothing where there is none."""
    match = _LABELLED.fullmatch(choice)
    return match[1] if match else ""


def choice_text(choice: str) -> str:
    """Return the text of "(B) red" without its letter."""
    match = _LABELLED.fullmatch(choice)
    return match[2] if match else choice


def parse_choice(output: str, choices: Sequence[str]) -> int | None:
    """Return which choice an output names.

    In this order: the whole output is a choice's text, or its letter and text; a letter is stated
    ("the answer is B", the last one counts); the output begins with a letter; the text of one
    choice, three words or more, stands in it; one letter alone does; one short text alone does. A
    letter that is followed by the text of another choice names none, and so does what is denied
    ("not B").

    Args:
        output: The text as it was generated.
        choices: The choices, "(A) red", "(B) blue".

    Returns:
        Index of the choice, or None.
    """
    said = _clean(output)
    texts = [normalize_answer(choice_text(choice)) for choice in choices]
    whole = normalize_answer(said)
    is_letter = len(said) == 1 and said.isupper()  # a choice's text may be a letter, too
    if whole and whole in texts and not is_letter and not _LABEL.match(said):
        return texts.index(whole)
    if not any(re.fullmatch(r"[1-9]", text) for text in texts):
        said = _NUMBERED.sub(lambda hit: f"{hit[1]}{hit[2]}{LETTERS[int(hit[3]) - 1]}", said)
    found = _find_letter(said, whole, texts)
    if found is None:
        return None if _SEVERAL.match(said) else _find_text(whole, texts)
    index, rest = found
    return None if _contradicts(rest, index, texts) else index


def _clean(output: str) -> str:
    """Return what is said, without reasoning, special tokens and markup."""
    text = _DROPPED.sub("", output)
    tagged = [hit[1] or hit[2] or "" for hit in _TAGGED.finditer(text)]
    return _MARKUP.sub("", tagged[-1] if tagged else text).strip()


def _find_letter(said: str, whole: str, texts: Sequence[str]) -> tuple[int, str] | None:
    """Return the index of the letter that an output names, and the text after it."""
    count = len(texts)
    leading = _LEADING.match(said)
    opening = _index_of(leading, count) if leading else None
    after = said[leading.end() :] if leading else ""
    if opening is not None and normalize_answer(after) == texts[opening]:
        return opening, after
    stated = list(_hits(_STATED, said, count))
    if stated:
        return stated[-1]
    if _SEVERAL.match(said) or len(set(_LINE_LABEL.findall(said))) > 1:
        return None
    if opening is not None:
        return opening, after
    told = _find_text(whole, texts)
    if told is not None and len(texts[told].split()) >= _LONG_WORDS:
        return told, ""
    for pattern in _ANYWHERE:
        hits = list(_hits(pattern, said, count))
        if hits:
            return hits[0] if len({index for index, _ in hits}) == 1 else None
    return None


def _hits(pattern: re.Pattern[str], said: str, count: int) -> Iterator[tuple[int, str]]:
    for match in pattern.finditer(said):
        index = _index_of(match, count)
        if index is not None and not _NEGATED.search(said[: match.start()]):
            yield index, said[match.end() :]


def _index_of(match: re.Match[str], count: int) -> int | None:
    letter = next(group for group in match.groups() if group).upper()
    index = LETTERS.index(letter)
    return index if index < count else None


def _contradicts(rest: str, index: int, texts: Sequence[str]) -> bool:
    """Return whether the words after a letter are exactly another choice's."""
    first_line = rest.strip(" ).:-,;").split("\n", 1)[0]
    words = normalize_answer(first_line)
    return words in texts and texts[index] != words


def _find_text(whole: str, texts: Sequence[str]) -> int | None:
    """Return the one choice whose text stands in an output, longer texts before their parts."""
    spans: dict[int, tuple[int, int]] = {}
    for index in sorted(range(len(texts)), key=lambda one: -len(texts[one])):
        if not texts[index] or texts[index] in {texts[one] for one in spans}:
            continue
        for match in re.finditer(rf"(?<!\S){re.escape(texts[index])}(?!\S)", whole):
            inside = any(start <= match.start() < end for start, end in spans.values())
            if not inside:
                spans[index] = match.span()
                break
    if len(spans) != 1:
        return None
    index, (start, _) = next(iter(spans.items()))
    return None if _NEGATED.search(whole[:start]) else index
