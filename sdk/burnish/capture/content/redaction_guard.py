"""Redact values and texts through a door, and withhold content if the door fails.

`Guarded` is the entry. redaction_door.py makes the door that the settings ask for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from burnish.capture import faults
from burnish.capture.content.derived_text import clean_bytes, without_spelling
from burnish.records import Json

WITHHELD_TEXT = "[withheld: redaction failed]"


class Door(Protocol):
    """Cleans values and texts; returns the same object if nothing was found."""

    def clean_value(self, value: Json) -> Json:
        """Clean every text of plain data."""
        ...

    def clean(self, text: str, /) -> str:
        """Clean one text."""
        ...

    def clean_arguments(self, text: str, /) -> str:
        """Clean a JSON object given as text."""
        ...


class Guarded:
    """A redactor that withholds content if its detectors fail."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def value(self, value: Json) -> Json:
        """Clean plain data in every spelling."""
        try:
            cleaned = clean_bytes(self._door.clean_value(value), self._door.clean)
            same = cleaned is value or cleaned == value
            return value if same else without_spelling(cleaned)
        except Exception as fault:  # noqa: BLE001 - it may be the user's own detector
            _report_fault(fault)
            return {"$withheld": "redaction failed"}

    def text(self, text: str | None) -> str | None:
        """Clean a text, also one that is JSON or a data URL."""
        return None if text is None else self._text(self._plain, text)

    def arguments(self, text: str | None) -> str | None:
        """Clean raw arguments."""
        return None if text is None else self._text(self._door.clean_arguments, text)

    def _plain(self, text: str) -> Any:
        return clean_bytes(self._door.clean_value(text), self._door.clean)

    def _text(self, clean: Callable[[str], Any], text: str) -> str:
        try:
            return _as_text(clean(text))
        except Exception as fault:  # noqa: BLE001 - it may be the user's own detector
            _report_fault(fault)
            return WITHHELD_TEXT


def _as_text(cleaned: Any) -> str:
    """Return the cleaned text.

    Raises:
        TypeError: If the user's own function returned another type.
    """
    if not isinstance(cleaned, str):
        raise TypeError(f"redact gave {type(cleaned).__name__} for a text, not a text")
    return str.__str__(cleaned)


def _report_fault(fault: Exception) -> None:
    faults.say_once("redaction_failed", f"redaction failed, its input is withheld: {fault!r}")


class OwnFunction:
    """A door that applies the user's own function to every text of a value."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        self._clean = clean

    def clean(self, text: str, /) -> str:
        """Clean one text; return the same object if the function changed nothing."""
        cleaned = _as_text(self._clean(text))
        return text if cleaned == text else cleaned

    clean_arguments = clean

    def clean_value(self, value: Any) -> Any:
        """Clean every text of plain data, keys too."""
        if isinstance(value, str):
            return self.clean(value)
        if isinstance(value, list):
            items = [self.clean_value(item) for item in value]
            same = all(map(_is_same, items, value))
            return value if same else items
        if isinstance(value, dict):
            cleaned = {self.clean(key): self.clean_value(item) for key, item in value.items()}
            same = cleaned.keys() == value.keys() and all(
                _is_same(cleaned[key], item) for key, item in value.items()
            )
            return value if same else cleaned
        return value


def _is_same(one: Any, other: Any) -> bool:
    return one is other or (isinstance(one, str) and one == other)
