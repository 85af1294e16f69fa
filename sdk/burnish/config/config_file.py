"""Find burnish.toml and read it as plain tables.

settings.py decodes the table `[burnish]`, project.py the rest. The search goes upwards and ends at the home folder or
at another file system. A file found by search is used only if the user and root alone can change it; a file
that is named (BURNISH_CONFIG, `config=`) is always used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from burnish.errors import SettingsError
from burnish.files.ownership import refuse_foreign

NAME = "burnish.toml"


def find_config(start: Path | None = None) -> Path | None:
    """Return the nearest burnish.toml from `start` (the current folder) upwards, or None.

    Raises:
        SettingsError: If another user owns or may change the file.
    """
    for folder in _search_folders((start or Path()).absolute()):
        path = folder / NAME
        if path.is_file():
            refuse_foreign(path, f"BURNISH_CONFIG={path}, if you trust it", SettingsError)
            return path
    return None


def _search_folders(start: Path) -> Iterator[Path]:
    """Yield the folder and its parents, up to the home folder or the root of the file system."""
    home, device = _home_folder(), _device_of(start)
    for folder in (start, *start.parents):
        if _device_of(folder) != device:
            return
        yield folder
        if folder == home:
            return


def _home_folder() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # a user without a home folder
        return None


def _device_of(folder: Path) -> int | None:
    try:
        return folder.stat().st_dev
    except OSError:
        return None


def read_tables(path: Path) -> dict[str, Any]:
    """Read the tables of a burnish.toml.

    Raises:
        SettingsError: If the file is missing, unreadable or not TOML.
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
            f"{path} is not TOML: {problem}", "tables such as [agent.support]", f"edit {path}"
        ) from problem
