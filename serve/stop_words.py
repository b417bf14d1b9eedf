"""Stop words: the answer ends before the first of them, wherever the pieces are cut."""

from collections.abc import Sequence

__all__ = ["StopWords"]


class StopWords:
    """Hold back what may be the beginning of a stop word, and cut at the first that is whole.

    Args:
        words: The stop words, none of them empty.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.found = False
        self._words = words
        self._held = ""

    def add(self, text: str) -> str:
        """Return what of the text so far can be shown and was not yet.

        Args:
            text: The next piece.
        """
        if self.found:
            return ""
        text = self._held + text
        places = [place for word in self._words if (place := text.find(word)) >= 0]
        if places:
            self.found, self._held = True, ""
            return text[: min(places)]
        kept = max((_overlap(text, word) for word in self._words), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def rest(self) -> str:
        """Return what is still held back; the text has come to its end."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, word: str) -> int:
    """Return the longest end of a text that is a beginning of a word."""
    longest = min(len(text), len(word) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(word[:size])), 0)
