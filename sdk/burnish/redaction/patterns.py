"""Compile patterns that Python's `re` finds fast.

`re` jumps to the next possible first character of a pattern only if the pattern begins with characters. A pattern that
begins with a lookbehind is tried at every place, and an alternation of many words is tried word by word. So words are
joined by their common beginnings (`join_words`), and a pattern behind a lookbehind is tried only at its first character
(`GuardedPattern`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_Tree = dict[str, "_Tree"]


def join_words(words: Iterable[str]) -> str:
    """Return a pattern for any of some words; of several that begin at one place it takes the longest."""
    tree: _Tree = {}
    for word in words:
        node = tree
        for char in word:
            node = node.setdefault(char, {})
        node[""] = {}
    return _pattern_of(tree)


def _pattern_of(tree: _Tree) -> str:
    branches = [re.escape(char) + _pattern_of(node) for char, node in tree.items() if char]
    if not branches:
        return ""
    joined = branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"
    return f"(?:{joined})?" if "" in tree else joined


class GuardedPattern:
    """A pattern that is tried only where its first character fits.

    Args:
        first: Matches one character, with what may stand before it. Every match of `pattern` must begin with such a
            character: others are not found.
        pattern: The pattern. Both ignore case or neither does, and both are limited to ASCII or neither is; otherwise
            `first` misses characters with which `pattern` begins.
    """

    def __init__(self, first: re.Pattern[str], pattern: re.Pattern[str]) -> None:
        self._first, self._pattern = first, pattern

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """Yield the matches in order, without overlaps, as `re.Pattern.finditer` does."""
        place = 0
        while (first := self._first.search(text, place)) is not None:
            match = self._pattern.match(text, first.start())
            if match is not None:
                yield match
            place = first.end() if match is None else max(match.end(), first.end())

    def occurs_in(self, text: str) -> bool:
        """Return whether the pattern matches anywhere."""
        return next(self.finditer(text), None) is not None
