"""Where burnish.toml is and what it holds, as plain tables.

Knows: how the file is found and that it must be TOML.
Does not know: any key; settings.py reads the table `[burnish]`, project.py the rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from burnish.errors import SettingsError

NAME = "burnish.toml"


def find(start: Path | None = None) -> Path | None:
    """The nearest burnish.toml from `start` (the current folder) upwards, or None."""
    folder = (start or Path()).absolute()
    for candidate in (folder, *folder.parents):
        path = candidate / NAME
        if path.is_file():
            return path
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
