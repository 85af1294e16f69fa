"""Find tokens of a published form (`secret_rules`).

How it works: all prefixes are one alternation that is tried only where a token can begin, which
is anywhere but behind an ASCII letter or digit. Each prefix then has its own bounded pattern, so
the time grows with the length of the text alone.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from burnish.redaction.patterns import join_words
from burnish.redaction.secret_detection.secret_rules import ALPHABETS, INNER_RULES, TOKEN_RULES
from burnish.redaction.views import View

_PART = re.compile(r"<(?P<letter>[a-zA-Z0-9])(?P<exact>=?):?(?P<least>\d+)(?:-(?P<most>\d+))?>")
_SHARE, _LONG_SHARE, _LONG = (
    0.6,
    0.3,
    40,
)  # smallest share of the published length that a token must have
_LONGEST = 4096


class Token(NamedTuple):
    """A token that was found: its kind and place."""

    kind: str
    start: int
    end: int


class _Rule(NamedTuple):
    """One form, compiled."""

    kind: str
    pattern: re.Pattern[str]
    check: bool


def token_pattern(template: str) -> str:
    """Convert a template to a regular expression, bounded in length."""
    pieces, end = [], 0
    for part in _PART.finditer(template):
        pieces.append(re.escape(template[end : part.start()]))
        end = part.end()
        least = int(part["least"])
        last = end == len(template)
        if part["exact"]:
            size = f"{{{least}}}"
        else:
            shortest = _shortest_part(least)
            size = f"{{{shortest},{_LONGEST if last else least * 4}}}"
        pieces.append(f"[{ALPHABETS[part['letter']]}]{size}")
        if part["exact"] and last:
            pieces.append(f"(?![{ALPHABETS[part['letter']]}])")
    return "".join([*pieces, re.escape(template[end:])])


def _shortest_part(published: int) -> int:
    """Return the least accepted length of a part with this published length."""
    if published > _LONG:
        return max(int(_LONG * _SHARE), int(published * _LONG_SHARE))
    return max(1, int(published * _SHARE))


def draw_token(template: str, rng: random.Random) -> str:
    """Draw a random token of a template, of the published length."""

    def part(match: re.Match[str]) -> str:
        letters = _letters_of_class(ALPHABETS[match["letter"]])
        drawn = rng.choices(letters, k=int(match["least"]))
        return "".join(drawn)

    return _PART.sub(part, template)


def _letters_of_class(alphabet: str) -> str:
    """Expand the inside of a character class to its characters."""
    spread = re.sub(
        r"(.)-(.)", lambda m: "".join(map(chr, range(ord(m[1]), ord(m[2]) + 1))), alphabet
    )
    return "".join(dict.fromkeys(spread))


def _least_length(template: str) -> int:
    """Return the length of the shortest token that a template accepts."""
    parts = list(_PART.finditer(template))
    sizes = (
        int(part["least"]) if part["exact"] else _shortest_part(int(part["least"]))
        for part in parts
    )
    return len(_PART.sub("", template)) + sum(sizes)


def _letters_of_rules() -> str:
    """Return the inside of a character class with every character of a token."""
    fixed = {letter for _, template in TOKEN_RULES for letter in _PART.sub("", template)}
    drawn = {letter for alphabet in ALPHABETS.values() for letter in _letters_of_class(alphabet)}
    return "".join(map(re.escape, sorted(fixed | drawn)))


def _by_beginning(rules: Iterable[tuple[str, str]]) -> dict[str, list[_Rule]]:
    found: dict[str, list[_Rule]] = {}
    for kind, template in rules:
        beginning = template[: template.index("<")]
        short = len(beginning) < 5 and "=" not in template and template.count("<") == 1
        rule = _Rule(kind, re.compile(token_pattern(template)), short)
        found.setdefault(beginning, []).append(rule)
    return found


_RULES = _by_beginning(TOKEN_RULES)
_LEAST = min(_least_length(template) for _, template in TOKEN_RULES)
_CHARACTERS = _letters_of_rules()
# Few words are as long as the shortest token, and this is found out faster than how they begin.
_BEGINNING = re.compile(rf"(?<![A-Za-z0-9])(?=[{_CHARACTERS}]{{{_LEAST}}}){join_words(_RULES)}")
_INNER = [
    (hint, _Rule(kind, re.compile(r"(?<![A-Za-z0-9])" + token_pattern(template)), False))
    for kind, hint, template in INNER_RULES
]
_INNER_SHORT = [(hint, rule) for hint, rule in _INNER if len(hint) == 1]
_INNER_HINT = re.compile(join_words(hint for hint, _ in _INNER if len(hint) > 1))


def find_tokens(view: View) -> Iterator[Token]:
    """Find every token of a published form in a text."""
    if not view.has_long_run:
        return
    text, end = view.plain, 0
    for hint, rule in _INNER if _INNER_HINT.search(text) else _INNER_SHORT:
        if hint in text:
            for found in rule.pattern.finditer(text):
                yield Token(rule.kind, found.start(), found.end())
    for match in _BEGINNING.finditer(text):
        if match.start() >= end:
            token = _longest_at(text, match)
            if token is not None:
                end = token.end
                if token.kind:
                    yield token


def _longest_at(text: str, match: re.Match[str]) -> Token | None:
    """Return the longest token at a prefix; a token that is only wording has no kind."""
    longest: Token | None = None
    for rule in _rules_at(match.group()):
        found = rule.pattern.match(text, match.start())
        if found is None:
            continue
        kind = "" if rule.check and _is_wording(found.group()) else rule.kind
        better = longest is None or (bool(kind), found.end()) > (bool(longest.kind), longest.end)
        if better:
            longest = Token(kind, found.start(), found.end())
    return longest


@functools.cache
def _rules_at(beginning: str) -> tuple[_Rule, ...]:
    """Return the rules of the matched prefix and of its own prefixes."""
    sizes = range(len(beginning), 0, -1)
    return tuple(rule for size in sizes for rule in _RULES.get(beginning[:size], ()))


def _is_wording(text: str) -> bool:
    """Return whether a match with a short prefix is a hyphenated or spelled name."""
    body = text[2:]
    upper, lower, digit = (any(map(kind, body)) for kind in (str.isupper, str.islower, str.isdigit))
    if digit:
        return not (upper or lower)
    return not (upper and lower and body.lstrip("_-").isalpha())
