"""Private names of other libraries that burnish uses: one table a library, and a probe that finds what is missing.

`burnish doctor` probes every table, training probes those of its own libraries before any work. Packages above the SDK
add tables under the entry-point group `burnish.compat`.
"""

from __future__ import annotations

from collections.abc import Iterator

from burnish.compat import clients, langchain, langgraph
from burnish.compat.tables import LibraryTable, PrivateName

__all__ = ["GROUP", "LibraryTable", "PrivateName", "list_tables"]

GROUP = "burnish.compat"


def list_tables() -> Iterator[LibraryTable]:
    """Yield the tables of the SDK, and those that other packages registered."""
    from importlib import metadata  # slow to import, and needed by no agent

    yield from (*langchain.TABLES, langgraph.TABLE, *clients.TABLES)
    for entry in metadata.entry_points(group=GROUP):
        yield from entry.load()
