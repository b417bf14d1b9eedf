"""WUPS: how near an answer comes to the right one, word by word, over WordNet.

Source:
    Malinowski and Fritz, A multi-world approach to question answering, 2014, equation 6, as
    NExT-OE computes it (doc-doc/NExT-OE, metrics.py): words are reduced to base forms, stop words
    left out, a similarity below the level counts a tenth. Base forms come from WordNet's own
    rules, the noun's before the verb's; NExT-OE takes a tagger's word for which it is.
"""

from collections.abc import Sequence
from functools import lru_cache

from videollm.eval.wordnet import load_wordnet
from videollm.scoring import normalize_answer

__all__ = ["content_words", "wups"]

# fmt: off
_STOP_WORDS = frozenset((
    "a", "an", "the", "and", "or", "but", "of", "to", "in", "on", "at", "by", "for", "from",
    "with", "as", "into", "onto", "is", "am", "are", "was", "were", "be", "been", "being",
    "do", "does", "did", "has", "have", "had", "it", "its", "he", "she", "they", "them",
    "his", "her", "their", "him", "this", "that", "these", "those", "there", "then", "than",
    "so", "very", "just",
))
# fmt: on


def wups(output: str, truth: str, level: float) -> float:
    """Return the similarity of two short answers, from 0 to 1.

    Args:
        output: What was said.
        truth: What is right.
        level: Similarities of words below it count a tenth, from 0 to 1.

    Raises:
        DataError: WordNet is not installed.
    """
    said, right = content_words(output), content_words(truth)
    return min(_cover(said, right, level), _cover(right, said, level))


def content_words(text: str) -> list[str]:
    """Return the base forms of an answer's words, stop words left out."""
    wordnet = load_wordnet()
    words = normalize_answer(text).split()
    bases = [wordnet.base_form(word, "n") or wordnet.base_form(word, "v") or word for word in words]
    return [base for word, base in zip(words, bases, strict=True) if word not in _STOP_WORDS]


def _cover(words: Sequence[str], others: Sequence[str], level: float) -> float:
    """Return the product over words of how near the nearest other word is."""
    product, any_near = 1.0, False
    for word in words:
        nearest = max((_similarity(word, other, level) for other in others), default=0.0)
        if nearest > 0:
            product *= nearest
            any_near = True
    return product if any_near else 0.0


@lru_cache(maxsize=65536)
def _similarity(one: str, other: str, level: float) -> float:
    if one == other:
        return 1.0
    wordnet = load_wordnet()
    senses = wordnet.first_sense(one), wordnet.first_sense(other)
    if senses[0] is None or senses[1] is None:
        return 0.0
    similarity = wordnet.wu_palmer(senses[0], senses[1])
    return similarity if similarity >= level else 0.1 * similarity
