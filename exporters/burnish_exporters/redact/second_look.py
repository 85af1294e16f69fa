"""Check finished rows a second time with independent detectors, which find what the first ones miss.

The check shares no rule with `burnish.redaction`. It runs the plugins of detect-secrets if that is
installed, and it always looks for values of high entropy near words about secrets and for texts in
the form of an address. A run with a finding is kept out of the set, with a counted reason.
"""

from __future__ import annotations

import functools
import importlib.metadata
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from burnish.redaction.memo import Memo

_WORD = re.compile(
    r"passw|passphrase|secret|credential|api.?key|access.?key|authoriz|private.?key|token"
)
_VALUE = re.compile(r"[^\s\"'`,;:=<>()\[\]{}|&?]{12,200}")
_NEAR = 48  # largest distance between a word and its value
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

Decoder = Callable[[list[int]], str]
"""Turns token ids into text, such as a tokenizer's `decode`."""
PseudonymFinder = Callable[[str], list[tuple[int, int]]]


class SecondLook:
    """Finds secrets and addresses, except pseudonyms.

    Args:
        stand_ins: Returns the places of the pseudonyms in a text.
    """

    def __init__(self, stand_ins: PseudonymFinder) -> None:
        self._stand_ins = stand_ins
        self._plugins = _load_plugins()
        self._clean = Memo(1 << 20)

    def find_secrets(self, text: str) -> Mapping[str, int]:
        """Return the number of findings in a text, by kind."""
        if len(text) < _LINE // 100:
            return {}
        digest = self._clean.digest(text)
        if self._clean.get(digest) is not None:
            return {}
        found = [*_find_addresses(text), *_find_near_words(text), *self._run_plugins(text)]
        # The search for pseudonyms costs as much as a redaction, and most texts have no finding.
        taken = self._stand_ins(text) if found else []
        left = [
            kind
            for kind, start, end in found
            if not any(start < behind and begin < end for begin, behind in taken)
        ]
        if not left:
            self._clean.put(digest, ())
            return {}
        return Counter(left)

    def _run_plugins(self, text: str) -> Iterator[tuple[str, int, int]]:
        """Yield the findings of the plugins of detect-secrets, line by line."""
        if not self._plugins or not _CANDIDATE.search(text):
            return
        for start, line in _candidate_lines(text):
            for plugin in self._plugins:
                for value in plugin.analyze_string(line):
                    place = line.find(str(value))
                    if place >= 0:
                        begin = start + place
                        yield plugin.secret_type, begin, begin + len(str(value))


def second_look_name() -> str:
    """Return the name of the second detectors, for the manifest."""
    own = "keywords with entropy"
    if not _load_plugins():
        return own
    return f"detect-secrets {importlib.metadata.version('detect-secrets')}, {own}"


@functools.cache
def _load_plugins() -> list[Any]:
    """Return the plugins of detect-secrets for values of a fixed form; none if it is not installed."""
    try:
        from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    except ImportError:
        return []
    classes = get_mapping_from_secret_type_to_class().values()
    return [kind() for kind in classes if kind.__name__ in _PLUGINS]


def _candidate_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that may hold a secret, each with its place; long ones in overlapping parts."""
    start = 0
    for line in text.splitlines(keepends=True):
        for first in range(0, len(line), _LINE // 2):
            piece = line[first : first + _LINE]
            if _CANDIDATE.search(piece):
                yield start + first, piece.rstrip("\r\n")
            if first + _LINE >= len(line):
                break
        start += len(line)


def _find_near_words(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield values of high entropy shortly behind a word about secrets."""
    for word in _WORD.finditer(text.lower()):
        for value in _VALUE.finditer(text, word.end(), word.end() + _NEAR + 200):
            if value.start() > word.end() + _NEAR:
                break
            if _looks_generated(value.group()):
                yield "high entropy beside a telling word", *value.span()


def _looks_generated(value: str) -> bool:
    """Report if a value has the mixture and entropy of a generated one."""
    kinds = (str.isupper, str.islower, str.isdigit)
    if not all(any(map(kind, value)) for kind in kinds) or value.count(".") + value.count("/") > 2:
        return False
    if value.count("_") + value.count("-") > 2:
        return False
    counts = Counter(value)
    entropy = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    return entropy >= _LEAST_ENTROPY


def _find_addresses(text: str) -> Iterator[tuple[str, int, int]]:
    if "@" in text:
        for match in _MAIL.finditer(text):
            yield "address", *match.span()
