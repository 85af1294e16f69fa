"""The command line: `burnish ...`.

Knows: how commands are found and how an error becomes an exit code.
Does not know: what the commands of the packages above do; they are entry points.

Exit codes: 0 done; 1 an error that burnish explains; 2 wrong usage; 3 the gate did not promote;
130 interrupted (what was done so far is kept, the same command goes on).
"""

from __future__ import annotations

import errno
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from burnish.errors import BurnishError


def main() -> None:
    """Run the command line and leave with its exit code."""
    from burnish.cli.output import INTERRUPTED, report_error, report_interrupt
    from burnish.errors import BurnishError

    try:
        from burnish.cli.app import build_app

        build_app()()
    except BurnishError as error:
        report_error(error)
        sys.exit(1)
    except ModuleNotFoundError as problem:
        from burnish.extras import explain_missing_module

        missing = explain_missing_module(problem)
        if missing is None:
            raise
        report_error(missing)
        sys.exit(1)
    except KeyboardInterrupt:
        report_interrupt()
        sys.exit(INTERRUPTED)
    except Exception as problem:
        full = _full_disk(problem)
        if full is None:
            raise
        report_error(full)
        sys.exit(1)


def _full_disk(problem: BaseException | None) -> BurnishError | None:
    """What to say if a full disk or quota is behind an exception, however it was passed on."""
    from burnish.errors import WorkspaceError

    while problem is not None:
        if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f" for {problem.filename}" if problem.filename else ""
            what = "space is left" if problem.errno == errno.ENOSPC else "quota is left"
            return WorkspaceError(
                f"no {what}{where}",
                "a disk that takes writes",
                "free space; the same command goes on",
            )
        problem = problem.__cause__ or problem.__context__
    return None
