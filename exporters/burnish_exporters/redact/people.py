"""Find dates of birth and postal addresses by the words beside them, because they have no form of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator

from burnish.redaction.detectors import Detection

_DATE = (
    r"(?:\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|\d{1,2}(?:st|nd|rd|th|\.)?(?: de)? [^\W\d_]{3,12}\.?(?: de)?,? \d{4}"
    r"|[^\W\d_]{3,12}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4}|\d{4}年\d{1,2}月\d{1,2}日)"
)
_BORN = re.compile(
    r"(?i)(?<![^\W_])(?:date[ _]of[ _]birth|birth[ _]?(?:date|day)|dob|d\.o\.b\.|born(?: on)?|geburtsdatum|geboren(?: am| op)?"
    r"|geb\.|n[ée]e? le|date de naissance|fecha de nacimiento|nacid[oa] el|data di nascita|nat[oa] il|data de nascimento"
    r"|nascid[oa] em|geboortedatum|data urodzenia|urodzon[ya]|födelsedatum|fødselsdato|дата рождения|родил(?:ся|ась)"
    r"|生年月日|出生日期|생년월일|doğum tarihi|تاريخ الميلاد)"
    rf"[\"']?[ \t]?(?:is|was|:|\uff1a|=|-|am|on)?[ \t]{{0,2}}[\"']?(?P<value>{_DATE})"
)
_NAME = r"[^\W\d_a-z][\w'\u2019.-]{0,24}"
_ADDRESS = re.compile(
    rf"(?<![\w.-])\d{{1,5}}[A-Za-z]?(?: {_NAME}){{1,4}} (?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Court|Ct"
    r"|Terrace|Crescent|Close|Highway|Hwy|Parkway|Pkwy|Way|Square|Sq)\b\.?"
    r"|(?<![\w-])[^\W\d_a-z][\w-]{0,30}(?:straße|strasse|str\.|gasse|weg|platz|allee|ufer|straat|laan|gracht|gatan|vägen|katu) \d{1,4} ?[a-z]?\b"
    rf"|(?<![\w.-])\d{{1,4}}(?: ?(?:bis|ter))?,? (?:rue|avenue|boulevard|place|chemin|impasse|allée|quai)(?: (?:de|du|des|la|le|l'|{_NAME})){{1,5}}"
    rf"|\b(?:Via|Viale|Piazza|Corso|Calle|Avenida|Paseo|Plaza|Rua|Praça|Travessa|ul\.|ulica|ул\.|улица)(?: (?:de|del|della|di|la|las|los|da|do|das|dos|{_NAME})){{1,4}},? (?:n[.º°]? ?)?\d{{1,4}}\b"
)


def find_people(text: str) -> Iterator[Detection]:
    """Yield dates marked as a date of birth, and streets with a house number."""
    for match in _BORN.finditer(text):
        yield Detection("date_of_birth", *match.span("value"), match["value"])
    for match in _ADDRESS.finditer(text):
        yield Detection("address", match.start(), match.end(), match.group())
