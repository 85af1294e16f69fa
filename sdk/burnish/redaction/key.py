"""Keep the key of a workspace that makes pseudonyms stable from run to run.

`workspace_key` returns it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from burnish.errors import WorkspaceError
from burnish.files.ownership import refuse_foreign
from burnish.files.storage import make_private, make_private_folder, read_regular, write_once

VARIABLE = "BURNISH_REDACTION_KEY"
_FILE = "redaction.key"


def workspace_key(home: Path) -> bytes:
    """Return the key of a workspace: from BURNISH_REDACTION_KEY, else from its file, created once.

    The key shows whether a pseudonym belongs to a given original: keep it as secret as the journal.
    """
    if given := os.environ.get(VARIABLE):
        return given.encode()
    file = home / _FILE
    make_private_folder(home)
    write_once(file, secrets.token_hex(32).encode())  # another process may create it first
    return _read_key(file)


def known_keys(home: Path) -> list[bytes]:
    """Return the keys that a workspace may have used, the current one first; create none."""
    given, file = os.environ.get(VARIABLE), home / _FILE
    keys = [given.encode()] if given else []
    with contextlib.suppress(FileNotFoundError):
        keys.append(_read_key(file))
    return keys


def _read_key(file: Path) -> bytes:
    """Read the key in a file.

    Raises:
        FileNotFoundError: If the file does not exist.
        WorkspaceError: If the file cannot be read, is empty, or is writable by other users.
    """
    fix = f"set {VARIABLE}, or restore {file} from a backup"
    try:
        key = read_regular(file).strip()
    except FileNotFoundError:
        raise
    except OSError as error:
        wanted = "the key that was made with the workspace"
        raise WorkspaceError(f"{file} cannot be read: {error.strerror}", wanted, fix) from error
    refuse_foreign(file, fix, WorkspaceError, levels=1)
    if not key:
        raise WorkspaceError(f"{file} is empty", "the key that was made with the workspace", fix)
    make_private(file)
    return key
