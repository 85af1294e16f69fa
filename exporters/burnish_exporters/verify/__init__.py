"""Who says whether a run succeeded: verifiers, how they are found, run apart and combined.

Knows: the verifiers, one file each, and the order of the work: found by name (registry.py), run in a process of their
own (pool.py), one conclusion of several (combine.py), stored as frames (watching.py).
Does not know: what is done with a conclusion.

A verifier looks at facts: outcomes, states, results, references. The agent's own words are none. Whatever cannot be
known, a crash and a time-out included, is "unknown", and unknown admits nothing.
"""

from __future__ import annotations

from burnish_exporters.verify.code import code
from burnish_exporters.verify.code_tests import passes_tests
from burnish_exporters.verify.combine import combine
from burnish_exporters.verify.compose import all_of, any_of, weighted
from burnish_exporters.verify.dom_assert import dom_assert
from burnish_exporters.verify.goal_state import GoalState, goal_state
from burnish_exporters.verify.json_schema import json_schema
from burnish_exporters.verify.judge import judge_by
from burnish_exporters.verify.outcome import OutcomeVerifier, human, outcome
from burnish_exporters.verify.pool import PoolSettings, judge_all
from burnish_exporters.verify.quality import audit, audit_sample, tpe, wilson
from burnish_exporters.verify.reference_match import ReferenceMatch, reference_match
from burnish_exporters.verify.registry import make_verifiers
from burnish_exporters.verify.rules import rules
from burnish_exporters.verify.sql_result_set import sql_result_set
from burnish_exporters.verify.tool_calls import check_call, tool_calls
from burnish_exporters.verify.tool_results import exit_code, http_status

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
