"""The command line: `burnish ...`.

Knows: how commands are found and how an error becomes an exit code.
Does not know: what the commands of the packages above do; they are entry points.

Exit codes: 0 done; 1 an error that burnish explains; 2 wrong usage; 3 the gate did not promote;
130 interrupted (what was done so far is kept, the same command goes on).
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    from burnish.cli.app import build_app
    from burnish.cli.output import report_error
    from burnish.errors import BurnishError

    try:
        build_app()()
    except BurnishError as error:
        report_error(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
