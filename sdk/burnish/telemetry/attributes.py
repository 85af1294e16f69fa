"""How attributes of a span are filled from events and blobs.

Knows: that content may be lost, and that absent is not null. Does not know: which span it is.
"""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from burnish.journal.events import ModelStarted, Ref, ToolStarted
from burnish.records import Json
from burnish.telemetry import semconv as s

Attributes = dict[str, Json]


class Blobs(Protocol):
    """Where the content lies that an event refers to."""

    def value(self, ref: Ref) -> Json:
        """Decoded content; raises KeyError if it is lost."""
        ...

    def values(self, refs: list[Ref]) -> list[Json] | None:
        """Decoded contents, None where one of them is lost."""
        ...


def set_contents(attributes: Attributes, blobs: Blobs, contents: dict[str, Ref | None]) -> None:
    """Set attributes to the content of blobs; what is lost is counted."""
    for name, ref in contents.items():
        if ref is None:
            continue
        try:
            attributes[name] = blobs.value(ref)
        except (KeyError, ValueError):
            count_missing(attributes)


def count_missing(attributes: Attributes) -> None:
    """Count content that the journal does not hold any more."""
    held = attributes.get(s.LOSSES)
    losses = dict(held) if isinstance(held, dict) else {}
    losses["missing_blobs"] = losses.get("missing_blobs", 0) + 1
    attributes[s.LOSSES] = losses


def set_present(attributes: Attributes, values: dict[str, Json]) -> None:
    """Set those attributes that have a value."""
    for name, value in values.items():
        if value is not None:
            attributes[name] = value


def read_run_id(start: ModelStarted | ToolStarted) -> dict[str, Json]:
    """LangChain's id of a run, as one of its extras."""
    return {} if start.run_id is None else {"run_id": str(UUID(bytes=start.run_id))}


def read_extras(attributes: Attributes, blobs: Blobs, ref: Ref | None) -> dict[str, Json]:
    """What an event says beside its fields; counted in `attributes` where it is lost."""
    found: Attributes = {}
    set_contents(found, blobs, {s.EXTRAS: ref})
    if s.LOSSES in found:
        count_missing(attributes)
    value = found.get(s.EXTRAS, {})
    return value if isinstance(value, dict) else {"extras": value}
