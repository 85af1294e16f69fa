"""Drop training runs that overlap with held-out runs and benchmark files.

Three kinds of overlap count: the same request, 13 words in a row in common, nearly the same words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from burnish.errors import ExportError
from burnish.trajectories.normal_form import comparable_words, telling_words
from burnish_exporters.curate.sample import Drop, Sample, SetStep

WORDS = 13
NEAR = 0.8


def drop_contaminated(benchmarks: Iterable[str] = ()) -> SetStep:
    """Drop training samples whose request overlaps with held-out samples or benchmark texts."""
    named = list(benchmarks)

    def drop_overlaps(samples: Iterable[Sample]) -> Iterator[Sample | Drop]:
        known = list(samples)
        index = OverlapIndex([*named, *(s.request for s in known if s.split != "train")])
        for sample in known:
            kind = index.find_overlap(sample.request) if sample.split == "train" else None
            yield Drop(f"contamination: {kind}", sample.trajectory_id) if kind else sample

    return drop_overlaps


class OverlapIndex:
    """An index of held-out texts to compare requests with.

    Args:
        texts: The held-out texts.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._exact: set[tuple[str, ...]] = set()
        self._joined: set[str] = set()
        self._grams: set[tuple[str, ...]] = set()
        self._sets: list[frozenset[str]] = []
        self._by_word: dict[str, list[int]] = {}
        for text in texts:
            self.add_text(text)

    def add_text(self, text: str) -> None:
        """Add one text."""
        self._add_words(comparable_words(text))

    def find_overlap(self, text: str) -> str | None:
        """Return how a text overlaps: "exact", "13-gram", "near duplicate"; None if it does not."""
        words = comparable_words(text)
        if not words:
            return None
        if words in self._exact or "".join(words) in self._joined:
            return "exact"
        if any(gram in self._grams for gram in _word_grams(words)):
            return f"{WORDS}-gram"
        return "near duplicate" if self._is_near(frozenset(telling_words(words))) else None

    def _add_words(self, words: tuple[str, ...]) -> None:
        if not words or words in self._exact:
            return
        self._exact.add(words)
        self._joined.add("".join(words))
        self._grams.update(_word_grams(words))
        found = frozenset(telling_words(words))
        for word in found:
            self._by_word.setdefault(word, []).append(len(self._sets))
        self._sets.append(found)

    def _is_near(self, words: frozenset[str]) -> bool:
        """Report if the share of common words reaches the limit with any text; numbers must all agree.

        A text with another number is another request: order 17 is not order 18.
        """
        if not words:
            return False
        rarest = sorted(words, key=lambda word: len(self._by_word.get(word, ())))
        must = rarest[: len(words) - int(NEAR * len(words)) + 1]
        candidates = {place for word in must for place in self._by_word.get(word, ())}
        for place in candidates:
            other = self._sets[place]
            different = words ^ other
            if any(char.isdigit() for word in different for char in word):
                continue
            if len(words & other) / len(words | other) >= NEAR:
                return True
        return False


def read_benchmark(path: Path) -> list[str]:
    """Read the texts of a benchmark file: lines, or JSON lines with a text, question, prompt, input or messages.

    Raises:
        ExportError: If the file cannot be read.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise ExportError(f"benchmark file {path}: {problem}", "a readable text file") from problem
    return [text for line in lines if line.strip() for text in _texts_of(line)]


def _texts_of(line: str) -> list[str]:
    try:
        value = json.loads(line)
    except ValueError:
        return [line]
    if isinstance(value, str):
        return [value]
    if not isinstance(value, dict):
        return [line]
    found = [
        value[k] for k in ("text", "question", "prompt", "input") if isinstance(value.get(k), str)
    ]
    messages = value.get("messages") or ()
    asked = [m.get("content") for m in messages if isinstance(m, dict) and m.get("role") == "user"]
    return [*found, *(text for text in asked if isinstance(text, str))]


def _word_grams(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for start in range(len(words) - WORDS + 1):
        yield words[start : start + WORDS]
