"""What personal data and secrets look like.

Knows: one pattern and one test per kind. Does not know: what happens to what is found.

A pattern says where something may be, a test (check digits, ranges, reserved values) says whether it is. A hint, a
text that must occur, spares most texts most patterns.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was found: its kind and where it is."""

    kind: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Detector:
    """One kind of thing.

    Attributes:
        kind: Its name.
        pattern: Where it may be; a group named `value` narrows it down.
        accept: Whether what the pattern found is one.
        hints: Texts of which one must occur, in lower case; none if anything may.
        digits: Whether at least seven digits, close together, must occur.
    """

    kind: str
    pattern: re.Pattern[str]
    accept: Callable[[str], bool] = bool
    hints: tuple[str, ...] = ()
    digits: bool = False


_SEVEN_DIGITS = re.compile(r"\d(?:[^\d\n]{0,4}\d){6}")


def find(text: str, detectors: Iterable[Detector]) -> list[Finding]:
    """Everything that the detectors find, in order, without overlaps; earlier detectors go first."""
    lowered = text.lower()
    found: list[Finding] = []
    digits = _SEVEN_DIGITS.search(text) is not None
    for detector in detectors:
        if detector.digits and not digits:
            continue
        if detector.hints and not _occurs(detector.hints, lowered):
            continue
        for finding in _matches(text, detector):
            if not any(finding.start < other.end and other.start < finding.end for other in found):
                found.append(finding)
    return sorted(found, key=lambda finding: finding.start)


def _occurs(hints: tuple[str, ...], text: str) -> bool:
    for hint in hints:  # noqa: SIM110 - a generator costs more than all the searches
        if hint in text:
            return True
    return False


def _matches(text: str, detector: Detector) -> Iterator[Finding]:
    group = "value" if "value" in detector.pattern.groupindex else 0
    for match in detector.pattern.finditer(text):
        value = match.group(group)
        if value and detector.accept(value):
            yield Finding(detector.kind, match.start(group), match.end(group), value)


def digits_of(text: str) -> str:
    """The digits of a text."""
    return "".join(char for char in text if char.isdigit())


def luhn(number: str) -> bool:
    """Whether the last digit is the right check digit of a card number."""
    total = 0
    for place, char in enumerate(reversed(number)):
        digit = int(char) * (1 + place % 2)
        total += digit - 9 if digit > 9 else digit
    return total % 10 == 0


def iban_remainder(text: str) -> int:
    """The number that an IBAN stands for, modulo 97; 1 if it is one."""
    turned = text[4:] + text[:4]
    return int("".join(str(int(char, 36)) for char in turned)) % 97


def _is_card(text: str) -> bool:
    number = digits_of(text)
    return _ISSUED.fullmatch(number) is not None and len(set(number)) > 1 and luhn(number)


def _is_iban(text: str) -> bool:
    return iban_remainder("".join(text.split()).replace("-", "").upper()) == 1


def _is_phone(text: str) -> bool:
    return 7 <= len(digits_of(text)) <= 15


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


def _is_secret_value(text: str) -> bool:
    """Whether a value beside a word like "password" is one, and no placeholder or word of prose."""
    if (
        len(text) < 6
        or text.lower() in _PLACEHOLDERS
        or text.startswith(("${", "<", "{{", "REDACTED-"))
        or _LOOKED_UP.match(text)
    ):
        return False
    bare = text.rstrip(".!?:")
    return len(bare) >= 20 or not bare.replace("-", "").isalpha()


def _is_long_key(text: str) -> bool:
    """Whether a value beside the word "key" is one, and no hash, id or name."""
    kinds = (str.isupper, str.islower, str.isdigit)
    return all(any(map(kind, text)) for kind in kinds) and not _HASH.fullmatch(text)


def _is_login(text: str) -> bool:
    """Whether Base64 says "user:password"."""
    try:
        return ":" in base64.b64decode(text, validate=True).decode()
    except ValueError:
        return False


_ISSUED = re.compile(  # beginnings and lengths of the networks
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|30\d{12}|3[689]\d{12}"
    r"|35\d{14}|6\d{15,18}|5[06-8]\d{11,17}"
)
_LOOKED_UP = re.compile(r"[A-Za-z_]\w*(?:\.\w+)+[\[(]|getenv\(")  # code that reads a value
_HASH = re.compile(r"[0-9a-fA-F-]+")
_PLACEHOLDERS = {
    "******",
    "********",
    "changeme",
    "password",
    "redacted",
    "required",
    "string",
    "[redacted]",
}

_MAIL = r"(?<![A-Za-z0-9._%+'-])[A-Za-z0-9._%+'-]{1,64}(?:@|%40|\s?\[at\]\s?)(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24}"
_PHONE = r"""
    (?<![\w+.])
    (?:
        (?!\+\d+\.\d+(?![\d.]|[\s/-]\d))                                                  # no decimal
        \+[1-9]\d{0,2}[\s./-]?(?:\(0?\d{1,4}\)[\s./-]?)?\d{1,5}(?:[\s./-]?\d{2,5}){1,4}      # international
      | 00[1-9]\d{0,2}[\s/-]\d{1,4}(?:[\s/-]?\d{2,5}){1,4}
      | (?:1[\s.-])?(?:\(\d{3}\)\s?|\d{3}[.-])\d{3}[.-]\d{4}                              # North American
      | \(0\d{1,4}\)\s?\d{2,4}(?:[\s-]?\d{2,4}){1,3}                                      # national, in brackets
    )
    (?![\w-]|\.\d)
"""
_NEAR_PHONE = r"""
    (?:\b(?:phone|tel(?:ephone)?|mobile|cell|call\ (?:me\ )?(?:at|on)|fax|whatsapp)(?:[\s_]?(?:no\.?|number))?
    \.?["']?\s?(?:is|:|=)?\s?["']?)
    (?P<value>\+?\(?\d[\d\s()/.-]{5,18}\d)(?!\w)
"""
_NEAR = ("phone", "tel", "mobile", "cell", "call", "fax", "whatsapp")
_IPV6 = r"(?<![:.\w])(?:[0-9a-fA-F]{1,4}:){2,7}(?::?[0-9a-fA-F]{1,4})(?::[0-9a-fA-F]{1,4})*(?![:.\w])|(?<![:.\w])(?:[0-9a-fA-F]{1,4}:){1,6}:(?:[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{1,4})*)?(?![:.\w])"  # fmt: skip
_WORDS = r"(?:password|passwd|pwd|passphrase|secret|api[_-]?key|apikey|access[_-]?key|auth[_-]?token|access[_-]?token|client[_-]?secret|private[_-]?key|token)"  # fmt: skip
_ASSIGNED = (
    rf"""(?i)\b[\w-]{{0,32}}?{_WORDS}["']?\s*(?:=>|[:=]|\bis\b)\s*["']?(?P<value>[^\s"',;}}\])]+)"""
)


def _of(kind: str, pattern: str, *hints: str, flags: int = 0) -> Detector:
    return Detector(kind, re.compile(pattern, flags), hints=hints)


def _numbers(
    kind: str, pattern: str, accept: Callable[[str], bool] = bool, *hints: str
) -> Detector:
    """A kind that has at least seven digits."""
    flags = re.VERBOSE if pattern.startswith("\n") else 0
    flags |= re.IGNORECASE if hints else 0
    return Detector(kind, re.compile(pattern, flags), accept, hints, digits=True)


SECRETS: tuple[Detector, ...] = (
    _of(
        "private_key",
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z0-9 ]+-----|\Z)",
        "private key",
    ),
    _of("jwt", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", "eyj"),
    _of(
        "aws_key",
        r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA)[A-Z0-9]{16}\b",
        "akia",
        "asia",
        "agpa",
        "aida",
        "aroa",
        "anpa",
    ),
    _of(
        "github_token",
        r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255})\b",
        "gh",
        "github_pat_",
    ),
    _of("gitlab_token", r"\bglpat-[\w-]{20,}", "glpat-"),
    _of(
        "slack_token",
        r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/[\w/]{20,}",
        "xox",
        "hooks.slack",
    ),
    _of("openai_key", r"\bsk-(?:proj-|ant-|svcacct-)?[A-Za-z0-9_-]{20,}", "sk-"),
    _of("stripe_key", r"\b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}", "_live_", "_test_"),
    _of("google_key", r"\bAIza[\w-]{35}", "aiza"),
    _of("huggingface_token", r"\bhf_[A-Za-z0-9]{30,}\b", "hf_"),
    _of("npm_token", r"\bnpm_[A-Za-z0-9]{36}\b", "npm_"),
    _of("sendgrid_key", r"\bSG\.[\w-]{16,}\.[\w-]{16,}", "sg."),
    _of("pypi_token", r"\bpypi-[\w-]{32,}", "pypi-"),
    _of("digitalocean_token", r"\bdo[opr]_v1_[0-9a-f]{64}\b", "_v1_"),
    _of("databricks_token", r"\bdapi[0-9a-f]{32}(?:-\d)?\b", "dapi"),
    _of("telegram_token", r"\b\d{8,10}:AA[\w-]{33}(?![\w-])", ":aa"),
    _of("url_password", r"\b[a-z][a-z0-9+.-]*://[^\s:/@]*:(?P<value>[^\s/@]+)@", "://"),
    _of("bearer", r"(?i)\bbearer\s+(?P<value>[A-Za-z0-9._~+/=-]{16,})", "bearer"),
    Detector(
        "basic",
        re.compile(r"(?i)\bbasic\s+(?P<value>[A-Za-z0-9+/]{8,}={0,2})"),
        _is_login,
        ("basic",),
    ),
    Detector(
        "long_key",
        re.compile(r"""(?i)key["']?\s*[:=]\s*["']?(?P<value>[A-Za-z0-9+/_-]{32,}={0,2})"""),
        _is_long_key,
        ("key",),
    ),
    Detector(
        "password",
        re.compile(_ASSIGNED),
        _is_secret_value,
        ("passw", "pwd", "passphrase", "secret", "key", "token"),
    ),
)
"""Keys and passwords."""

STRUCTURED: tuple[Detector, ...] = (
    _of("email", _MAIL, "@", "%40", "[at]"),
    _numbers(
        "iban", r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?\b", _is_iban
    ),
    _numbers("card", r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-]|\.\d)", _is_card),
    _numbers("ssn", r"(?<![\w-])(?!000|666|9\d\d)\d{3}[- ](?!00)\d\d[- ](?!0000)\d{4}(?![\w-])"),
    Detector(
        "ip", re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)"), _is_address, (".",)
    ),
    Detector("ip", re.compile(_IPV6), _is_address, (":",)),
    _numbers("phone", _PHONE, _is_phone),
    _numbers("phone", _NEAR_PHONE, _is_phone, *_NEAR),
)
"""Personal data that has a form."""
