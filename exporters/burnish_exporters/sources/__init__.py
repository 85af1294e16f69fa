"""Read runs from every kind of source that yields spans or trajectories."""

from __future__ import annotations

from burnish_exporters.sources.archive import ArchiveSource
from burnish_exporters.sources.demonstrations import Demonstrations
from burnish_exporters.sources.journal import JournalSource
from burnish_exporters.sources.otlp_files import OtlpFiles
from burnish_exporters.sources.reading import (
    Source,
    describe_source,
    read_trajectories,
    workspace_of,
)

__all__ = [
    "ArchiveSource",
    "Demonstrations",
    "JournalSource",
    "OtlpFiles",
    "Source",
    "describe_source",
    "read_trajectories",
    "workspace_of",
]
