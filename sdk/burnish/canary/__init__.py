"""Roll an adapter out to live traffic: assign threads, collect outcomes, promote or roll back.

assignment.py   hash of a thread to an arm
router.py       target of a thread's next call
e_process.py    sequential test, valid at any look
analysis.py     evidence of all metrics
policy.py       next move, given the evidence
guards.py       errors, tokens and latency of threads
maturity.py     how long outcomes are waited for
outcomes.py     arms and outcomes of threads, from the journal
evaluator.py    outcomes of threads, in order, to moves
ledger.py       threads of a rollout and their outcomes, in SQL
rollout.py      one rollout from its first step to its end
reconciler.py   what backends serve against what the document asks for
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burnish.canary.analysis import Analysis, Evidence
from burnish.canary.assignment import assign
from burnish.imports.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from burnish.canary.rollout import Rollout

__all__ = ["Analysis", "Evidence", "Rollout", "assign"]

__getattr__, __dir__ = lazy_exports(__name__, {"Rollout": "burnish.canary.rollout"}, always=__all__)
