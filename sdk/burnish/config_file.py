"""Where burnish.toml is and what it holds, as plain tables.

Finds the file and reads it as TOML; settings.py reads the table `[burnish]`, project.py the rest.

The search goes upwards and ends at the home folder and where another file system begins. A file that it finds is used
only if nobody but the user and root can change it; one that is named (BURNISH_CONFIG, `config=`) is used as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from burnish.errors import SettingsError
from burnish.ownership import refuse_foreign

NAME = "burnish.toml"


def find(start: Path | None = None) -> Path | None:
    """The nearest burnish.toml from `start` (the current folder) upwards, or None.

    Raises:
        SettingsError: If another user owns or may change the file.
    """
    for folder in _searched((start or Path()).absolute()):
        path = folder / NAME
        if path.is_file():
            refuse_foreign(path, f"BURNISH_CONFIG={path}, if you trust it")
            return path
    return None


def _searched(start: Path) -> Iterator[Path]:
    """The folder and those above it, up to the home folder or the root of the file system."""
    home, device = _home(), _device(start)
    for folder in (start, *start.parents):
        if _device(folder) != device:
            return
        yield folder
        if folder == home:
            return


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # a user without a home folder
        return None


def _device(folder: Path) -> int | None:
    try:
        return folder.stat().st_dev
    except OSError:
        return None


def read(path: Path) -> dict[str, Any]:
    """The tables of a burnish.toml.

    Raises:
        SettingsError: If the file is missing, unreadable or no TOML.
    """
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise SettingsError(
            f"{path} cannot be read ({problem.strerror or problem})",
            "a burnish.toml that declares the agents",
            "burnish.configure(config=...), or BURNISH_CONFIG=/path/to/burnish.toml",
        ) from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise SettingsError(
            f"{path} is no TOML: {problem}", "tables such as [agent.support]", f"edit {path}"
        ) from problem
