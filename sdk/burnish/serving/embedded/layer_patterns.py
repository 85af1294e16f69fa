"""Match the patterns of a PEFT configuration with layer names, within a time limit.

An adapter is untrusted input: one of its patterns may take for ever, and Python's own `re` cannot be
stopped. The package `regex` stops at a time limit.
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
    """Matches the patterns of one adapter, within two seconds for all of them."""

    def __init__(self) -> None:
        self._left = _LIMIT_S

    def matches_suffix(self, pattern: object, name: str) -> bool:
        """Return True if a pattern matches the name of a layer or its last parts, as in `alpha_pattern`.

        Raises:
            ServingError: If the pattern is not a regular expression, is too long, or takes too long.
        """
        text = _check_pattern(pattern)
        if _LITERAL.fullmatch(text):
            return name == text or name.endswith(f".{text}")
        return self.match_name(rf"(.*\.)?({text})", name) is not None

    def match_name(self, pattern: object, name: str) -> regex.Match[str] | None:
        """Match a regular expression with the whole name of a layer.

        Raises:
            ServingError: If the pattern is not a regular expression, is too long, or takes too long.
        """
        started = time.monotonic()
        try:
            return regex.fullmatch(_check_pattern(pattern), name, timeout=max(self._left, 0.001))
        except TimeoutError as error:
            raise _refuse_pattern(pattern, "takes too long") from error
        except regex.error as error:
            raise _refuse_pattern(pattern, f"is not a regular expression: {error}") from error
        finally:
            self._left -= time.monotonic() - started


def _check_pattern(pattern: object) -> str:
    if not isinstance(pattern, str) or len(pattern) > _LONGEST:
        raise _refuse_pattern(pattern, f"is not a text of at most {_LONGEST} characters")
    return pattern


def _refuse_pattern(pattern: object, found: str) -> ServingError:
    return ServingError(
        f"the pattern {str(pattern)[:80]!r} of an adapter {found}",
        "names of layers, or simple patterns of them",
        "write the names of the layers into adapter_config.json",
    )
