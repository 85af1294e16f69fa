"""Fill span attributes from events and blobs.

Lost content is counted as a loss. An absent value leaves the attribute unset: absent is not null.
"""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from burnish.journal.events import ModelStarted, Ref, ToolStarted
from burnish.records import Json
from burnish.telemetry import semconv as s

Attributes = dict[str, Json]


class Blobs(Protocol):
    """Access to the content that events refer to."""

    def value(self, ref: Ref) -> Json:
        """Return the decoded content; raise KeyError if it is lost."""
        ...

    def values(self, refs: list[Ref]) -> list[Json] | None:
        """Return the decoded contents, or None if one of them is lost."""
        ...


def set_contents(attributes: Attributes, blobs: Blobs, contents: dict[str, Ref | None]) -> None:
    """Set attributes to the content of blobs, and count lost content."""
    for name, ref in contents.items():
        if ref is None:
            continue
        try:
            attributes[name] = blobs.value(ref)
        except (KeyError, ValueError):
            count_missing(attributes)


def count_missing(attributes: Attributes) -> None:
    """Count one content that the journal no longer holds."""
    held = attributes.get(s.LOSSES)
    losses = dict(held) if isinstance(held, dict) else {}
    losses["missing_blobs"] = losses.get("missing_blobs", 0) + 1
    attributes[s.LOSSES] = losses


def set_present(attributes: Attributes, values: dict[str, Json]) -> None:
    """Set the attributes whose value is not None."""
    for name, value in values.items():
        if value is not None:
            attributes[name] = value


def read_run_id(start: ModelStarted | ToolStarted) -> dict[str, Json]:
    """Return LangChain's run id as an extra field."""
    return {} if start.run_id is None else {"run_id": str(UUID(bytes=start.run_id))}


def read_extras(attributes: Attributes, blobs: Blobs, ref: Ref | None) -> dict[str, Json]:
    """Return the extra fields of an event; count them in `attributes` if they are lost."""
    found: Attributes = {}
    set_contents(found, blobs, {s.EXTRAS: ref})
    if s.LOSSES in found:
        count_missing(attributes)
    value = found.get(s.EXTRAS, {})
    return value if isinstance(value, dict) else {"extras": value}
