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
        words: Words in lower case, of which a text must hold one to be read; none if any text is read.
    """

    name: str
    find: Callable[[View], Iterator[Token]]
    number: bool = False
    words: frozenset[str] = frozenset()


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
    has_number, has_word = view.has_number, _ANY_WORD.search(view.lowered) is not None
    tokens: list[Token] = []
    taken: bytearray | None = None
    for detector in detectors:
        if (detector.number and not has_number) or (detector.words and not has_word):
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
    Detector("shape", secret_shapes.find_shapes, words=secret_shapes.WORDS),
    Detector("assignment", find_assigned, words=STEMS),
    Detector("column", find_columns, words=STEMS),
    Detector("provider_key", secret_shapes.find_vendor_keys, words=secret_shapes.VENDORS),
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
    Detector("labelled_number", personal.find_labelled_numbers, words=personal.LABEL_HINTS),
    Detector("phone", personal.find_phones, number=True),
)
"""Personal data that has a form."""

# One search for all words together costs a third of one for each detector, and most texts hold none.
_ANY_WORD = re.compile(join_words(sorted(set().union(*(d.words for d in SECRETS + STRUCTURED)))))
