"""Name a dataset version, and make the folder of all versions."""

from __future__ import annotations

import re
from pathlib import Path

from burnish.errors import ExportError
from burnish.files.paths import is_plain_name
from burnish.files.storage import make_private_folder


def check_name(name: str) -> str:
    """Return a dataset name that can be a folder name.

    Raises:
        ExportError: If it cannot.
    """
    if not is_plain_name(name):
        raise ExportError(
            f"dataset name {name!r}",
            "letters, digits, dots, dashes and underscores, at most 100",
            f"name={re.sub('[^A-Za-z0-9._-]+', '-', name).strip('-.') or 'dataset'!r}",
        )
    return name


def make_version_folder(folder: Path) -> Path:
    """Make the folder of all versions, if it is not there.

    Raises:
        ExportError: If it cannot be, such as where a file or a link in a circle has its name.
    """
    try:
        return make_private_folder(folder)
    except OSError as problem:
        raise ExportError(
            f"{folder} is not a folder and cannot be created: {problem.strerror}",
            "a folder for dataset versions that can be written",
            f"ls -ld {folder}",
        ) from problem
