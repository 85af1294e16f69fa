"""Count the damaged small files of a workspace."""

from __future__ import annotations

import stat
from pathlib import Path

from burnish.files.storage import read_regular
from burnish.journal.documents import COPY, is_damaged
from burnish.journal.layout import WorkspaceFile
from burnish.journal.lifecycle.archived_segments import read_archive_list
from burnish.journal.lifecycle.tombstones import Tombstone, paths_of


def damaged_files(home: Path) -> list[Path]:
    """List the documents of a workspace whose file or copy cannot be read."""
    found = [path for path in paths_of(home) if is_damaged(path, Tombstone)]
    workspace = home / "workspace.json"
    if is_damaged(workspace, WorkspaceFile) or _differs_from_copy(workspace):
        found.append(workspace)
    archive = home / "archive.json"
    if is_damaged(archive, dict) or read_archive_list(home).damaged:
        found.append(archive)
    key = home / "redaction.key"
    if _is_no_key(key):
        found.append(key)
    return found


def _is_no_key(path: Path) -> bool:
    """Return whether the file of the redaction key has content that cannot be a key."""
    try:
        status = path.lstat() if not path.exists() else path.stat()
    except OSError:
        return False
    return not stat.S_ISREG(status.st_mode) or not status.st_size


def _differs_from_copy(path: Path) -> bool:
    """Return whether a write-once file differs from its copy."""
    copy = path.with_name(path.name + COPY)
    try:
        return copy.exists() and read_regular(path) != read_regular(copy)
    except OSError:
        return True


def count_damaged_files(home: Path) -> int:
    """Count the documents of a workspace that cannot be read whole."""
    return len(damaged_files(home))
