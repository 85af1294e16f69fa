"""Write files that the user names, and say clearly why one cannot be written.

`check_output` finds what is in the way before the work begins, `write_output` writes a text, and `explain_unwritable` wraps
writers of their own. Folders that are missing are made. Reports (HTML and Markdown) end in a mark that `is_output` finds:
the hash of an agent's code covers the prompts beside it, and a report that is written there must not change it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

from burnish.errors import BurnishError, SettingsError

_MARK = "<!-- written by burnish -->"
_MARKED = frozenset({".md", ".markdown", ".html", ".htm"})
_TAIL_BYTES = 256


def write_output(path: Path, text: str, option: str) -> None:
    """Write a text to a file that the user named, in UTF-8; a report gets the mark of burnish.

    Args:
        path: The file; its folder is made if it is missing.
        text: Content; what no file can hold becomes a question mark.
        option: Option or argument that named the file, as one types it.

    Raises:
        SettingsError: The file cannot be written.
    """
    check_output(path, option)
    if path.suffix.lower() in _MARKED:
        text = f"{text.rstrip()}\n{_MARK}\n"
    with explain_unwritable(path, option):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")


def is_output(content: bytes) -> bool:
    """Return whether a file is a report that `write_output` wrote.

    Args:
        content: Its bytes.
    """
    return _MARK.encode() in content[-_TAIL_BYTES:]


def check_output(path: Path, option: str, *, folder: bool = False) -> None:
    """Refuse a place where nothing can be written, before any work is done for it.

    Args:
        path: The file, or the folder that files are written into.
        option: Option or argument that named it, as one types it.
        folder: Whether it is a folder.

    Raises:
        SettingsError: Nothing can be written there.
    """
    with explain_unwritable(path, option):
        reason = _find_obstacle(path, folder=folder)
    if reason is not None:
        raise _unwritable_error(path, option, reason)


@contextlib.contextmanager
def explain_unwritable(path: Path | str, option: str) -> Generator[None]:
    """Turn the operating system's error inside the block into one clear error.

    Args:
        path: The file, folder or URL that is written.
        option: Option or argument that named it, as one types it.

    Raises:
        SettingsError: The operating system refused.
    """
    try:
        yield
    except BurnishError:  # some of our tree are errors of the operating system too
        raise
    except OSError as problem:
        reason = problem.strerror or str(problem)
        other = problem.filename is not None and str(problem.filename) != str(path)
        named = f"{reason} ({problem.filename})" if other else reason
        raise _unwritable_error(path, option, named) from problem


def _find_obstacle(path: Path, *, folder: bool) -> str | None:
    """Return why nothing can be written at a path; None if no reason is seen."""
    if not folder and path.is_dir():
        return "it is a folder"
    if not folder and path.exists():
        return None if os.access(path, os.W_OK) else "the file may not be changed"
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return f"{place} is a file" if place != path else "it is a file"
    return None if os.access(place, os.W_OK) else f"the folder {place} may not be written"


def _unwritable_error(path: Path | str, option: str, reason: str) -> SettingsError:
    name = Path(path).name[:60] or "output"
    inside = isinstance(path, Path) and os.access(f"{path}/", os.W_OK)
    suggested = Path(path) / f"{name}.out" if inside else Path.home() / name
    return SettingsError(
        f"{path} cannot be written: {reason}",
        "a place where a file can be written",
        f"{option} {suggested}".strip(),
    )


__all__ = ["check_output", "explain_unwritable", "is_output", "write_output"]
