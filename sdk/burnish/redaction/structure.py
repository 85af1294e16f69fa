"""Remove secrets from plain data by its structure.

Under the name of a secret every scalar is removed, in lists and nested objects too; in a pair of
name and value, the value is removed if the name is that of a secret. JSON schemas, counts, and
markers of tokenizers are kept.
"""

from __future__ import annotations

from typing import Any, Protocol

from burnish.redaction.secret_detection.secret_shapes import is_drawn
from burnish.redaction.secret_detection.telling_names import is_plural, is_telling, words_of

_SHORTEST = 6
_LONGEST_NAME = 64
_NAME_KEYS = ("name", "key", "header", "field", "Name", "Key", "variable", "k", "id", "label", "title",
              "ParameterName")  # fmt: skip
_VALUE_KEYS = ("value", "val", "Value", "v", "ParameterValue")
_COLUMN_KEYS = ("columns", "header", "headers", "fields", "column_names")
_ROW_KEYS = ("rows", "data", "values", "records")
_NAME_LISTS = frozenset(
    ("required", "enum", "fields", "columns", "names", "keys", "properties", "tags", "labels")
)
_SCHEMA_TYPES = frozenset(("string", "integer", "number", "boolean", "object", "array", "null"))
_SCHEMA_WORDS = ("$ref", "anyOf", "oneOf", "allOf")
_SCHEMA_VALUES = ("default", "const", "example", "value")
_KEY_PARTS = ("d", "p", "q", "dp", "dq", "qi", "k")


_BARE_KEYS = frozenset(("session", "sid", "sess", "salt", "key", "session_id", "sessionid"))
"""Names whose value is removed only if it looks random."""


class TextCleaner(Protocol):
    """The functions that clean texts and numbers."""

    def clean(self, text: str) -> str:
        """Clean a text."""
        ...

    def clean_encoded(self, text: str) -> str:
        """Clean a text that may be JSON."""
        ...

    def clean_labelled(self, key: str, text: str) -> str:
        """Clean a text whose key may name its content."""
        ...

    def clean_number(self, key: str, number: int) -> int:
        """Clean a number whose key may name its content."""
        ...

    def withhold(self, text: str) -> str:
        """Replace a text that is known to be a secret."""
        ...


class StructureCleaner:
    """Walks through plain data and cleans it.

    Args:
        texts: Cleans each text.
        by_key: Whether names of secrets decide.
    """

    def __init__(self, texts: TextCleaner, *, by_key: bool) -> None:
        self._texts, self._by_key = texts, by_key

    def clean(self, value: Any, key: str = "") -> Any:
        """Clean plain data; return the same object if nothing was found.

        Args:
            value: The data.
            key: The key of the data.
        """
        if isinstance(value, str):
            return (
                self._texts.clean_labelled(key, value) if key else self._texts.clean_encoded(value)
            )
        if isinstance(value, dict):
            return self._clean_dict(value, key)
        if isinstance(value, (list, tuple)):
            return self._clean_list(value, key)
        if type(value) is int:
            return self._texts.clean_number(key, value)
        return value

    def _clean_dict(self, value: dict[Any, Any], under: str) -> dict[Any, Any]:
        cleaned, changed = {}, False
        told = _told_by_name(value) if self._by_key else None
        secret_columns = _secret_columns(value) if self._by_key else ()
        for key, item in value.items():
            kept = key
            if isinstance(key, str) and len(key) >= _SHORTEST:
                kept = self._texts.clean(key)
            given = item
            if secret_columns and key in _ROW_KEYS and isinstance(item, (list, tuple)):
                given = [self._without_columns(row, secret_columns) for row in item]
            entry = cleaned[kept] = self._entry(key, given, value, under, told)
            changed = changed or entry is not item or kept is not key
        return cleaned if changed else value

    def _entry(self, key: Any, item: Any, holder: dict[Any, Any], under: str, told: Any) -> Any:
        name = key if isinstance(key, str) else ""
        if not self._by_key or not name:
            return self.clean(item, name)
        if key == told:
            return self._withhold(item)
        if "kty" in holder and key in _KEY_PARTS and isinstance(item, str):
            return self._withhold(item)
        if isinstance(item, str) and words_of(name) in _BARE_KEYS and is_drawn(item):
            return self._withhold(item)
        if not is_telling(name) or _is_kept(name, item, holder):
            return self.clean(item, name)
        if isinstance(item, dict) and (under == "properties" or _is_schema(item)):
            return self._clean_schema(item, name)
        return self._withhold(item)

    def _clean_schema(self, schema: dict[Any, Any], under: str) -> dict[Any, Any]:
        """Clean the schema of a secret field: type and description stay, the default is removed."""
        given = {key: schema[key] for key in _SCHEMA_VALUES if isinstance(schema.get(key), str)}
        rest = self._clean_dict(schema, under)
        withheld = {key: self._withhold(text) for key, text in given.items() if text}
        if all(withheld[key] == given[key] for key in withheld):
            return rest
        return {**rest, **withheld}

    def _clean_list(self, value: Any, key: str) -> Any:
        telling = self._by_key and key not in _NAME_LISTS and len(value) > 1
        items = [
            self._withhold(item)
            if telling and place and _tells_next(value[place - 1], item, len(value))
            else self.clean(item, key if isinstance(item, (str, int)) else "")
            for place, item in enumerate(value)
        ]
        same = all(one is other for one, other in zip(items, value, strict=True))
        return value if same else type(value)(items) if type(value) in (list, tuple) else items

    def _without_columns(self, row: Any, columns: tuple[int, ...]) -> Any:
        """Remove the values of some columns from a row of a table."""
        if not isinstance(row, (list, tuple)):
            return row
        return [
            self._withhold(item) if place in columns else item for place, item in enumerate(row)
        ]

    def _withhold(self, item: Any) -> Any:
        """Replace every scalar of a value that is known to be a secret."""
        if isinstance(item, str):
            return self._texts.withhold(item)
        if isinstance(item, dict):
            entries = {key: self._withhold(entry) for key, entry in item.items()}
            return item if all(entries[key] is item[key] for key in item) else entries
        if isinstance(item, (list, tuple)):
            items = [self._withhold(entry) for entry in item]
            same = all(one is other for one, other in zip(items, item, strict=True))
            return item if same else items
        if isinstance(item, (int, float)) and not isinstance(item, bool):
            return self._texts.withhold(str(item))
        return item


def _told_by_name(value: dict[Any, Any]) -> Any:
    """Return the key of the value next to the name of a secret, as in a list of variables."""
    for name_key in _NAME_KEYS:
        name = value.get(name_key)
        if not isinstance(name, str) or len(name) > _LONGEST_NAME:
            continue
        told = next((key for key in _VALUE_KEYS if key in value), None)
        if is_telling(name):
            return told
        if (
            told
            and words_of(name) in _BARE_KEYS
            and isinstance(value[told], str)
            and is_drawn(value[told])
        ):
            return told
    return None


def _secret_columns(value: dict[Any, Any]) -> tuple[int, ...]:
    """Find the secret columns of a table, such as the result of a query."""
    for key in _COLUMN_KEYS:
        names = value.get(key)
        if isinstance(names, (list, tuple)):
            told = (isinstance(name, str) and is_telling(name) for name in names)
            return tuple(place for place, telling in enumerate(told) if telling)
    return ()


def _is_kept(name: str, item: Any, holder: dict[Any, Any]) -> bool:
    """Return whether a value under a secret name is a count, a marker, or model-written text."""
    if item is None or isinstance(item, bool):
        return True
    if "logprob" in holder or "logprobs" in holder or "token_ids" in holder:
        return True
    if isinstance(item, (int, float)):
        lowered = name.lower()
        return is_plural(name) or (
            lowered == "pass" and bool(holder.keys() & {"fail", "failed", "skip", "total"})
        )
    if isinstance(item, str) and name in ("PWD", "OLDPWD", "pwd"):
        return item.startswith(("/", "~", "."))
    return False


def _is_schema(value: dict[Any, Any]) -> bool:
    """Return whether an object describes a field instead of holding one."""
    kind = value.get("type")
    if isinstance(kind, str):
        return kind in _SCHEMA_TYPES
    return isinstance(kind, list) or any(word in value for word in _SCHEMA_WORDS)


def _tells_next(name: Any, item: Any, size: int) -> bool:
    """Return whether a list item is the value of the previous name, as in pairs and headers."""
    if not isinstance(name, str) or len(name) > _LONGEST_NAME or " " in name:
        return False
    if not is_telling(name.lstrip("-")):
        return False
    if isinstance(item, (dict, list, tuple)):
        return False
    if isinstance(item, str):
        plain = item.replace("_", "").replace("-", "").isalpha() and len(item) < 20
        return (
            not is_telling(item)
            and (name.startswith("-") or size == 2 or not plain)
            and not (plain and size != 2)
        )
    return size == 2
