"""Compares the patterns of a PEFT configuration with names of layers, within a time limit.

Knows: which settings PEFT reads as regular expressions. Does not know: models, weights.

An adapter is a file of somebody else: one of its patterns may take for ever, and Python's own `re`
cannot be stopped. The package `regex` stops at a time limit.
"""

from __future__ import annotations

import re
import time

import regex

from burnish.errors import ServingError

_LONGEST = 2000
_LIMIT_S = 2.0
_LITERAL = re.compile(r"[A-Za-z0-9_.-]*")


class LayerPatterns:
    """Matches the patterns of one adapter; together they may take two seconds."""

    def __init__(self) -> None:
        self._left = _LIMIT_S

    def ends(self, pattern: object, name: str) -> bool:
        """Whether a pattern stands for the name of a layer or for its last parts, as `alpha_pattern` has it.

        Raises:
            ServingError: If it is no regular expression, is too long, or takes too much time.
        """
        text = _text(pattern)
        if _LITERAL.fullmatch(text):
            return name == text or name.endswith(f".{text}")
        return self.match(rf"(.*\.)?({text})", name) is not None

    def match(self, pattern: object, name: str) -> regex.Match[str] | None:
        """The match of a regular expression with the whole name of a layer.

        Raises:
            ServingError: As above.
        """
        started = time.monotonic()
        try:
            return regex.fullmatch(_text(pattern), name, timeout=max(self._left, 0.001))
        except TimeoutError as error:
            raise _refused(pattern, "takes too long") from error
        except regex.error as error:
            raise _refused(pattern, f"is no regular expression: {error}") from error
        finally:
            self._left -= time.monotonic() - started


def _text(pattern: object) -> str:
    if not isinstance(pattern, str) or len(pattern) > _LONGEST:
        raise _refused(pattern, f"is no text of at most {_LONGEST} characters")
    return pattern


def _refused(pattern: object, found: str) -> ServingError:
    return ServingError(
        f"the pattern {str(pattern)[:80]!r} of an adapter {found}",
        "names of layers, or simple patterns of them",
        "write the names of the layers into adapter_config.json",
    )
