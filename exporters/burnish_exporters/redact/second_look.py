"""A second, independent look at finished rows, which sees what the first detectors miss.

It shares no rule with `burnish.redaction`: where detect-secrets is installed, its plugins look;
in any case, words that speak of secrets with a value of high entropy near them, and texts of the
form of an address, are looked for. What the second look finds in a run keeps the run out of the
set, with a counted reason.
"""

from __future__ import annotations

import functools
import importlib.metadata
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from burnish.redaction.memo import Memo

_WORD = re.compile(
    r"passw|passphrase|secret|credential|api.?key|access.?key|authoriz|private.?key|token"
)
_VALUE = re.compile(r"[^\s\"'`,;:=<>()\[\]{}|&?]{12,200}")
_NEAR = 48  # so far behind a word its value may begin
_LEAST_ENTROPY = 3.3  # bits a character
_MAIL = re.compile(r"[^\s@\"'<>()\[\],;:/=]{1,64}@[A-Za-z0-9.-]{1,190}\.[A-Za-z]{2,24}")
_CANDIDATE = re.compile(r"[A-Za-z0-9_+/=.~-]{16}|://")
_LINE = 1_000  # characters that a plugin reads at once; some of its patterns are quadratic
_PLUGINS = (
    "AWSKeyDetector", "ArtifactoryDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "CloudantDetector",
    "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "IbmCloudIamDetector",
    "IbmCosHmacDetector", "JwtTokenDetector", "MailchimpDetector", "NpmDetector", "OpenAIDetector",
    "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector", "SoftlayerDetector",
    "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip

StandIns = Callable[[str], list[tuple[int, int]]]


class SecondLook:
    """Looks for secrets and addresses that are no stand-ins.

    Args:
        stand_ins: Tells where the stand-ins of a text are.
    """

    def __init__(self, stand_ins: StandIns) -> None:
        self._stand_ins = stand_ins
        self._plugins = _plugins()
        self._clean = Memo(1 << 20)

    def find(self, text: str) -> Counter[str]:
        """What is found in a text, by kind."""
        if len(text) < _LINE // 100:
            return Counter()
        digest = self._clean.digest(text)
        if self._clean.get(digest) is not None:
            return Counter()
        taken = self._stand_ins(text)
        found = Counter(
            kind
            for kind, start, end in (*_addresses(text), *_near_words(text), *self._secrets(text))
            if not any(start < behind and begin < end for begin, behind in taken)
        )
        if not found:
            self._clean.put(digest, ())
        return found

    def _secrets(self, text: str) -> Iterator[tuple[str, int, int]]:
        """What the plugins of detect-secrets find, line by line."""
        for start, line in _lines(text) if self._plugins else ():
            for plugin in self._plugins:
                for value in plugin.analyze_string(line):
                    place = line.find(str(value))
                    if place >= 0:
                        begin = start + place
                        yield plugin.secret_type, begin, begin + len(str(value))


def second_look_name() -> str:
    """The detectors that look a second time, for the manifest."""
    own = "keywords with entropy"
    if not _plugins():
        return own
    return f"detect-secrets {importlib.metadata.version('detect-secrets')}, {own}"


@functools.cache
def _plugins() -> list[Any]:
    """The plugins of detect-secrets that know a form; none where it is not installed."""
    try:
        from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    except ImportError:
        return []
    classes = get_mapping_from_secret_type_to_class().values()
    return [kind() for kind in classes if kind.__name__ in _PLUGINS]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that may hold a secret, each with its place; long ones in pieces that overlap."""
    start = 0
    for line in text.splitlines(keepends=True):
        for first in range(0, len(line), _LINE // 2):
            piece = line[first : first + _LINE]
            if _CANDIDATE.search(piece):
                yield start + first, piece.rstrip("\r\n")
            if first + _LINE >= len(line):
                break
        start += len(line)


def _near_words(text: str) -> Iterator[tuple[str, int, int]]:
    """Values of high entropy shortly behind a word that speaks of a secret."""
    for word in _WORD.finditer(text.lower()):
        for value in _VALUE.finditer(text, word.end(), word.end() + _NEAR + 200):
            if value.start() > word.end() + _NEAR:
                break
            if _is_drawn(value.group()):
                yield "high entropy beside a telling word", *value.span()


def _is_drawn(value: str) -> bool:
    """Whether a value has the mixture and entropy of one that was generated."""
    kinds = (str.isupper, str.islower, str.isdigit)
    if not all(any(map(kind, value)) for kind in kinds) or value.count(".") + value.count("/") > 2:
        return False
    if value.count("_") + value.count("-") > 2:
        return False
    counts = Counter(value)
    entropy = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    return entropy >= _LEAST_ENTROPY


def _addresses(text: str) -> Iterator[tuple[str, int, int]]:
    if "@" in text:
        for match in _MAIL.finditer(text):
            yield "address", *match.span()
