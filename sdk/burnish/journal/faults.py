"""What the operating system says about a journal's files, as an error of burnish."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from burnish.errors import BurnishError, JournalFull, JournalUnwritable

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def name_fault(error: OSError, home: Path) -> JournalFull | JournalUnwritable:
    """The error of burnish for a file of the journal that could not be written."""
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
def naming_faults(home: Path) -> Iterator[None]:
    """Turn an `OSError` of the code inside into an error of burnish.

    Raises:
        JournalFull: If there is no room.
        JournalUnwritable: If something else stands in the way.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, BurnishError):
            raise
        raise name_fault(error, home) from error
