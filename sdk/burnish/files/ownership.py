"""Refuse files that control this process and that another user can change.

A settings file names the receiver of runs and the code to import; a key file defines pseudonyms.
Like Git with its repositories, burnish uses such a file only if it and the folders above it belong
to the user or root and other users may not write them. A sticky folder such as /tmp is safe for
files that the user owns.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path


def refuse_foreign(
    path: Path,
    fix: str,
    error: Callable[[str, str, str], Exception],
    *,
    levels: int | None = None,
) -> None:
    """Refuse a file that another user owns or may change; platforms without owners refuse nothing.

    Args:
        path: The file.
        fix: The command or setting with which the file is used anyway.
        error: Makes the error from what was found, what was expected and the fix.
        levels: Number of parent folders to check; None means all.

    Raises:
        Exception: The error that `error` makes; it names the file or folder, its owner and its mode.
    """
    problem = describe_foreign_part(path, levels)
    if problem:
        raise error(
            f"{path} is not used: {problem}",
            "a file that only you or root own and may write, in such folders",
            fix,
        )


def describe_foreign_part(path: Path, levels: int | None = None) -> str | None:
    """Describe why another user can change a file; None if only the user and root can."""
    if not hasattr(os, "geteuid"):
        return None
    literal = path.absolute()
    resolved = literal.resolve()
    checked = [resolved, *literal.parents[:levels], *resolved.parents[:levels]]
    problems = (
        _describe_problem(part, is_file=part == resolved) for part in dict.fromkeys(checked)
    )
    return next(filter(None, problems), None)


def _describe_problem(path: Path, *, is_file: bool) -> str | None:
    try:
        found = path.stat()
    except OSError:
        return None  # reading the file will fail, too
    if found.st_uid not in _trusted_users():
        return f"{path} belongs to user {found.st_uid}"
    mode = stat.S_IMODE(found.st_mode)
    guarded = not is_file and mode & stat.S_ISVTX
    if not guarded and (mode & stat.S_IWOTH or (mode & stat.S_IWGRP and _is_shared(found))):
        return f"others may write {path} (mode {mode:04o})"
    return None


def _trusted_users() -> set[int]:
    """Return the user, root, and the user behind sudo."""
    user = os.geteuid()
    trusted = {user, 0}
    sudo = os.environ.get("SUDO_UID", "")
    return trusted | {int(sudo)} if user == 0 and sudo.isascii() and sudo.isdigit() else trusted


def _is_shared(found: os.stat_result) -> bool:
    """Return True if a file's group has members besides its owner; many systems give each user a group."""
    import grp
    import pwd

    try:
        owner = pwd.getpwuid(found.st_uid)
        members = set(grp.getgrgid(found.st_gid).gr_mem)
    except KeyError:
        return True
    return found.st_gid != owner.pw_gid or not members <= {owner.pw_name}
