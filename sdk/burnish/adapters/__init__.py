"""Adapter versions, who may serve, and the pointer that says who does.

store.py      immutable versions `name@sha12` on disk
registry.py   candidates with their evaluation, and the audit trail
control.py    the control documents: compare-and-set in SQL
pointer.py    the same documents read in a few microseconds on the way of a request
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
