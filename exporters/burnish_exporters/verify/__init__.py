"""Decide whether a run succeeded: find verifiers, run them in isolation, combine their verdicts.

`make_verifiers()` (registry.py) builds verifiers from burnish.toml, `judge_all()` (running/pool.py)
runs them in their own processes, `combine()` (running/combination.py) makes one conclusion of
several verdicts, and running/watching.py writes the verdicts to the journal as frames. Each
verifier is one file in checks/.

Verifiers look at facts: outcomes, states, tool results and references. The agent's own words are no
evidence. A crash, a time-out and missing evidence all give "unknown", and "unknown" never admits a
run to a dataset.
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
