"""Who says whether a run succeeded: verifiers, how they are found, run apart and combined.

Knows: the verifiers, one file each, and the order of the work: found by name (registry.py), run in a process of their
own (pool.py), one conclusion of several (combine.py), stored as frames (watching.py).
Does not know: what is done with a conclusion.

A verifier looks at facts: outcomes, states, results, references. The agent's own words are none. Whatever cannot be
known, a crash and a time-out included, is "unknown", and unknown admits nothing.
"""

from __future__ import annotations

from burnish_exporters.verify.checks.code import code
from burnish_exporters.verify.checks.code_tests import passes_tests
from burnish_exporters.verify.checks.composed import all_of, any_of, weighted
from burnish_exporters.verify.checks.dom_assert import dom_assert
from burnish_exporters.verify.checks.goal_state import GoalState, goal_state
from burnish_exporters.verify.checks.json_schema import json_schema
from burnish_exporters.verify.checks.judge import judge_by
from burnish_exporters.verify.checks.outcome import OutcomeVerifier, human, outcome
from burnish_exporters.verify.checks.reference_match import ReferenceMatch, reference_match
from burnish_exporters.verify.checks.rules import rules
from burnish_exporters.verify.checks.sql_result_set import sql_result_set
from burnish_exporters.verify.checks.tool_calls import check_call, tool_calls
from burnish_exporters.verify.checks.tool_results import exit_code, http_status
from burnish_exporters.verify.registry import make_verifiers
from burnish_exporters.verify.running.combination import combine
from burnish_exporters.verify.running.pool import PoolSettings, judge_all
from burnish_exporters.verify.trust.metrics import audit, audit_sample, tpe, wilson

__all__ = [
    "GoalState",
    "OutcomeVerifier",
    "PoolSettings",
    "ReferenceMatch",
    "all_of",
    "any_of",
    "audit",
    "audit_sample",
    "check_call",
    "code",
    "combine",
    "dom_assert",
    "exit_code",
    "goal_state",
    "http_status",
    "human",
    "json_schema",
    "judge_all",
    "judge_by",
    "make_verifiers",
    "outcome",
    "passes_tests",
    "reference_match",
    "rules",
    "sql_result_set",
    "tool_calls",
    "tpe",
    "weighted",
    "wilson",
]
