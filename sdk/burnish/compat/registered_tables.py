"""List the tables of the SDK, and those that packages above it registered under `burnish.compat`."""

from __future__ import annotations

from collections.abc import Iterator

from burnish.compat import clients, langchain, langgraph
from burnish.compat.tables import LibraryTable

GROUP = "burnish.compat"


def list_tables() -> Iterator[LibraryTable]:
    """Yield the tables of the SDK, and those that other packages registered."""
    from importlib import metadata  # slow to import, and needed by no agent

    yield from (*langchain.TABLES, langgraph.TABLE, *clients.TABLES)
    for entry in metadata.entry_points(group=GROUP):
        yield from entry.load()
