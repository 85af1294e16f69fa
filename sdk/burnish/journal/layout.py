"""Where the files of a workspace lie, and which version of burnish may read them.

Knows: names of folders and files under home, `workspace.json`, private permissions.
Does not know: what is inside the files.
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
    r"journal|exporters|tombstones|cache|control|datasets|adapters|runs|evaluations|quality"
    r"|(index|control)\.sqlite.*|(workspace|archive)\.json.*|redaction\.key"
)
"""Version of the folder's layout that this burnish writes."""


SEGMENT = re.compile(r"[0-9]{6,12}\.seg")
"""Names of the files that are segments."""


class WorkspaceFile(msgspec.Struct, kw_only=True):
    """Content of workspace.json."""

    format: int = WORKSPACE_FORMAT
    burnish: str = __version__


def journal_folder(home: Path) -> Path:
    """Folder that holds one folder per writing process."""
    return home / "journal"


def segment_name(number: int) -> str:
    """File name of a segment."""
    return f"{number:06d}.seg"


def process_name(started: int) -> str:
    """Folder name of this process's journal."""
    return f"{_host_name()}-{os.getpid()}-{started}"


def process_id_of(name: str) -> int | None:
    """Return the process that a folder is named after; None for one of another host."""
    host, _, rest = name.rpartition("-")[0].rpartition("-")
    return int(rest) if host == _host_name() and rest.isdecimal() else None


def _host_name() -> str:
    return re.sub(r"[^A-Za-z0-9_.]", "_", socket.gethostname()) or "host"


def make_process_folder(home: Path, started: int) -> tuple[Path, int]:
    """A new folder for this process's journal, and the open file whose lock says that it lives.

    Nobody sees the folder before it is locked, so nobody takes it for one of the dead.

    Raises:
        OSError: If it cannot be made.
    """
    folder = journal_folder(home) / process_name(started)
    hidden = folder.with_name(f".{folder.name}")
    make_private_folder(hidden)
    lock = open_private(hidden / "alive", os.O_CREAT | os.O_RDWR)
    platform.take_lock(lock)
    hidden.rename(folder)
    return folder, lock


def ensure_home(home: Path) -> None:
    """Make the workspace folder if it is new, and refuse it if a newer burnish wrote it.

    Raises:
        WorkspaceTooNew: If the folder's format is above ours.
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
    """Folders and files of burnish that lie directly in a home folder."""
    try:
        return sorted(path for path in home.iterdir() if _PART.fullmatch(path.name))
    except OSError:
        return []


def open_to_others(home: Path) -> list[Path]:
    """Which of a home folder and burnish's own parts of it group or others may look into.

    A home that is private keeps all its parts from others.
    """
    if not home.is_dir() or not home.stat().st_mode & 0o077:
        return []
    return [home, *(path for path in parts_of(home) if path.stat().st_mode & 0o077)]


def mend_rights(home: Path) -> None:
    """Take the rights of group and others from what burnish keeps in a home folder.

    The home folder itself may hold other people's files and stays as it is; `burnish doctor`
    names it.
    """
    for path in parts_of(home):
        make_private(path)


def check_home(home: Path) -> None:
    """Refuse a folder that a newer burnish wrote; a folder that is not there yet is fine.

    Raises:
        WorkspaceTooNew: If the folder's format is above ours.
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
