"""A new adapter meets real threads: split, watch, decide.

assignment.py   which threads go to the canary
router.py       who answers the next call of a thread
shift.py        an e-process: evidence that holds at every look
analysis.py     what the outcomes say so far
policy.py       what to do about it
ledger.py       each thread of a rollout and its outcome, in SQL
rollout.py      one rollout from its first step to its end
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from burnish.canary.analysis import Analysis, Evidence
from burnish.canary.assignment import assign

if TYPE_CHECKING:
    from burnish.canary.rollout import Rollout

__all__ = ["Analysis", "Evidence", "Rollout", "assign"]


def __getattr__(name: str) -> Any:
    if name != "Rollout":  # reads workspaces; a router does without
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module("burnish.canary.rollout").Rollout
