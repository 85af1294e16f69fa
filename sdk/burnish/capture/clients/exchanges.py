"""One call of a model's API, as a client sends and gets it: the base of each API's form.

Knows: what the recorder is given of a call. Does not know: any API's words, how replies arrive.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

from burnish.capture.manual_calls import HandwrittenModelCall
from burnish.records import Message


class Exchange(abc.ABC):
    """What is asked in one call, and its reply, put together from the whole or from its pieces.

    Args:
        body: The request, as the client sends it.

    Attributes:
        facts: Fields of the end of a call, as far as the reply has said them.
        extras: What the reply says besides.
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.body = body
        self.facts: dict[str, Any] = {}
        self.extras: dict[str, Any] = {}

    @abc.abstractmethod
    def asked(self) -> HandwrittenModelCall:
        """Return the call that the request asks for."""

    @abc.abstractmethod
    def add(self, piece: Mapping[str, Any]) -> str:
        """Take the whole reply or its next piece; returns the text that it adds."""

    @abc.abstractmethod
    def message(self) -> Message:
        """Return the reply in the records' form."""

    def note(self, **facts: Any) -> None:
        """Take what a reply says of itself; nothing where it says nothing."""
        self.facts |= {name: value for name, value in facts.items() if value is not None}

    def count(self, **tokens: Any) -> None:
        """Take token counts; those of a later piece stand for all before, they are no increments."""
        known = {name: number for name, number in tokens.items() if isinstance(number, int)}
        if known:
            self.facts["usage"] = {**self.facts.get("usage", {}), **known}


def as_data(value: Any) -> Any:
    """Return a value of a request with the client's own objects as the data that they are sent as."""
    if isinstance(value, Mapping):
        return {key: as_data(item) for key, item in value.items() if not is_left_out(item)}
    if hasattr(value, "model_dump"):
        return value.model_dump(exclude_unset=True, by_alias=True, warnings=False)
    return [as_data(item) for item in value] if isinstance(value, (list, tuple)) else value


def as_list(value: Any) -> list[Any]:
    """Return the items of a list, and anything else as one item: an iterator is the client's to read."""
    return list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]


def is_left_out(value: Any) -> bool:
    """Return whether a client leaves a value out of the request."""
    return type(value).__name__ in ("NotGiven", "Omit")


def read_media_url(url: str, modality: str) -> dict[str, Any]:
    """Return the part of a medium at an address; one that an address holds itself is its content."""
    head, comma, data = url.partition(";base64,")
    if comma and head.startswith("data:"):
        kind = head.removeprefix("data:")
        return {"type": "blob", "modality": modality, "mime_type": kind, "content": data}
    return {"type": "uri", "modality": modality, "uri": url}
