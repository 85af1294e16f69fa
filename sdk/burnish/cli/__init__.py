"""Run the command line `burnish ...`.

Commands of the packages above the SDK are entry points.

Exit codes: 0 done; 1 an error that burnish explains; 2 wrong usage; 3 the gate did not promote;
130 interrupted (finished work is kept, and the same command continues).
"""

from __future__ import annotations

from burnish.cli.entry import main

__all__ = ["main"]
