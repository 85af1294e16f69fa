"""Define the files of a workspace, their permissions, and the versions that may read them.

`ensure_home` creates a workspace or refuses one of a newer burnish; `workspace.json` holds its
format.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import msgspec

from burnish._version import __version__
from burnish.errors import WorkspaceError, WorkspaceTooNew
from burnish.files import platform
from burnish.files.storage import (
    make_private,
    make_private_folder,
    open_private,
    read_regular,
    write_once,
)
from burnish.journal.documents import COPY, read_document

WORKSPACE_FORMAT = 1
_PART = re.compile(
    r"journal|exporters|tombstones|cache|control|datasets|adapters|prompts|runs|evaluations|quality"
    r"|(index|control)\.sqlite.*|(workspace|archive)\.json.*|redaction\.key"
)
"""Version of the folder layout that this burnish writes."""


SEGMENT = re.compile(r"[0-9]{6,12}\.seg")
"""File names of segments."""


class WorkspaceFile(msgspec.Struct, kw_only=True):
    """Content of workspace.json."""

    format: int = WORKSPACE_FORMAT
    burnish: str = __version__


def journal_folder(home: Path) -> Path:
    """Return the folder that holds one folder per writing process."""
    return home / "journal"


def segment_name(number: int) -> str:
    """Return the file name of a segment."""
    return f"{number:06d}.seg"


def process_name(started: int) -> str:
    """Return the folder name of this process's journal."""
    return f"{_host_name()}-{os.getpid()}-{started}"


def process_id_of(name: str) -> int | None:
    """Return the process id in a folder name; None for a process of another host."""
    host, _, rest = name.rpartition("-")[0].rpartition("-")
    return int(rest) if host == _host_name() and rest.isdecimal() else None


def _host_name() -> str:
    return re.sub(r"[^A-Za-z0-9_.]", "_", socket.gethostname()) or "host"


def make_process_folder(home: Path, started: int) -> tuple[Path, int]:
    """Create a folder for this process's journal, and lock it.

    The lock of the returned file marks the process as alive. The folder becomes visible only when it is locked, so other processes never see it as dead.

    Raises:
        OSError: If it cannot be created.
    """
    folder = journal_folder(home) / process_name(started)
    hidden = folder.with_name(f".{folder.name}")
    make_private_folder(hidden)
    lock = open_private(hidden / "alive", os.O_CREAT | os.O_RDWR)
    platform.take_lock(lock)
    hidden.rename(folder)
    return folder, lock


def ensure_home(home: Path) -> None:
    """Create the workspace folder if it is new; refuse it if a newer burnish wrote it.

    Raises:
        WorkspaceTooNew: If the folder's format is newer than this burnish reads.
        WorkspaceError: If workspace.json cannot be read.
    """
    path = home / "workspace.json"
    if path.exists():
        mend_rights(home)
    else:
        make_private_folder(home)
        write_once(path, msgspec.json.encode(WorkspaceFile()))
    check_home(home)
    copy = path.with_name(path.name + COPY)
    if not copy.exists() and path.exists():
        write_once(copy, read_regular(path))


def parts_of(home: Path) -> list[Path]:
    """List the folders and files of burnish that are directly in a home folder."""
    try:
        return sorted(path for path in home.iterdir() if _PART.fullmatch(path.name))
    except OSError:
        return []


def open_to_others(home: Path) -> list[Path]:
    """List the home folder and its burnish parts that group or others may read.

    The parts of a private home are private too.
    """
    if not home.is_dir() or not home.stat().st_mode & 0o077:
        return []
    return [home, *(path for path in parts_of(home) if path.stat().st_mode & 0o077)]


def mend_rights(home: Path) -> None:
    """Remove the permissions of group and others from burnish's parts of a home folder.

    The home folder itself may hold other files and is not changed; `burnish doctor` names it.
    """
    for path in parts_of(home):
        make_private(path)


def check_home(home: Path) -> None:
    """Refuse a folder that a newer burnish wrote; a missing folder is accepted.

    Raises:
        WorkspaceTooNew: If the folder's format is newer than this burnish reads.
        WorkspaceError: If workspace.json cannot be read.
    """
    path = home / "workspace.json"
    found = read_document(path, WorkspaceFile)
    written = found.value
    if written is None:
        if not found.damaged:
            return
        raise WorkspaceError(
            f"{path} cannot be read",
            f'a file like {{"format":{WORKSPACE_FORMAT}}}',
            f"rm {path}, if no newer burnish wrote this workspace",
        )
    copy = read_document(path.with_name(path.name + COPY), WorkspaceFile).value
    if written.format > WORKSPACE_FORMAT and (copy is None or copy.format > WORKSPACE_FORMAT):
        raise WorkspaceTooNew(
            f"workspace {home} has format {written.format}, written by burnish {written.burnish}",
            f"format {WORKSPACE_FORMAT} or older, which burnish {__version__} reads",
            "pip install --upgrade burnish",
        )
