"""Texts without personal data and secrets.

Knows: finding and replacing in one text, and walking through plain data.
Does not know: which texts there are, and what else hangs on them (token ids are text in another spelling).
"""

from __future__ import annotations

import json
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from burnish.redaction.detectors import (
    SECRETS,
    STRUCTURED,
    Detector,
    Finding,
    digits_of,
    find,
)
from burnish.redaction.pseudonyms import Pseudonyms

Finder = Callable[[str], Iterable[Finding]]

_TELLING = re.compile(r"(?i)pass|pwd|secret|key|token|phone|tel|mobile|fax")
_SHORTEST = 6
_LEAST_PHONE, _LEAST_CARD = 10**6, 10**12  # the smallest integers that may be one
_KEPT_TEXTS = 65_536


class Redactor:
    """Replaces what the detectors find; each distinct text is looked at once.

    Args:
        key: Key of the stand-ins.
        detectors: What is looked for by pattern.
        finders: What is looked for in other ways, such as by a language model.
    """

    def __init__(
        self,
        key: bytes,
        detectors: Iterable[Detector] = SECRETS + STRUCTURED,
        finders: Iterable[Finder] = (),
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.scanned_bytes = 0
        self._detectors, self._finders = tuple(detectors), tuple(finders)
        self._names = Pseudonyms(key)
        self._known: OrderedDict[str, tuple[str, Counter[str]]] = OrderedDict()

    def clean(self, text: str) -> str:
        """The text with stand-ins."""
        if len(text) < _SHORTEST:
            return text
        cleaned, counts = self._look(text)
        if counts:
            self.counts += counts
        return cleaned

    def clean_value(self, value: Any) -> Any:
        """Plain data with every text cleaned, keys too; the same object where nothing was found."""
        if isinstance(value, str):
            return self.clean_encoded(value)
        if isinstance(value, dict):
            return self._clean_dict(value)
        if isinstance(value, list):
            items = [self.clean_value(item) for item in value]
            return items if any(map(_is_other, items, value)) else value
        if type(value) is int and value >= _LEAST_CARD:
            return self._clean_number("", value)
        return value

    def _clean_number(self, key: str, number: int) -> int:
        """A number that is a card's, or by its key a phone's; the stand-in is a number too."""
        text = f"{key}: {number}" if key else str(number)
        found = [f for f in self._find(text) if f.text == str(number)]
        if not found or found[0].kind not in ("card", "phone"):
            return number
        digits = digits_of(self._names.make(found[0].kind, found[0].text))
        if self._names.is_mine(found[0].kind, found[0].text):
            return number
        self.counts[found[0].kind] += 1
        return int(digits)

    def _clean_dict(self, value: dict[Any, Any]) -> dict[Any, Any]:
        cleaned = {}
        changed = False
        for key, item in value.items():
            kept = key if len(key) < _SHORTEST else self.clean(key)
            entry = cleaned[kept] = self._entry(key, item)
            changed = changed or entry is not item or kept is not key
        return cleaned if changed else value

    def clean_arguments(self, text: str) -> str:
        """A JSON object as text; keys such as "password" tell what their values are."""
        if "\\" not in text and not _TELLING.search(text) and not self._look(text)[1]:
            return text
        try:
            value = json.loads(text)
        except ValueError:
            return self.clean(text)
        cleaned = self.clean_value(value)
        return (
            text
            if cleaned is value or cleaned == value
            else json.dumps(cleaned, ensure_ascii=False)
        )

    def clean_encoded(self, text: str) -> str:
        """Text that may be JSON; its strings are also looked at with their escapes resolved."""
        if "\\" in text and text[:1] in '{["':
            try:
                value = json.loads(text)
            except ValueError:
                return self.clean(text)
            cleaned = self.clean_value(value)
            if cleaned is not value and cleaned != value:
                return json.dumps(cleaned, ensure_ascii=False)
        return self.clean(text)

    def leaks(self, text: str) -> list[Finding]:
        """What is left in a text that is no stand-in of this key."""
        if len(text) < _SHORTEST or not self._look(text)[1]:
            return []
        return [f for f in self._find(text) if not self._names.is_mine(f.kind, f.text)]

    def pseudonym(self, kind: str, original: str) -> str:
        """The stand-in of something that is known to be personal, such as a user's id."""
        return self._names.make(kind, original)

    def _entry(self, key: str, item: Any) -> Any:
        """A value of a dict; a key such as "password" tells what a short text is."""
        if not isinstance(item, str):
            if type(item) is int and item >= _LEAST_PHONE and _is_telling(key):
                return self._clean_number(key, item)
            return self.clean_value(item)
        if len(item) < _SHORTEST:
            return item
        cleaned = self.clean_encoded(item)
        if cleaned == item and _is_telling(key):
            found = [f for f in self._find(f"{key}: {item}") if f.text == item]
            if found and not self._names.is_mine(found[0].kind, item):
                self.counts[found[0].kind] += 1
                return self._names.make(found[0].kind, item)
        return cleaned

    def _find(self, text: str) -> list[Finding]:
        found = find(text, self._detectors)
        kinds = {finding.text: finding.kind for finding in found}
        taken = [(f.start, f.end) for f in found] + self._names.places(text)
        for finder in self._finders:
            for finding in finder(text):
                if not any(finding.start < end and start < finding.end for start, end in taken):
                    taken.append((finding.start, finding.end))
                    kind = kinds.setdefault(finding.text, finding.kind)
                    found.append(Finding(kind, finding.start, finding.end, finding.text))
        return sorted(found, key=lambda finding: finding.start)

    def _look(self, text: str) -> tuple[str, Counter[str]]:
        """The cleaned text and what was replaced; found once for each distinct text."""
        known = self._known.get(text)
        if known is None:
            known = self._known[text] = self._replaced(text)
            if len(self._known) > _KEPT_TEXTS:
                self._known.popitem(last=False)
        return known

    def _replaced(self, text: str) -> tuple[str, Counter[str]]:
        self.scanned_bytes += len(text)
        counts: Counter[str] = Counter()
        parts, end = [], 0
        for finding in self._find(text):
            if self._names.is_mine(finding.kind, finding.text):
                continue
            parts += [text[end : finding.start], self._names.make(finding.kind, finding.text)]
            end = finding.end
            counts[finding.kind] += 1
        return ("".join([*parts, text[end:]]) if counts else text), counts


@lru_cache(maxsize=4096)
def _is_telling(key: str) -> bool:
    """Whether a key says that its value is a secret or a number to call."""
    return _TELLING.search(key) is not None


def _is_other(one: Any, other: Any) -> bool:
    return one is not other
