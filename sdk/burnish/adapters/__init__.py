"""Store adapter versions, register candidates, and point agents to the version that serves them.

store.py      immutable versions `name@sha12` on disk
registry.py   candidates with their evaluation, and the audit trail
control.py    control documents in SQL, written by compare-and-set
pointer.py    the same documents, read in microseconds for each request
"""

from __future__ import annotations

from burnish.adapters.control import SqlControlStore
from burnish.adapters.pointer import Pointer, PointerReader, Target
from burnish.adapters.registry import Candidate, Registry
from burnish.adapters.store import AdapterStore, adapter_id

__all__ = [
    "AdapterStore",
    "Candidate",
    "Pointer",
    "PointerReader",
    "Registry",
    "SqlControlStore",
    "Target",
    "adapter_id",
]
