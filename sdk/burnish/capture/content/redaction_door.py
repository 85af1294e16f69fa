"""What is replaced before bytes reach the disk.

Knows: which detectors the setting `redact` stands for. Does not know: messages and events; what
else is decided by a replaced text (models.py).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from burnish import settings
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


def door(home: Path | None = None) -> Guarded | None:
    """The door that the settings ask for; None where all is kept.

    Args:
        home: Folder of the workspace whose key the stand-ins are made with; that of the settings if None.
    """
    now = settings.current()
    if now.redact == "none":
        return None
    return _door(now.redact, (home or now.home).absolute())


def stand_ins(name: str, home: Path) -> list[str]:
    """What the keys of a workspace write for a name, whatever `redact` is today; none is made here."""
    from burnish.redaction import SECRETS, STRUCTURED, Redactor, known_keys

    found = (
        Redactor(key, detectors).clean(name)
        for key in known_keys(home)
        for detectors in (SECRETS, SECRETS + STRUCTURED)
    )
    return sorted(set(found) - {name})


def own_stand_ins(name: str) -> list[str]:
    """What a function of one's own, where `redact` is one, writes for a name; maybe for others too."""
    chosen = settings.current().redact
    written = Guarded(_Own(chosen)).text(name) if callable(chosen) else None
    return [] if written in (None, name) else [written]


@functools.lru_cache(maxsize=8)
def _door(setting: str | Callable[[str], str], home: Path) -> Guarded:
    if callable(setting):
        return Guarded(_Own(setting))
    from burnish.redaction import SECRETS, STRUCTURED, Redactor, workspace_key

    detectors = SECRETS if setting == "secrets" else SECRETS + STRUCTURED
    return Guarded(Redactor(workspace_key(home), detectors))


class _Own:
    """The user's own function of one text, applied to every text of a value."""

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
