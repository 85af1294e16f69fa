"""Run a command, and turn an error that burnish explains into its exit code.

`main` is the entry.
"""

from __future__ import annotations

import errno
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from burnish.errors import BurnishError


def main() -> None:
    """Run the command line and exit with its code."""
    from burnish.cli.output import INTERRUPTED, report_error, report_interrupt
    from burnish.errors import BurnishError

    try:
        from burnish.cli.app import build_app

        build_app()()
    except BurnishError as error:
        report_error(error)
        sys.exit(1)
    except ModuleNotFoundError as problem:
        from burnish.imports.extras import explain_missing_module

        missing = explain_missing_module(problem)
        if missing is None:
            raise
        report_error(missing)
        sys.exit(1)
    except KeyboardInterrupt:
        report_interrupt()
        sys.exit(INTERRUPTED)
    except Exception as problem:
        full = _explain_full_disk(problem)
        if full is None:
            raise
        report_error(full)
        sys.exit(1)


def _explain_full_disk(problem: BaseException | None) -> BurnishError | None:
    """Return the error to report if a full disk or quota is the cause of an exception."""
    from burnish.errors import WorkspaceError

    while problem is not None:
        if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f" for {problem.filename}" if problem.filename else ""
            what = "space is left" if problem.errno == errno.ENOSPC else "quota is left"
            return WorkspaceError(
                f"no {what}{where}",
                "a disk with free space",
                "free space; the same command continues",
            )
        problem = problem.__cause__ or problem.__context__
    return None
