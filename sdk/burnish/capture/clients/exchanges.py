"""Define the exchange of one model call with a client, the base of each API's form."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

from burnish.capture.manual_calls import HandwrittenModelCall
from burnish.records import Message


class Exchange(abc.ABC):
    """Request and reply of one call; the reply is assembled from the whole or from its pieces.

    Args:
        body: The request, as the client sends it.

    Attributes:
        facts: Fields of the end of a call that the reply has given so far.
        extras: Further fields of the reply.
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.body = body
        self.facts: dict[str, Any] = {}
        self.extras: dict[str, Any] = {}

    @abc.abstractmethod
    def asked(self) -> HandwrittenModelCall:
        """Return the call that the request makes."""

    @abc.abstractmethod
    def add(self, piece: Mapping[str, Any]) -> str:
        """Add the whole reply or its next piece; return the text that it adds."""

    @abc.abstractmethod
    def message(self) -> Message:
        """Return the reply in the records' form."""

    def note(self, **facts: Any) -> None:
        """Set facts of a reply; ignore None."""
        self.facts |= {name: value for name, value in facts.items() if value is not None}

    def count(self, **tokens: Any) -> None:
        """Set token counts; counts of a later piece replace earlier ones, they are not increments."""
        known = {name: number for name, number in tokens.items() if isinstance(number, int)}
        if known:
            self.facts["usage"] = {**self.facts.get("usage", {}), **known}


def as_data(value: Any) -> Any:
    """Return a request value as data, with the client's own objects in their sent form."""
    if isinstance(value, Mapping):
        return {key: as_data(item) for key, item in value.items() if not is_left_out(item)}
    if hasattr(value, "model_dump"):
        return value.model_dump(exclude_unset=True, by_alias=True, warnings=False)
    return [as_data(item) for item in value] if isinstance(value, (list, tuple)) else value


def as_list(value: Any) -> list[Any]:
    """Return the items of a list, or any other value as one item, because iterators are single-use."""
    return list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]


def is_left_out(value: Any) -> bool:
    """Return whether a client leaves a value out of the request."""
    return type(value).__name__ in ("NotGiven", "Omit")


def read_media_url(url: str, modality: str) -> dict[str, Any]:
    """Return the part of a medium at an address; a data URL is its content."""
    head, comma, data = url.partition(";base64,")
    if comma and head.startswith("data:"):
        kind = head.removeprefix("data:")
        return {"type": "blob", "modality": modality, "mime_type": kind, "content": data}
    return {"type": "uri", "modality": modality, "uri": url}
