"""Describe a rollout as plain data for the command line, pages and charts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import msgspec

from burnish.canary.analysis import Analysis
from burnish.canary.document import RolloutDocument
from burnish.canary.evaluator import PhaseEvaluator
from burnish.canary.ledger import Thread
from burnish.canary.policy import RATIO_ALARM, SUCCESS_PART
from burnish.records import Json

_BACKEND_ACTIONS = ("taken_over", "restored", "not_restored", "unloaded")


def describe_document(agent: str, document: RolloutDocument) -> dict[str, Json]:
    """Describe the control document."""
    return {
        "agent": agent,
        "state": document.state,
        "share": document.share,
        "reason": document.reason,
        "candidate": document.adapter,
        "stable": document.stable.adapter if document.stable else None,
        "previous": document.previous.adapter if document.previous else None,
        **_describe_prompts(document),
        "rollout": document.rollout,
        "forced": document.forced,
        "doubts": document.doubts,
        "step": document.step,
        "steps": document.config.steps,
        "holdback": document.holdback,
    }


def _describe_prompts(document: RolloutDocument) -> dict[str, Json]:
    """Return the prompt versions of the named versions, as far as they have some."""
    named = ("candidate", "stable", "previous")
    targets = {name: getattr(document, name) for name in named}
    return {
        f"{name}_prompt": target.prompt
        for name, target in targets.items()
        if target is not None and target.prompt is not None
    }


def count_backend_events(
    audit: Sequence[Mapping[str, Json]], document: RolloutDocument
) -> dict[str, Json]:
    """Count takeovers, reloads, failed reloads and unloads of this rollout."""
    begun = document.events[0].at_ns if document.events else 0
    found: dict[str, int] = {}
    for entry in audit:
        detail = entry["detail"]
        if entry["action"] in _BACKEND_ACTIONS and entry["at_ns"] >= begun:
            found[entry["action"]] = found.get(entry["action"], 0) + int(detail.get("times", 1))
    return dict(found)


def describe_rollout(
    agent: str,
    document: RolloutDocument,
    evaluator: PhaseEvaluator,
    arms: Mapping[str, Mapping[str, int]],
) -> dict[str, Json]:
    """Describe the control document with threads and evidence of the current phase.

    Args:
        agent: The agent.
        document: Its control document.
        evaluator: Evidence of the current phase.
        arms: Numbers of threads by arm and state.
    """
    evidence = evaluator.analysis.evidence()
    alpha, part = document.config.alpha, SUCCESS_PART if evidence.guards else 1.0
    found = describe_document(agent, document)
    if document.state == "CANARY":
        found["reason"] = evaluator.advise_move(document, time.time_ns()).reason
    return found | {
        **describe_threads(evaluator, arms),
        "window": _describe_window(document, evaluator),
        "evidence": {
            "worse": evidence.worse,
            "not_worse": evidence.not_worse,
            "guards": evidence.guards,
            "missing": evidence.missing,
            "ratio": evidence.ratio,
        },
        "design_effect": evidence.design_effect,
        "needed": {
            "rollback": 1 / (alpha * part),
            "promote": 1 / alpha,
            "missing": 1 / alpha,
            "ratio": RATIO_ALARM,
        },
        "events": msgspec.to_builtins(document.events),
        "seconds": (document.events[-1].at_ns - document.started_ns) / 1e9,
    }


def describe_threads(
    evaluator: PhaseEvaluator, arms: Mapping[str, Mapping[str, int]]
) -> dict[str, Json]:
    """Describe the threads of a phase; after a promotion also those of its canary.

    Args:
        evaluator: Evidence of the phase.
        arms: Numbers of threads by arm and state.
    """
    evidence = evaluator.analysis.evidence()
    return {
        "threads": evidence.threads,
        "successes": evidence.successes,
        "arms": {arm: _describe_arm(counts) for arm, counts in arms.items()},
        "waiting": sum(counts["open"] for counts in arms.values()),
        "missed": sum(counts["missed"] + counts["late"] for counts in arms.values()),
        "corrected": evaluator.corrected,
    }


def _describe_arm(counts: Mapping[str, int]) -> dict[str, int]:
    """Name the states of an arm's threads; a late outcome came after the window and is not compared."""
    return {
        "assigned": counts["assigned"],
        "judged": counts["judged"],
        "late": counts["late"],
        "missing": counts["missed"],
        "waiting": counts["open"],
    }


def _describe_window(document: RolloutDocument, evaluator: PhaseEvaluator) -> dict[str, Json]:
    """Describe the time to wait for outcomes, and its source."""
    if document.config.maturity_s is not None:
        return {"seconds": document.config.maturity_s, "basis": "set as maturity_s"}
    if document.window_s is not None:
        return {"seconds": document.window_s, "basis": document.window_basis}
    if document.config.decides is None:
        return {"seconds": 0.0, "basis": "outcomes are recorded by hand"}
    learned = evaluator.window_s
    basis = evaluator.window_basis or "being learnt from the outcomes of stable"
    return {"seconds": learned, "basis": basis}


def trace_evidence(threads: Sequence[Thread], state: Mapping[str, Json]) -> list[dict[str, Json]]:
    """List the evidence after each judged thread, in the order of evaluation."""
    kept = state["analysis"]
    successes, known = kept["history"]
    analysis = Analysis(
        margin=kept["margin"],
        guards=list(kept["guards"]),
        history=(successes, known),
        first=kept.get("first", 1.0),
    )
    found = []
    for thread in sorted(threads, key=lambda thread: thread.place or 0):
        analysis.add(
            thread.arm, bool(thread.success), thread.share, thread.breaches, user=thread.user
        )
        evidence = analysis.evidence()
        found.append(
            {
                "thread": thread.thread,
                "arm": thread.arm,
                "share": thread.share,
                "success": thread.success,
                "worse": evidence.worse,
                "not_worse": evidence.not_worse,
            }
        )
    return found
