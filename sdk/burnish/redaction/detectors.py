"""List the detectors of secrets and of personal data.

A detector reads a `View` of a text and yields kinds and places. `find` runs several detectors and
resolves overlaps: the earlier detector wins. Long texts are read in overlapping windows, so that
memory stays bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from burnish.redaction import personal
from burnish.redaction.patterns import join_words
from burnish.redaction.secret_detection import secret_shapes
from burnish.redaction.secret_detection.assignments import STEMS, find_assigned
from burnish.redaction.secret_detection.tables import find_columns
from burnish.redaction.secret_detection.tokens import Token, find_tokens
from burnish.redaction.views import View

_WINDOW = 1 << 20
_BACK, _AHEAD = 512, 1 << 16  # characters around a window that are read with it


@dataclass(frozen=True, slots=True)
class Detection:
    """A finding of a detector.

    Attributes:
        kind: Its kind.
        start: Its first offset in the text.
        end: The offset after its end.
        text: Its text, with compatible characters folded.
    """

    kind: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Detector:
    """A detector of secrets or personal data.

    Attributes:
        name: Its name.
        find: Yields kind and place of each finding in a view.
        number: Whether it reads only texts with seven digits close together.
    """

    name: str
    find: Callable[[View], Iterator[Token]]
    number: bool = False


def find(text: str, detectors: Iterable[Detector]) -> list[Detection]:
    """Find everything that the detectors find, in order, without overlaps; earlier detectors win."""
    if len(text) <= _WINDOW + _AHEAD:
        return _find_in(text, tuple(detectors))
    chosen, found, end = tuple(detectors), [], 0
    for start in range(0, len(text), _WINDOW):
        first = max(0, start - _BACK)
        for finding in _find_in(text[first : start + _WINDOW + _AHEAD], chosen):
            begin, behind = finding.start + first, finding.end + first
            if end <= begin and start <= begin < start + _WINDOW:
                found.append(Detection(finding.kind, begin, behind, finding.text))
                end = behind
    return found


def _find_in(text: str, detectors: tuple[Detector, ...]) -> list[Detection]:
    view = View(text)
    has_number = has_word = None  # not known yet
    tokens: list[Token] = []
    taken: bytearray | None = None
    for detector in detectors:
        if detector.number:
            has_number = view.has_number if has_number is None else has_number
            if not has_number:
                continue
        elif detector.find in _WORDS:
            if has_word is None:
                has_word = _ANY_WORD.search(view.lowered) is not None
            if not has_word:
                continue
        for token in detector.find(view):
            if taken is None:
                taken = bytearray(len(view.text))
            if taken.find(1, token.start, token.end) < 0:
                taken[token.start : token.end] = b"\1" * (token.end - token.start)
                tokens.append(token)
    tokens.sort(key=lambda token: token.start)
    return [
        Detection(
            token.kind,
            view.place(token.start),
            view.place(token.end - 1) + 1,
            view.text[token.start : token.end],
        )
        for token in tokens
    ]


SECRETS: tuple[Detector, ...] = (
    Detector("private_key", secret_shapes.find_private_keys),
    Detector("token", find_tokens),
    Detector("shape", secret_shapes.find_shapes),
    Detector("assignment", find_assigned),
    Detector("column", find_columns),
    Detector("provider_key", secret_shapes.find_vendor_keys),
)
"""Keys, tokens and passwords."""

STRUCTURED: tuple[Detector, ...] = (
    Detector("email", personal.find_mails),
    Detector("iban", personal.find_ibans, number=True),
    Detector("card", personal.find_cards, number=True),
    Detector("ssn", personal.find_ssns, number=True),
    Detector("national_id", personal.find_national_numbers, number=True),
    Detector("short_number", personal.find_short_numbers),
    Detector("ip", personal.find_ips),
    Detector("labelled_number", personal.find_labelled_numbers),
    Detector("phone", personal.find_phones, number=True),
)
"""Personal data that has a form."""

_WORDS: dict[Callable[[View], Iterator[Token]], frozenset[str]] = {
    secret_shapes.find_shapes: secret_shapes.WORDS,
    find_assigned: STEMS,
    find_columns: STEMS,
    secret_shapes.find_vendor_keys: secret_shapes.VENDORS,
    personal.find_labelled_numbers: personal.LABEL_HINTS,
}
"""Words in lower case; a text in which the function finds something holds one of them."""
# One search for the words of all functions costs a third of one for each, and most texts hold none.
_ANY_WORD = re.compile(join_words(sorted(frozenset().union(*_WORDS.values()))))
