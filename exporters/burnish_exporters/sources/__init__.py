"""Where runs come from: anything that gives spans or trajectories.

Knows: how each accepted kind of source is read. Does not know: what is done with what was read.
"""

from __future__ import annotations

from burnish_exporters.sources.archive import ArchiveSource
from burnish_exporters.sources.demonstrations import Demonstrations
from burnish_exporters.sources.journal import JournalSource
from burnish_exporters.sources.otlp_files import OtlpFiles
from burnish_exporters.sources.reading import Source, describe, read, workspace_of

__all__ = [
    "ArchiveSource",
    "Demonstrations",
    "JournalSource",
    "OtlpFiles",
    "Source",
    "describe",
    "read",
    "workspace_of",
]
