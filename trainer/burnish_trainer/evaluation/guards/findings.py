"""Define what a guard finds."""

from __future__ import annotations

from typing import Literal

from burnish.records import Record

Severity = Literal["reject", "doubt", "note"]


class Finding(Record, frozen=True, kw_only=True):
    """One thing that a guard found."""

    name: str  # such as collapse.replacement or drift.prompt
    severity: Severity  # reject and doubt count at the gate, a note is only shown
    statement: str
