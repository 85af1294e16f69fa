"""Counts the small files of a workspace that are damaged."""

from __future__ import annotations

import stat
from pathlib import Path

from burnish.files.storage import read_regular
from burnish.journal.documents import COPY, is_damaged
from burnish.journal.layout import WorkspaceFile
from burnish.journal.lifecycle.archived_segments import read_archive_list
from burnish.journal.lifecycle.tombstones import Tombstone, paths_of


def damaged_files(home: Path) -> list[Path]:
    """Documents of a workspace of which the file or its copy cannot be read."""
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
    """Whether something lies in the place of the redaction key that can be none."""
    try:
        status = path.lstat() if not path.exists() else path.stat()
    except OSError:
        return False
    return not stat.S_ISREG(status.st_mode) or not status.st_size


def _differs_from_copy(path: Path) -> bool:
    """Whether a file and its copy, which are written once, are not the same any more."""
    copy = path.with_name(path.name + COPY)
    try:
        return copy.exists() and read_regular(path) != read_regular(copy)
    except OSError:
        return True


def count_damaged_files(home: Path) -> int:
    """How many documents of a workspace cannot be read whole."""
    return len(damaged_files(home))
