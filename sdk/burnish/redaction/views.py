"""Prepare a text for the detectors: compatible characters folded, escapes blanked.

A detector searches ASCII letters, digits and separators. Full-width digits, no-break spaces and
hyphens, and zero-width characters are folded first (`text`); backslash escapes, terminal colours,
percent codes and HTML entities are blanked (`plain`), so that a token behind one of them
begins at a boundary. Every place in a view maps back to a place in the original.
"""

from __future__ import annotations

import re
import unicodedata

_IGNORED = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]+")
_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_DASHES = "\u2010-\u2015\u2212\ufe58\ufe63"
_DIGITS = "".join(  # first digits of other scripts, each followed by nine more
    f"{chr(zero)}-{chr(zero + 9)}"
    for zero in (
        0x7C0,
        0x9E6,
        0xA66,
        0xAE6,
        0xB66,
        0xBE6,
        0xC66,
        0xCE6,
        0xD66,
        0xE50,
        0xED0,
        0xF20,
        0x1040,
        0x17E0,
        0x1810,
    )
)
_COMPATIBLE = re.compile(
    f"[{_SPACES}{_DASHES}\u0660-\u0669\u06f0-\u06f9\u0966-\u096f{_DIGITS}\u2460-\u2473\u24b6-\u24e9\uff01-\uff5e\U0001d400-\U0001d7ff]"
)
_ESCAPE = re.compile(  # begins with a character, which `re` finds faster than an alternation
    r"[\x1b\\%&](?:"
    r"(?P<colour>(?:(?<=\x1b)|(?<=\\)(?:x1[bB]|u001[bB]|e|033))\[[0-9;?]{0,16}[A-Za-z])"
    r"|(?<=\\)(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[0-7]{3}|[nrtbfv0ae/\\]|(?P<quote>[\"'`]))"
    r"|(?<=%)(?P<code>[0-9A-Fa-f]{2})|(?<=&)(?P<entity>quot|apos|amp|lt|gt|#39|#34|#x27|#x22);)"
)
_ENTITIES = {"quot": '"', "apos": "'", "amp": "&", "lt": "<", "gt": ">",
             "#39": "'", "#34": '"', "#x27": "'", "#x22": '"'}  # fmt: skip
_KEPT_CODES = frozenset("\"'=:&;,<>{}[]")
_FOUR_DIGITS = re.compile(r"[0-9](?:[^0-9\n]{0,3}[0-9]){3}")
_SEVEN_DIGITS = re.compile(r"[0-9](?:[^0-9\n]{0,4}[0-9]){6}")
_LONG_RUN = re.compile(r"[A-Za-z0-9_.~$!:|/+=-]{15}")


class View:
    """A text with its folded and blanked forms, each computed on first use.

    Attributes:
        text: The text with compatible characters folded and ignorable ones removed.
    """

    __slots__ = ("_few", "_long_run", "_lowered", "_number", "_offsets", "_plain", "text")

    def __init__(self, original: str) -> None:
        self._offsets: list[int] | None = None
        self._plain: str | None = None
        self._lowered: str | None = None
        self._number: bool | None = None
        self._few: bool | None = None
        self._long_run: bool | None = None
        self.text = original if original.isascii() else self._fold(original)

    def place(self, offset: int) -> int:
        """Map an offset in the view to the original."""
        return offset if self._offsets is None else self._offsets[offset]

    @property
    def plain(self) -> str:
        """Return the folded text with escapes blanked; offsets stay."""
        if self._plain is None:
            text = self.text
            escaped = "\\" in text or "\x1b" in text or "%" in text or "&" in text
            self._plain = _ESCAPE.sub(_blank_escape, text) if escaped else text
        return self._plain

    @property
    def lowered(self) -> str:
        """Return the blanked text in lower case; offsets stay."""
        if self._lowered is None:
            lowered = self.plain.lower()
            if len(lowered) != len(self.plain):
                chars = ((char.lower(), char) for char in self.plain)
                lowered = "".join(low if len(low) == 1 else char for low, char in chars)
            self._lowered = lowered
        return self._lowered

    @property
    def has_few_digits(self) -> bool:
        """Return whether four digits are close together."""
        if self._few is None:
            self._few = _FOUR_DIGITS.search(self.text) is not None
        return self._few

    @property
    def has_number(self) -> bool:
        """Return whether seven digits are close together."""
        if self._number is None:
            self._number = self.has_few_digits and _SEVEN_DIGITS.search(self.text) is not None
        return self._number

    @property
    def has_long_run(self) -> bool:
        """Return whether 15 characters of a token follow each other."""
        if self._long_run is None:
            longest = max(map(len, self.plain.split()), default=0)
            self._long_run = longest >= 15 and _LONG_RUN.search(self.plain) is not None
        return self._long_run

    def _fold(self, original: str) -> str:
        folded = original
        if _IGNORED.search(folded):
            self._offsets = []
            end = 0
            for match in _IGNORED.finditer(original):
                self._offsets.extend(range(end, match.start()))
                end = match.end()
            self._offsets.extend(range(end, len(original) + 1))
            folded = _IGNORED.sub("", original)
        return _COMPATIBLE.sub(_compatible_character, folded)


def _compatible_character(match: re.Match[str]) -> str:
    """Return the ASCII character of a compatible one; always one character."""
    char = match.group()
    category = unicodedata.category(char)
    if category == "Zs":
        return " "
    if category == "Pd" or char == "\u2212":
        return "-"
    if category == "Nd":
        return str(unicodedata.digit(char))
    plain = unicodedata.normalize("NFKC", char)
    return plain if len(plain) == 1 else char


def _blank_escape(match: re.Match[str]) -> str:
    """Replace an escape with spaces; a quote or separator that it encodes comes last."""
    kept = match["quote"]
    if match["code"]:
        char = chr(int(match["code"], 16))
        if char not in _KEPT_CODES:
            return match.group() if char > " " else "   "
        kept = char
    elif match["entity"]:
        kept = _ENTITIES[match["entity"]]
    return (kept or " ").rjust(len(match.group()))
