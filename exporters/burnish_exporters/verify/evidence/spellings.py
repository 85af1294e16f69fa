"""List other spellings of a text, so that a rule that forbids the text finds each of them.

Covered are escapes of JSON and of markup, forms of Unicode, percent signs in addresses, and detours
in paths. `spellings()` and `forms_of_arguments()` are the entries.
"""

from __future__ import annotations

import html
import json
import posixpath
import re
import sys
import unicodedata
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from burnish.records import ToolRun

_DEEPEST = 16
_MOST_ESCAPES = 8
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\u\{([0-9a-fA-F]{1,6})\}|\\x([0-9a-fA-F]{2})")
_INVISIBLE = (
    "Cf",
    "Cc",
)  # zero-width characters, soft hyphens, direction marks; control characters except white space


def forms_of_arguments(run: ToolRun) -> list[str]:
    """Return every text under which the arguments of a call can be read, the model's own first.

    The forms are the arguments as the model wrote them, as they were parsed, and both with their
    texts decoded, JSON inside JSON unpacked, Unicode normalised and paths without detours.
    """
    values: list[Any] = [] if run.arguments is None else [run.arguments]
    forms: list[str] = []
    if run.raw_arguments:
        forms.append(run.raw_arguments)
        try:
            values.append(json.loads(run.raw_arguments))
        except (ValueError, RecursionError):
            forms += spellings(run.raw_arguments)
    for value in values:
        for change in (_keep_text, visible, _resolve_path, _unpack_json):
            forms.append(_dump_value(_change_texts(value, change)))
    return list(dict.fromkeys(forms))


def spellings(text: str) -> list[str]:
    """Return a text, and the same text normalised without invisible characters."""
    return list(dict.fromkeys((text, visible(text))))


def _dump_value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _keep_text(text: str) -> str:
    return text


def visible(text: str) -> str:
    """Normalise the Unicode of a text and remove invisible characters."""
    plain = unicodedata.normalize("NFKC", text)
    return "".join(
        sign for sign in plain if sign.isspace() or unicodedata.category(sign) not in _INVISIBLE
    )


def _resolve_path(text: str) -> str:
    """Return a path or address without escapes and detours; any other text without invisible characters."""
    plain = visible(_unescape_text(text))
    if "/" not in plain and "\\" not in plain:
        return plain
    path = plain.replace("\\", "/").removeprefix("file://")
    direct = posixpath.normpath(path)
    return "/" + direct.lstrip("/") if path.startswith("/") else direct


def _unescape_text(text: str) -> str:
    """Remove percent signs, entities and escapes from a text, however often it was escaped."""
    for _ in range(_MOST_ESCAPES):
        plain = _ESCAPE.sub(_sign_of, html.unescape(unquote(text)))
        if plain == text:
            break
        text = plain
    return text


def _sign_of(escape: re.Match[str]) -> str:
    number = int(escape[1] or escape[2] or escape[3], 16)
    return chr(number) if number <= sys.maxunicode else escape[0]


def _unpack_json(text: str) -> Any:
    """Return the value of a text that is JSON, with its paths resolved."""
    if text.lstrip()[:1] not in ("{", "[", '"'):
        return _resolve_path(text)
    try:
        return _change_texts(json.loads(text), _resolve_path)
    except (ValueError, RecursionError):
        return _resolve_path(text)


def _change_texts(value: Any, change: Callable[[str], Any], depth: int = 0) -> Any:
    """Apply a change to each text of a value; below a great depth the value stays as it is."""
    if depth > _DEEPEST:
        return value
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {str(k): _change_texts(v, change, depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_change_texts(item, change, depth + 1) for item in value]
    return value
