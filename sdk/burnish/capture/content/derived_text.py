"""Find other spellings of a text: token ids, log-probabilities by token, bytes.

`without_spelling` removes them from plain data together with the text that they spell;
`clean_bytes` cleans text inside Base64.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

_SPELLED = frozenset(
    {
        "token_ids", "prompt_token_ids", "response_token_ids", "output_token_ids", "input_ids",
        "tokens", "logprobs", "top_logprobs", "prompt_logprobs",
    }
)  # fmt: skip
_METADATA = ("response_metadata", "additional_kwargs")
_BESIDE_DATA = {"media_type", "mime_type", "source_type", "format"}
_HEAD = 200  # the head of a data URL is at most this long
WITHHELD = "[withheld: redacted]"


def clean_bytes(value: Any, clean: Callable[[str], str]) -> Any:
    """Clean Base64 text in plain data; return the same object if nothing changed.

    Metadata of messages always loses its token ids: they may spell earlier text.
    """
    if isinstance(value, str):
        return _clean_url(value, clean) if value.startswith("data:") else value
    if isinstance(value, list):
        items = [clean_bytes(item, clean) for item in value]
        return value if all(map(_is_same, items, value)) else items
    if not isinstance(value, dict):
        return value
    cleaned = {key: clean_bytes(item, clean) for key, item in value.items()}
    for name in _METADATA:
        if isinstance(cleaned.get(name), dict):
            cleaned[name] = without_spelling(cleaned[name])
    place = _place_of_bytes(cleaned)
    if place is not None:
        cleaned[place] = _clean_base64(cleaned[place], clean)
    return value if all(_is_same(cleaned[key], item) for key, item in value.items()) else cleaned


def without_spelling(value: Any) -> Any:
    """Return plain data without token ids, log-probabilities, and opaque bytes."""
    if isinstance(value, str):
        return WITHHELD if _is_opaque_url(value) else value
    if isinstance(value, list):
        items = [without_spelling(item) for item in value]
        return value if all(map(_is_same, items, value)) else items
    if not isinstance(value, dict):
        return value
    kept = {
        key: without_spelling(item)
        for key, item in value.items()
        if key not in _SPELLED or not isinstance(item, (list, dict))
    }
    place = _place_of_bytes(kept)
    if place is not None and _text_of(kept[place]) is None:
        kept[place] = ""
        kept["withheld"] = "redacted"
    same = kept.keys() == value.keys() and all(
        _is_same(kept[key], item) for key, item in value.items()
    )
    return value if same else kept


def _is_same(one: Any, other: Any) -> bool:
    return one is other


def _place_of_bytes(holder: dict[str, Any]) -> str | None:
    """Return the key under which a dict holds Base64, in the forms that capture writes."""
    if isinstance(holder.get("$bytes"), str):
        return "$bytes"
    if holder.get("type") == "blob" and isinstance(holder.get("content"), str):
        return "content"
    if isinstance(holder.get("base64"), str):
        return "base64"
    if isinstance(holder.get("data"), str) and holder.keys() & _BESIDE_DATA:
        return "data"
    return None


def _text_of(encoded: str) -> str | None:
    """Decode the text of Base64; None if it is not text."""
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return None


def _clean_base64(encoded: str, clean: Callable[[str], str]) -> str:
    text = _text_of(encoded)
    if text is None:
        return encoded
    cleaned = clean(text)
    return encoded if cleaned == text else base64.b64encode(cleaned.encode()).decode()


def _clean_url(url: str, clean: Callable[[str], str]) -> str:
    head, mark, encoded = url.partition(";base64,")
    if not mark or len(head) > _HEAD:
        return url
    cleaned = _clean_base64(encoded, clean)
    return url if cleaned == encoded else f"{head}{mark}{cleaned}"


def _is_opaque_url(text: str) -> bool:
    if not text.startswith("data:"):
        return False
    head, mark, encoded = text.partition(";base64,")
    return bool(mark) and len(head) <= _HEAD and _text_of(encoded) is None
