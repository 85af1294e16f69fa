"""Write files atomically, durably and privately, and lock them.

Atomic writes, `fsync` of files and folders, file locks and private modes are all here. New folders
have mode 0700 and new files 0600.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
import uuid
from collections.abc import Generator, Iterable
from pathlib import Path

from burnish.files import platform

FOLDER_MODE, FILE_MODE = 0o700, 0o600
BROKEN_JSON = (ValueError, RecursionError)
"""Errors of decoding the bytes of a damaged or foreign JSON file.

It is not JSON or has another form (`msgspec.DecodeError`, a ValueError since msgspec 0.21), is not UTF-8 (`UnicodeDecodeError`, which is not a
DecodeError), or is nested too deeply.
"""
NO_WAIT = getattr(os, "O_NONBLOCK", 0)
"""Flag with which opening a pipe returns at once."""
_POLL_S = 0.02
_DRAFT = re.compile(r"\.[0-9a-f]{32}\.new$")


def make_private_folder(folder: Path) -> Path:
    """Create a folder and its missing parents with mode 0700; an existing folder is unchanged.

    Raises:
        OSError: If it cannot be created.
    """
    missing = []
    current = folder
    while not current.is_dir():
        missing.append(current)
        current = current.parent
    for path in reversed(missing):
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)
    return folder


def make_private(path: Path) -> bool:
    """Remove the rights of group and others from a file or folder; return True if they had any.

    A file of another owner is unchanged.
    """
    try:
        mode = stat.S_IMODE(path.lstat().st_mode)
        if path.is_symlink() or not mode & 0o077:
            return False
        path.chmod(mode & 0o700)
    except OSError:
        return False
    return True


def open_private(path: Path, flags: int) -> int:
    """Open a file as `os.open` does; a file that is created has mode 0600.

    Raises:
        OSError: As `os.open`.
    """
    return os.open(path, flags, FILE_MODE)


def open_regular(path: Path) -> int:
    """Open a file for reading; refuse a pipe or a device, which would block or never end.

    Raises:
        OSError: If it cannot be opened, or is not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | NO_WAIT)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "is not a regular file", str(path))


def read_regular(path: Path) -> bytes:
    """Return the bytes of a file; refuse a pipe, like `open_regular`.

    Raises:
        OSError: If it cannot be read, or is not a regular file.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read()


def atomic_write(
    path: Path,
    content: bytes | Iterable[bytes],
    *,
    durable: bool = True,
    mode: int = FILE_MODE,
) -> None:
    """Replace a file so that a reader sees the old or the new content, never a part.

    Args:
        path: The file; its folder must exist.
        content: All of its bytes, in one piece or in several.
        durable: Force file and name to the disk before returning. Without it a power cut may
            leave the old content, or an empty file.
        mode: Rights of the file, less the umask.

    Raises:
        OSError: If the disk does not take it; the old content is then still there.
    """
    parts = (content,) if isinstance(content, bytes) else content
    draft = _write_draft(path, parts, mode, durable=durable)
    try:
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    if durable:
        sync_path(path.parent)


def write_once(path: Path, content: bytes) -> bool:
    """Write a file unless it exists; return True if this call wrote it.

    Raises:
        OSError: If the disk does not take it.
    """
    draft = _write_draft(path, (content,), FILE_MODE, durable=True)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if path.exists():
            return False
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_path(path.parent)
    return True


def _write_draft(path: Path, parts: Iterable[bytes], mode: int, *, durable: bool) -> Path:
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(parts)
            file.flush()
            if durable:
                os.fsync(file.fileno())
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft


def remove_drafts(folder: Path, name: str = "") -> None:
    """Remove drafts that killed writers left in a folder: those of one file, or all.

    A live writer loses its draft, too, and its write then fails.
    """
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.name.startswith(f".{name}") and _DRAFT.search(path.name):
                path.unlink(missing_ok=True)


def sync_path(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk; do nothing if folders cannot be opened.

    Raises:
        OSError: If the disk reports an error.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        if path.is_dir():  # Windows opens no folders
            return
        raise
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path, *, file_mode: int = FILE_MODE) -> None:
    """Make a written folder private and force its contents to the disk, except its own name.

    Raises:
        OSError: If the disk reports an error.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            continue
        if path.is_file():
            path.chmod(file_mode)
        elif path.is_dir():
            path.chmod(FOLDER_MODE)
        sync_path(path)
    folder.chmod(FOLDER_MODE)
    sync_path(folder)


class FileLock:
    """An exclusive lock on a file, which the system releases when the process ends.

    Args:
        path: The lock file; it is created if it is missing and its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    @property
    def held(self) -> bool:
        """True if this object holds the lock."""
        return self._descriptor >= 0

    def acquire(self, wait_s: float = 0.0) -> bool:
        """Take the lock, waiting at most `wait_s` seconds; return True if it is held now.

        Raises:
            OSError: If the file cannot be opened.
        """
        descriptor = open_private(self.path, os.O_CREAT | os.O_RDWR)
        ends = time.monotonic() + wait_s
        while platform.take_lock(descriptor) == "held elsewhere":
            if time.monotonic() >= ends:
                os.close(descriptor)
                return False
            time.sleep(_POLL_S)
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Release the lock."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


@contextlib.contextmanager
def try_lock(path: Path) -> Generator[bool]:
    """Hold the lock of a file inside the context if it is free; yield True if it is held.

    The lock of a file that cannot be opened is not held.
    """
    lock = FileLock(path)
    try:
        held = lock.acquire()
    except OSError:
        held = False
    try:
        yield held
    finally:
        lock.release()
