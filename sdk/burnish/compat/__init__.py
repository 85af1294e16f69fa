"""List the private names of other libraries that burnish uses, one table per library.

`burnish doctor` probes every table; training probes those of its own libraries before any work.
Packages above the SDK add tables under the entry-point group `burnish.compat`.
"""

from __future__ import annotations

from burnish.compat.registered_tables import GROUP, list_tables
from burnish.compat.tables import LibraryTable, PrivateName

__all__ = ["GROUP", "LibraryTable", "PrivateName", "list_tables"]
