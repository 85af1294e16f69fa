"""Convert errors of the operating system about the journal's files to burnish errors."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Generator
from pathlib import Path

from burnish.errors import BurnishError, JournalFull, JournalUnwritable

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def name_fault(error: OSError, home: Path) -> JournalFull | JournalUnwritable:
    """Return the burnish error for a journal file that could not be written."""
    if error.errno in _FULL:
        return JournalFull(
            f"no room for the journal in {home}: {error.strerror}",
            "free space on that disk",
            "burnish doctor",
        )
    return JournalUnwritable(
        f"the journal in {home} cannot be written: {error}",
        "a folder that this user may write",
        "burnish doctor",
    )


@contextlib.contextmanager
def naming_faults(home: Path) -> Generator[None]:
    """Convert an `OSError` of the enclosed code to a burnish error.

    Raises:
        JournalFull: If the disk is full.
        JournalUnwritable: If another error prevents writing.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, BurnishError):
            raise
        raise name_fault(error, home) from error
