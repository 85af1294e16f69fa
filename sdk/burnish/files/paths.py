"""Convert untrusted names and keys to paths inside a folder.

Names from another host, an object store, a manifest or a configuration file may hold `..`, an absolute path, a drive
letter or a symbolic link. `path_inside` is the only way from such a key to a path; `is_plain_name` checks one component.
"""

from __future__ import annotations

import re
from pathlib import Path

from burnish.errors import BurnishError, WorkspaceError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VERSION = re.compile(rf"{_NAME.pattern}@[0-9a-f]{{12}}")
_FORBIDDEN = re.compile(r"[\\\x00-\x1f\x7f]")


def is_plain_name(name: str) -> bool:
    """Return True if a dataset or adapter name can name a folder: letters, digits, `.`, `_`, `-`; at most 100."""
    return bool(_NAME.fullmatch(name))


def is_version_id(name: str) -> bool:
    """Return True if a text has the form of a version id, `name@sha12`."""
    return bool(_VERSION.fullmatch(name))


def is_component(name: str) -> bool:
    """Return True if a name is exactly one component of a path."""
    return name not in ("", ".", "..") and "/" not in name and not _FORBIDDEN.search(name)


def path_inside(folder: Path, key: str, error: type[BurnishError] = WorkspaceError) -> Path:
    """Return the path of a key with `/` between its components, inside the folder.

    Args:
        folder: Folder that the path must not leave, by its components or by a symbolic link.
        key: Relative key, such as a file's of an object store.
        error: Class of the error.

    Raises:
        BurnishError: Of the given class, if the key leads elsewhere.
    """
    components = key.split("/")
    if not all(map(is_component, components)) or re.match(r"[A-Za-z]:", key):
        raise error(f"key {key!r} leaves {folder}", "relative components without '..'")
    path = folder.joinpath(*components)
    try:
        target, inside = path.resolve(), folder.resolve()
    except (OSError, RuntimeError, ValueError) as problem:  # links in a circle
        raise error(f"key {key!r} leads nowhere: {problem}", f"a path inside {folder}") from problem
    if not target.is_relative_to(inside):
        raise error(f"key {key!r} leads to {target}", f"a path inside {folder}")
    return path
