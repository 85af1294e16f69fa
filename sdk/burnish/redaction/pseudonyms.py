"""Make stable pseudonyms for personal data, of the original's form and in reserved ranges.

`Pseudonyms` derives a pseudonym from a key and an original, and recognises its own pseudonyms.

A pseudonym ends in a check that only the key can compute, so other text of a reserved range is not
mistaken for a pseudonym.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re

from burnish.redaction.check_digits import digits_of, iban_remainder, luhn

_MAIL = re.compile(r"u([0-9a-f]{8})([0-9a-f]{4})@example\.invalid", re.IGNORECASE)
_SECRET = re.compile(r"REDACTED-[A-Z0-9-]{1,40}?-([0-9a-f]{8})([0-9a-f]{4})")
_UNUSED = int(ipaddress.IPv4Address("240.0.0.0"))


class Pseudonyms:
    """Makes and recognises pseudonyms.

    Args:
        key: Secret key; another key gives other pseudonyms.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, kind: str, original: str) -> str:
        """Make the pseudonym of an original."""
        settled = " ".join(original.split()).lower()
        maker = _MAKERS.get(kind, _secret_pseudonym)
        return maker(self, kind, settled)

    def is_mine(self, kind: str, text: str) -> bool:
        """Return whether a text is a pseudonym of this key."""
        if kind == "email":
            return self._checked(_MAIL.fullmatch(text), "email")
        check = _NUMBER_CHECKS.get(kind)
        if check is not None:
            return check(self, text)
        return self._checked(_SECRET.fullmatch(text), "secret")

    def places(self, text: str) -> list[tuple[int, int]]:
        """Find the pseudonyms of this key that begin with a word; their digits carry no data."""
        if "REDACTED-" not in text and "@example.invalid" not in text.lower():
            return []
        mails = [m for m in _MAIL.finditer(text) if self._checked(m, "email")]
        secrets = [m for m in _SECRET.finditer(text) if self._checked(m, "secret")]
        return [match.span() for match in (*mails, *secrets)]

    def hexadecimal(self, purpose: str, text: str, length: int) -> str:
        """Derive hexadecimal digits from key, purpose and text."""
        message = f"{purpose}\x1f{text}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:length]

    def digits(self, purpose: str, text: str, length: int) -> str:
        """Derive decimal digits from key, purpose and text."""
        number = int(self.hexadecimal(purpose, text, 32), 16) % 10**length
        return f"{number:0{length}d}"

    def _checked(self, match: re.Match[str] | None, purpose: str) -> bool:
        if match is None:
            return False
        body, check = match.groups()
        return self.hexadecimal(f"{purpose}-check", body.lower(), 4) == check.lower()


def _email_pseudonym(names: Pseudonyms, kind: str, original: str) -> str:
    body = names.hexadecimal(kind, original.replace("%40", "@"), 8)
    return f"u{body}{names.hexadecimal('email-check', body, 4)}@example.invalid"


def _secret_pseudonym(names: Pseudonyms, kind: str, original: str) -> str:
    body = names.hexadecimal(kind, original, 8)
    check = names.hexadecimal("secret-check", body, 4)
    return f"REDACTED-{kind.upper().replace('_', '-')}-{body}{check}"


def _phone_pseudonym(names: Pseudonyms, kind: str, original: str) -> str:
    """Make an area code and a line of the 555-01xx range; the last digit is a check digit."""
    area = 200 + int(names.digits(kind, digits_of(original), 6)) % 790
    line = names.digits("phone-line", digits_of(original), 1)
    return f"+1-{area}-555-01{line}{names.digits('phone-check', f'{area}{line}', 1)}"


def _is_phone(names: Pseudonyms, text: str) -> bool:
    match = re.fullmatch(r"(?:\+?1-?)?(\d{3})-?555-?01(\d)(\d)", text)
    if match is None:
        return False
    area, line, check = match.groups()
    return names.digits("phone-check", f"{area}{line}", 1) == check


def _card_pseudonym(names: Pseudonyms, kind: str, original: str) -> str:
    """Make a number of the test range 400000 with a correct check digit."""
    body = names.digits(kind, digits_of(original), 6)
    number = "400000" + body + names.digits("card-check", body, 3)
    return next(number + last for last in "0123456789" if luhn(number + last))


def _is_card(names: Pseudonyms, text: str) -> bool:
    number = digits_of(text)
    return (
        len(number) == 16
        and number.startswith("400000")
        and names.digits("card-check", number[6:12], 3) == number[12:15]
    )


def _iban_pseudonym(names: Pseudonyms, kind: str, original: str) -> str:
    """Make a German account at an unassigned bank code, with correct check digits."""
    body = names.digits(kind, original.replace(" ", "").replace("-", ""), 6)
    account = "00000000" + body + names.digits("iban-check", body, 4)
    return f"DE{98 - iban_remainder(f'DE00{account}'):02d}{account}"


def _is_iban(names: Pseudonyms, text: str) -> bool:
    match = re.fullmatch(r"DE\d\d00000000(\d{6})(\d{4})", text)
    return bool(match) and names.digits("iban-check", match[1], 4) == match[2]


def _ssn_pseudonym(names: Pseudonyms, kind: str, original: str) -> str:
    """Make a number of an unassigned area; the last two digits are a check."""
    body = names.digits(kind, digits_of(original), 4)
    number = body + names.digits("ssn-check", body, 2)
    return f"000-{number[:2]}-{number[2:]}"


def _is_ssn(names: Pseudonyms, text: str) -> bool:
    match = re.fullmatch(r"000[- ](\d\d)[- ](\d\d)(\d\d)", text)
    return bool(match) and names.digits("ssn-check", match[1] + match[2], 2) == match[3]


def _ip_pseudonym(names: Pseudonyms, kind: str, original: str) -> str:
    """Make an unassigned address: in 2001:db8::/32 for documentation, or in the unused 240.0.0.0/4.

    The documentation ranges of IPv4 have too few addresses for a check.
    """
    if ":" in original:
        body = names.hexadecimal(kind, original, 8)
        check = names.hexadecimal("ip-check", body, 4)
        return f"2001:db8:{body[:4]}:{body[4:]}::{check}"
    body = names.hexadecimal(kind, original, 4)
    number = int(body + names.hexadecimal("ip-check", body, 3), 16)
    return str(ipaddress.IPv4Address(_UNUSED + number))


def _is_ip(names: Pseudonyms, text: str) -> bool:
    if ":" in text:
        match = re.fullmatch(r"2001:db8:([0-9a-f]{4}):([0-9a-f]{4})::([0-9a-f]{4})", text.lower())
        return bool(match) and names.hexadecimal("ip-check", match[1] + match[2], 4) == match[3]
    try:
        number = int(ipaddress.IPv4Address(text)) - _UNUSED
    except ValueError:
        return False
    digits = f"{number:07x}"
    return number >= 0 and names.hexadecimal("ip-check", digits[:4], 3) == digits[4:]


_MAKERS = {
    "email": _email_pseudonym,
    "phone": _phone_pseudonym,
    "card": _card_pseudonym,
    "iban": _iban_pseudonym,
    "ssn": _ssn_pseudonym,
    "ip": _ip_pseudonym,
}
_NUMBER_CHECKS = {
    "phone": _is_phone,
    "card": _is_card,
    "iban": _is_iban,
    "ssn": _is_ssn,
    "ip": _is_ip,
}
