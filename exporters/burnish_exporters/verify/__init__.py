"""Who says whether a run succeeded: verifiers, how they are found, run apart and combined.

Knows: the verifiers, one file each, and the order of the work: found by name (registry.py), run in a process of their
own (pool.py), one conclusion of several (combine.py), stored as frames (runs.py).
Does not know: what is done with a conclusion.

A verifier looks at facts: outcomes, states, results, references. The agent's own words are none. Whatever cannot be
known, a crash and a time-out included, is "unknown", and unknown admits nothing.
"""

from __future__ import annotations

from burnish_exporters.verify.combine import combine
from burnish_exporters.verify.goal_state import GoalState, goal_state
from burnish_exporters.verify.outcome import OutcomeVerifier, outcome
from burnish_exporters.verify.pool import PoolSettings, judge_all
from burnish_exporters.verify.reference_match import ReferenceMatch, reference_match
from burnish_exporters.verify.registry import make_verifiers
from burnish_exporters.verify.runs import VerifyReport, verify_runs

__all__ = [
    "GoalState",
    "OutcomeVerifier",
    "PoolSettings",
    "ReferenceMatch",
    "VerifyReport",
    "combine",
    "goal_state",
    "judge_all",
    "make_verifiers",
    "outcome",
    "reference_match",
    "verify_runs",
]
