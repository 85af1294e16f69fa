"""Redacts values and texts through a door, and withholds what the door fails on.

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
    """Cleans values and texts; gives back the same object where nothing was found."""

    def clean_value(self, value: Json) -> Json:
        """Plain data with every text cleaned."""
        ...

    def clean(self, text: str, /) -> str:
        """One text, cleaned."""
        ...

    def clean_arguments(self, text: str, /) -> str:
        """A JSON object as text, cleaned."""
        ...


class Guarded:
    """A door that lets nothing through where its detectors fail."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def value(self, value: Json) -> Json:
        """Plain data without what must not be kept, in no spelling."""
        try:
            cleaned = clean_bytes(self._door.clean_value(value), self._door.clean)
            same = cleaned is value or cleaned == value
            return value if same else without_spelling(cleaned)
        except Exception as fault:  # noqa: BLE001 - it may be the user's own detector
            _report_fault(fault)
            return {"$withheld": "redaction failed"}

    def text(self, text: str | None) -> str | None:
        """A text without what must not be kept, also where it is JSON or a data URL."""
        return None if text is None else self._text(self._plain, text)

    def arguments(self, text: str | None) -> str | None:
        """Raw arguments without what must not be kept."""
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
    """The cleaned text.

    Raises:
        TypeError: If the user's own function gave something else.
    """
    if not isinstance(cleaned, str):
        raise TypeError(f"redact gave {type(cleaned).__name__} for a text, not a text")
    return str.__str__(cleaned)


def _report_fault(fault: Exception) -> None:
    faults.say_once(
        "redaction_failed", f"redaction failed, what it looked at is withheld: {fault!r}"
    )


class OwnFunction:
    """A door of the user's own function, which is applied to every text of a value."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        self._clean = clean

    def clean(self, text: str, /) -> str:
        """One text, cleaned; the same object where the function changed nothing."""
        cleaned = _as_text(self._clean(text))
        return text if cleaned == text else cleaned

    clean_arguments = clean

    def clean_value(self, value: Any) -> Any:
        """Plain data with every text cleaned, keys too."""
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
