"""Replace personal data and secrets in texts and plain data.

`Redactor` replaces the findings of its detectors. In plain data it also uses the structure: under
a key that names a secret, every scalar is replaced.
"""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from burnish.redaction.check_digits import digits_of
from burnish.redaction.detectors import SECRETS, STRUCTURED, Detection, Detector, find
from burnish.redaction.memo import Memo, Replacement
from burnish.redaction.pseudonyms import Pseudonyms
from burnish.redaction.secret_detection.assignments import has_telling_stem, is_placeholder
from burnish.redaction.structure import StructureCleaner

Finder = Callable[[str], Iterable[Detection]]

_SHORTEST = 6
_MOST_CHARACTERS = 32 << 20
_LABELLED = re.compile(
    r"(?i)phone|tel|mobil|fax|handy|whatsapp|ssn|social.?security|pesel|bsn|nif|nie|dni|cpf|aadha|passport|licen[cs]e"
    r"|national.?id|tax.?id|nhs|nino|personnummer|iban|card|电话|手机"
)
_LEAST_PHONE, _LEAST_CARD = 10**6, 10**12  # the smallest integers that may be a card number
_SCHEME = re.compile(r"(?i)(?:bearer|basic|token|apikey|negotiate|digest|jwt|key)[ \t]+(?=\S)")
_LONGEST_KEY, _LONGEST_WORD = 64, 15


@functools.lru_cache(maxsize=4096)
def _is_labelled(key: str) -> bool:
    """Return whether a key names a number of a person, a phone or a card."""
    return _LABELLED.search(key) is not None


def _is_word(text: str) -> bool:
    """Return whether a text is one short word of letters, which no detector matches."""
    return len(text) < _LONGEST_WORD and text.replace("_", "a").isalpha()


class Redactor:
    """Replaces the findings of the detectors; each distinct text is searched once.

    Args:
        key: Key of the pseudonyms.
        detectors: Detectors of fixed forms.
        finders: Other ways to find personal data, such as a language model.
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
        self._secrets = any(detector in self._detectors for detector in SECRETS)
        self._names = Pseudonyms(key)
        self._memo = Memo()
        self._structure = StructureCleaner(self, by_key=self._secrets)

    def clean(self, text: str) -> str:
        """Return the text with pseudonyms."""
        if len(text) < _SHORTEST or _is_word(text):
            return text
        if len(text) > _MOST_CHARACTERS:
            self.counts["oversized"] += 1
            return f"[withheld: {len(text)} characters, more than redaction reads]"
        replacements = self._look(text)
        if not replacements:
            return text
        parts, end = [], 0
        for replacement in replacements:
            parts += [text[end : replacement.start], replacement.stand_in]
            end = replacement.end
            self.counts[replacement.kind] += 1
        return "".join([*parts, text[end:]])

    def clean_value(self, value: Any) -> Any:
        """Clean every text of plain data, keys too; return the same object if nothing was found."""
        return self._structure.clean(value)

    def clean_number(self, key: str, number: int) -> int:
        """Replace a number of a card, or of a phone named by its key, by another number."""
        if number < _LEAST_PHONE or (
            number < _LEAST_CARD and not _is_labelled(key[-_LONGEST_KEY:])
        ):
            return number
        text = f"{key}: {number}" if key else str(number)
        found = [f for f in self._find(text) if f.text == str(number)]
        if not found or found[0].kind not in ("card", "phone"):
            return number
        digits = digits_of(self._names.make(found[0].kind, found[0].text))
        if self._names.is_mine(found[0].kind, found[0].text):
            return number
        self.counts[found[0].kind] += 1
        return int(digits)

    def clean_labelled(self, key: str, text: str) -> str:
        """Clean a short text whose key names its content, such as an unformatted phone number."""
        if _is_word(text):
            return text
        cleaned = self.clean_encoded(text)
        if cleaned == text and 5 <= len(text) <= 40 and _is_labelled(key[-_LONGEST_KEY:]):
            found = [f for f in self._find(f"{key}: {text}") if f.text == text]
            if found and not self._names.is_mine(found[0].kind, text):
                self.counts[found[0].kind] += 1
                return self._names.make(found[0].kind, text)
        return cleaned

    def clean_arguments(self, text: str) -> str:
        """Clean a JSON object given as text; keys such as "password" identify their values."""
        return self.clean_encoded(text)

    def clean_encoded(self, text: str) -> str:
        """Clean a text that may be JSON; its strings are also searched with their escapes resolved."""
        if text.lstrip()[:1] in ("{", "[", '"') and len(text) <= _MOST_CHARACTERS:
            cleaned = self._clean_json(text)
            if cleaned is not None:
                return cleaned
        return self.clean(text)

    def withhold(self, text: str) -> str:
        """Return the pseudonym of a text that its key marks as a secret."""
        if is_placeholder(text) or not text.strip():
            return self.clean_encoded(text)
        scheme = _SCHEME.match(text)
        head = scheme.group() if scheme else ""
        body = text[len(head) :]
        if self.is_stand_in(body):
            return text
        found = self._find(body) if len(body) >= _SHORTEST else []
        whole = [f for f in found if len(f.text) == len(body)]
        kind = whole[0].kind if whole else "password"
        self.counts[kind] += 1
        return head + self._names.make(kind, body)

    def is_stand_in(self, text: str) -> bool:
        """Return whether a text is exactly one pseudonym of this key."""
        if any(place == (0, len(text)) for place in self._names.places(text)):
            return True
        found = self._find(text) if len(text) < 64 else []
        return (
            len(found) == 1 and found[0].text == text and self._names.is_mine(found[0].kind, text)
        )

    def leaks(self, text: str) -> list[Detection]:
        """Find what is left in a text that is not a pseudonym of this key."""
        if len(text) < _SHORTEST or not self._look(text):
            return []
        return [f for f in self._find(text) if not self._names.is_mine(f.kind, f.text)]

    def pseudonym(self, kind: str, original: str) -> str:
        """Return the pseudonym of a known personal value, such as a user's id."""
        return self._names.make(kind, original)

    def stand_ins(self, text: str) -> list[tuple[int, int]]:
        """Find the pseudonyms of this key in a text."""
        places = [(f.start, f.end) for f in self._find(text) if self._names.is_mine(f.kind, f.text)]
        return sorted({*places, *self._names.places(text)})

    def _clean_json(self, text: str) -> str | None:
        """Clean JSON text by its structure; None if it is not JSON or its structure shows nothing."""
        if "\\" not in text and not (self._secrets and has_telling_stem(text.lower())):
            return None
        digest = self._memo.digest(text, b"json")
        if self._memo.get(digest) is not None:
            return None
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        cleaned = self.clean_value(value)
        if cleaned is value or cleaned == value:
            self._memo.put(digest, ())
            return None
        return json.dumps(cleaned, ensure_ascii=False)

    def _find(self, text: str) -> list[Detection]:
        found = find(text, self._detectors)
        names = self._names.places(text)
        if not self._finders and not names:
            return found
        taken = bytearray(len(text))
        for start, end in names:
            taken[start:end] = b"\1" * (end - start)
        kept = [f for f in found if taken.find(1, f.start, f.end) < 0 or self._is_mine(f)]
        for finding in kept:
            taken[finding.start : finding.end] = b"\1" * (finding.end - finding.start)
        kinds = {finding.text: finding.kind for finding in kept}
        for finding in (further for finder in self._finders for further in finder(text)):
            if taken.find(1, finding.start, finding.end) < 0:
                taken[finding.start : finding.end] = b"\1" * (finding.end - finding.start)
                kind = kinds.setdefault(finding.text, finding.kind)
                kept.append(Detection(kind, finding.start, finding.end, finding.text))
        return sorted(kept, key=lambda finding: finding.start)

    def _is_mine(self, finding: Detection) -> bool:
        return self._names.is_mine(finding.kind, finding.text)

    def _look(self, text: str) -> tuple[Replacement, ...]:
        """Find the replacements in a text, once for each distinct text."""
        digest = self._memo.digest(text)
        known = self._memo.get(digest)
        if known is None:
            known = self._replacements(text)
            self._memo.put(digest, known)
        return known

    def _replacements(self, text: str) -> tuple[Replacement, ...]:
        self.scanned_bytes += len(text)
        return tuple(
            Replacement(f.kind, f.start, f.end, self._names.make(f.kind, f.text))
            for f in self._find(text)
            if not self._names.is_mine(f.kind, f.text)
        )
