"""What is replaced before bytes reach the disk.

Knows: which detectors the setting `redact` stands for. Does not know: messages and events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from burnish.capture.plain import to_plain


def redactor(setting: str | Callable[[str], str]) -> Callable[[Any], Any] | None:
    """Plain data to plain data without what the setting forbids; None where all is kept."""
    if setting == "none":
        return None
    if callable(setting):
        clean = setting
        return lambda value: _walk(to_plain(value), clean)
    return None


def _walk(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {key: _walk(item, clean) for key, item in value.items()}
    if isinstance(value, list):
        return [_walk(item, clean) for item in value]
    return value
