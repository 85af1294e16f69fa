"""A rollout as plain data: for the command line, pages and pictures.

Knows: what is shown of a rollout. Does not know: how it is kept or moved.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import msgspec

from burnish.canary.document import Document
from burnish.canary.judge import Judge
from burnish.canary.ledger import Thread
from burnish.canary.policy import SUCCESS_PART
from burnish.records import Json

_BACKEND_ACTIONS = ("taken_over", "restored", "not_restored", "unloaded")


def facts(agent: str, document: Document) -> dict[str, Json]:
    """What the control document alone says."""
    return {
        "agent": agent,
        "state": document.state,
        "share": document.share,
        "reason": document.reason,
        "candidate": document.adapter,
        "stable": document.stable.adapter if document.stable else None,
        "previous": document.previous.adapter if document.previous else None,
        "rollout": document.rollout,
        "forced": document.forced,
        "doubts": document.doubts,
        "step": document.step,
        "steps": document.config.steps,
        "holdback": document.holdback,
    }


def backend_events(audit: Sequence[Mapping[str, Json]], document: Document) -> dict[str, Json]:
    """How often backends lost a version in this rollout, it was loaded again, or another answered."""
    begun = document.events[0].at_ns if document.events else 0
    found: dict[str, int] = {}
    for entry in audit:
        detail = entry["detail"]
        if entry["action"] in _BACKEND_ACTIONS and entry["at_ns"] >= begun:
            found[entry["action"]] = found.get(entry["action"], 0) + int(detail.get("times", 1))
    return dict(found)


def whole(
    agent: str, document: Document, judge: Judge, counts: Mapping[str, int]
) -> dict[str, Json]:
    """The same with threads and evidence of the present phase."""
    evidence = judge.analysis.evidence()
    alpha, part = document.config.alpha, SUCCESS_PART if evidence.guards else 1.0
    found = facts(agent, document)
    if document.state == "CANARY":
        found["reason"] = judge.advice(document, time.time_ns()).reason
    return found | {
        "threads": evidence.threads,
        "successes": evidence.successes,
        "waiting": counts["open"],
        "missed": counts["missed"],
        "evidence": {
            "worse": evidence.worse,
            "not_worse": evidence.not_worse,
            "guards": evidence.guards,
            "ratio": evidence.ratio,
        },
        "needed": {"rollback": 1 / (alpha * part), "promote": 1 / alpha},
        "events": msgspec.to_builtins(document.events),
        "seconds": (document.events[-1].at_ns - document.started_ns) / 1e9,
    }


def trail(
    document: Document, threads: Sequence[Thread], state: Mapping[str, Json]
) -> list[dict[str, Json]]:
    """The evidence after each judged thread, in the order of judgement."""
    successes, known = state["analysis"]["history"]
    judge = Judge(document, history=(successes, known))
    found = []
    for thread in sorted(threads, key=lambda thread: thread.place or 0):
        judge.analysis.add(thread.arm, bool(thread.success), thread.share, thread.breaches)
        evidence = judge.analysis.evidence()
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
