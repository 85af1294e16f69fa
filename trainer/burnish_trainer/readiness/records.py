"""Define the records of a readiness report."""

from __future__ import annotations

from typing import Literal

import msgspec

from burnish.records import Json, Record

Level = Literal["ok", "note", "warning", "blocks"]
"""How much a finding weighs: a retrain stops at what blocks, and prints the rest."""


class ReadinessFinding(Record, frozen=True, kw_only=True):
    """The result of one check."""

    check: str
    level: Level
    found: str
    fix: str = ""  # the next command to type, or the line to write


class TrainingReason(Record, frozen=True, kw_only=True):
    """A reason to train, and what the data says about it."""

    reason: str
    holds: bool | None  # None where the data does not tell
    evidence: str


class ReadinessReport(Record, frozen=True, kw_only=True):
    """Everything that is known before a retrain costs anything."""

    agent: str
    findings: list[ReadinessFinding]
    reasons: list[TrainingReason] = msgspec.field(default_factory=list[TrainingReason])
    facts: dict[str, Json] = msgspec.field(default_factory=dict)

    @property
    def blocking(self) -> list[ReadinessFinding]:
        """Return what stops a retrain."""
        return [finding for finding in self.findings if finding.level == "blocks"]

    @property
    def ready(self) -> bool:
        """Report if nothing blocks."""
        return not self.blocking
