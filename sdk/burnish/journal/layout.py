"""Where the files of a workspace lie, and which version of burnish may read them.

Knows: names of folders and files under home, `workspace.json`, private permissions.
Does not know: what is inside the files.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
from pathlib import Path

import msgspec

from burnish._version import __version__
from burnish.errors import WorkspaceError, WorkspaceTooNew

WORKSPACE_FORMAT = 1
"""Version of the folder's layout that this burnish writes."""


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
    host = re.sub(r"[^A-Za-z0-9_.]", "_", socket.gethostname()) or "host"
    return f"{host}-{os.getpid()}-{started}"


def make_process_folder(home: Path, started: int) -> tuple[Path, int]:
    """A new folder for this process's journal, and the open file whose lock says that it lives.

    Nobody sees the folder before it is locked, so nobody takes it for one of the dead.

    Raises:
        OSError: If it cannot be made.
    """
    folder = journal_folder(home) / process_name(started)
    hidden = folder.with_name(f".{folder.name}")
    hidden.mkdir(parents=True, mode=0o700)
    lock = os.open(hidden / "alive", os.O_CREAT | os.O_RDWR, 0o600)
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(lock, fcntl.LOCK_EX)
    hidden.rename(folder)
    return folder, lock


def ensure_home(home: Path) -> None:
    """Make the workspace folder if it is new, and refuse it if a newer burnish wrote it.

    Raises:
        WorkspaceTooNew: If the folder's format is above ours.
        WorkspaceError: If workspace.json cannot be read.
    """
    path = home / "workspace.json"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_once(path, msgspec.json.encode(WorkspaceFile()))
    check_home(home)


def check_home(home: Path) -> None:
    """Refuse a folder that a newer burnish wrote; a folder that is not there yet is fine.

    Raises:
        WorkspaceTooNew: If the folder's format is above ours.
        WorkspaceError: If workspace.json cannot be read.
    """
    path = home / "workspace.json"
    try:
        written = msgspec.json.decode(path.read_bytes(), type=WorkspaceFile)
    except FileNotFoundError:
        return
    except (msgspec.DecodeError, OSError, UnicodeDecodeError) as error:
        raise WorkspaceError(
            f"{path} cannot be read: {error}",
            f'a file like {{"format":{WORKSPACE_FORMAT}}}',
            "burnish doctor",
        ) from error
    if written.format > WORKSPACE_FORMAT:
        raise WorkspaceTooNew(
            f"workspace {home} has format {written.format}, written by burnish {written.burnish}",
            f"format {WORKSPACE_FORMAT} or older, which burnish {__version__} reads",
            "pip install --upgrade burnish",
        )


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a small file so that a reader sees the old or the new one, never a part."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.write_bytes(content)
    fresh.replace(path)


def _write_once(path: Path, content: bytes) -> None:
    """Write a file unless somebody else did in between."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.write_bytes(content)
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        fresh.replace(path)
        return
    fresh.unlink()
