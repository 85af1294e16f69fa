"""Normalise texts, so that the same request compares equal however it is typed.

`normal_text` removes differences of Unicode composition, width, invisible characters and spacing; `comparable_text`
also those of case, accents and the script of digits. Comparisons of requests, task ids and split groups use it.

Accents are dropped only where a writing system treats them as optional or where keyboards leave them out (Latin, Greek,
Cyrillic accents, Hebrew points, Arabic vowel signs). Vowel signs of Devanagari, Thai and their kin and the sound marks
of Japanese are letters of their own and stay.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote

_ENCODED = re.compile(r"&[#\w]{2,32};|%[0-9A-Fa-f]{2}|\\[nrtux]|</?[A-Za-z][^<>]{0,200}>")
_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})|\\[nrt]")
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>")
COURTESIES = frozenset(
    word
    for words in (
        "please kindly hello hi hey dear assistant thanks thank you advance could would can user question tell me asap lot",
        "bitte hallo guten tag danke vielen dank im voraus kannst konntest du sie mir sag sagen lieber liebe",
        "bonjour merci svp plait beaucoup pourriez vous hola gracias favor por podria ciao grazie perfavore ola obrigado",
    )
    for word in words.split()
)
"""Words of courtesy in their comparable form."""
_WORD = re.compile(r"\w+", re.ASCII)
# Default-ignorable characters whose category is letter or mark.
_IGNORED = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_ACCENTS = (
    (0x0300, 0x036F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F),
    (0x0483, 0x0487), (0x0591, 0x05C7), (0x0610, 0x061A), (0x064B, 0x065F), (0x0670, 0x0670),
    (0x06D6, 0x06ED), (0x0711, 0x0711), (0x0730, 0x074A),
)  # fmt: skip
_SELECTORS = ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))


def normal_text(text: str) -> str:
    """Compose the text (NFKC), drop invisible characters, and collapse spaces; keep case and accents."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _remove_invisible(unicodedata.normalize("NFKC", text)))
    elif not text.isprintable():
        text = _remove_invisible(text)
    return " ".join(text.split())


def comparable_text(text: str) -> str:
    """Fold a text for comparison: `normal_text` without case and optional accents, digits as 0 to 9.

    Entities, percent codes and escapes are decoded, and tags of markup are dropped.
    """
    text = normal_text(_decode_escapes(text) if _ENCODED.search(text) else text)
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    plain = "".join(
        map(_to_ascii_digit, (char for char in apart if not _is_within(char, _ACCENTS)))
    )
    return " ".join(unicodedata.normalize("NFKC", plain).split())


def comparable_words(text: str) -> tuple[str, ...]:
    """Split a request into comparable words, without punctuation and symbols."""
    text = comparable_text(text)
    if not text.isascii():
        text = "".join(char if _is_of_word(char) else " " for char in text)
        return tuple(text.split())
    return tuple(_WORD.findall(text))


def telling_words(words: Iterable[str]) -> tuple[str, ...]:
    """Drop greetings, thanks and other courtesies, which do not change a request."""
    return tuple(word for word in words if word not in COURTESIES)


def _decode_escapes(text: str) -> str:
    text = _ESCAPE.sub(
        lambda match: chr(int(match[1] or match[2], 16)) if match.lastindex else " ", text
    )
    text = unquote(html.unescape(text), errors="replace")
    return _TAG.sub(" ", text)


def _is_of_word(char: str) -> bool:
    return char.isalnum() or char == "_" or unicodedata.category(char)[0] == "M"


def _remove_invisible(text: str) -> str:
    return "".join(char for char in text if char.isspace() or not _is_invisible(char))


def _is_invisible(char: str) -> bool:
    invisible = unicodedata.category(char) in ("Cf", "Cc") or char in _IGNORED
    return invisible or _is_within(char, _SELECTORS)


def _is_within(char: str, ranges: tuple[tuple[int, int], ...]) -> bool:
    code = ord(char)
    return any(first <= code <= last for first, last in ranges)


def _to_ascii_digit(char: str) -> str:
    value = unicodedata.decimal(char, None)
    return char if value is None else str(value)
