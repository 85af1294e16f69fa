"""Files that decide what this process does must come from its user.

A settings file says where runs are sent and which code is imported, a key file which stand-ins are believed. As Git with
its repositories, burnish takes such a file only if it and the folders above it belong to the user or to root and nobody
else may write them. A sticky folder such as /tmp counts as safe for what the user owns in it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from burnish.errors import BurnishError, SettingsError


def refuse_foreign(
    path: Path,
    fix: str,
    error: type[BurnishError] = SettingsError,
    *,
    levels: int | None = None,
) -> None:
    """Refuse a file that another user owns or may change; a platform without owners refuses nothing.

    Args:
        path: The file.
        fix: What the user can do to have it used anyway.
        error: Class of the error.
        levels: How many folders above the file are looked at; None means all.

    Raises:
        BurnishError: Of the given class; it names the file or folder, its owner and its mode.
    """
    problem = foreign_part(path, levels)
    if problem:
        raise error(
            f"{path} is not used: {problem}",
            "a file that you or root own and nobody else may write, in folders of that kind",
            fix,
        )


def foreign_part(path: Path, levels: int | None = None) -> str | None:
    """What makes a file another user's to change, in words; None if nothing does."""
    if not hasattr(os, "geteuid"):
        return None
    literal = path.absolute()
    resolved = literal.resolve()
    checked = [resolved, *literal.parents[:levels], *resolved.parents[:levels]]
    problems = (_problem(part, is_file=part == resolved) for part in dict.fromkeys(checked))
    return next(filter(None, problems), None)


def _problem(path: Path, *, is_file: bool) -> str | None:
    try:
        found = path.stat()
    except OSError:
        return None  # whoever reads the file will see
    if found.st_uid not in _trusted_users():
        return f"{path} belongs to user {found.st_uid}"
    mode = stat.S_IMODE(found.st_mode)
    guarded = not is_file and mode & stat.S_ISVTX
    if not guarded and (mode & stat.S_IWOTH or (mode & stat.S_IWGRP and _is_shared(found))):
        return f"others may write {path} (mode {mode:04o})"
    return None


def _trusted_users() -> set[int]:
    """The user, root, and who became root by sudo."""
    user = os.geteuid()
    trusted = {user, 0}
    sudo = os.environ.get("SUDO_UID", "")
    return trusted | {int(sudo)} if user == 0 and sudo.isascii() and sudo.isdigit() else trusted


def _is_shared(found: os.stat_result) -> bool:
    """Whether the group of a file has members besides the file's owner; many systems give each user a group."""
    import grp
    import pwd

    try:
        owner = pwd.getpwuid(found.st_uid)
        members = set(grp.getgrgid(found.st_gid).gr_mem)
    except KeyError:
        return True
    return found.st_gid != owner.pw_gid or not members <= {owner.pw_name}
