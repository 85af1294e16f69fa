"""Write notes about an evaluation for below its table of rates."""

from __future__ import annotations

from collections import Counter
from typing import Any

from burnish.records import Evaluation
from burnish_trainer.evaluation.attempts.arm_version import read_versions
from burnish_trainer.gate_evidence import describe_unstable

_SHOWN = 5  # tasks that are named


def evaluation_notes(found: Evaluation) -> list[str]:
    """Return notes on training tasks, families, repeated attempts, attempts lost or not made, unstable verdicts, and cached results.

    Args:
        found: The Evaluation.
    """
    notes = [*_note_trained(found), *_note_families(found), *describe_unstable(found)]
    if skipped := found.extras.get("skipped"):
        notes.append(f"{skipped} attempts were not made, because the limit of tokens was reached")
    guards: Any = found.extras.get("guards") or {}
    notes += [one["statement"] for one in guards.get("findings", []) if one["severity"] == "note"]
    lost: Any = found.extras.get("infrastructure") or {}
    known: Any = found.extras.get("remembered") or {}
    for side, version in zip(("before", "after"), read_versions(found), strict=True):
        name = version.label
        facts = lost.get(side, {"attempts": 0, "errors": {}})
        for error, count in facts["errors"].items():
            notes.append(
                f"{name}: {count} of {facts['attempts']} attempts met an error of the "
                f"infrastructure and do not count: {error}"
            )
        notes += _note_unfinished(found, side, name)
        if remembered := known.get(side, 0):
            notes.append(
                f"{name}: {remembered} of {facts['attempts']} results come from the cache; "
                "burnish eval --fresh repeats the attempts"
            )
    return notes


def _note_trained(found: Evaluation) -> list[str]:
    """Note the measured tasks of each pool that are also training tasks, by their kind of overlap."""
    pools: Any = found.extras.get("also_trained") or {}
    notes: list[str] = []
    for pool, facts in pools.items():
        if problem := facts.get("problem"):
            notes.append(f"{pool}: its tasks were not compared with training tasks: {problem}")
        trained: dict[str, str] = facts.get("trained") or {}
        if trained:
            kinds = ", ".join(f"{n} {kind}" for kind, n in Counter(trained.values()).most_common())
            named = ", ".join(list(trained)[:_SHOWN]) + (", ..." if len(trained) > _SHOWN else "")
            notes.append(
                f"{pool}: {len(trained)} of {facts['tasks']} tasks are also training tasks ({kinds}: {named}); "
                f"success on them proves nothing; burnish tasks check {found.agent} lists them"
            )
    return notes


def _note_unfinished(found: Evaluation, side: str, name: str) -> list[str]:
    """Note what ended attempts that count as failures: a limit, or an error of the agent; the three commonest."""
    attempts: Any = found.extras.get("attempts") or {}
    rows: list[dict[str, Any]] = attempts.get(side) or []
    counted = Counter(
        row["reason"]
        for row in rows
        if row.get("label") == "fail" and row.get("status") != "completed" and row.get("reason")
    )
    return [
        f"{name}: {count} of {len(rows)} attempts did not finish and failed: {str(reason)[:200]}"
        for reason, count in counted.most_common(3)
    ]


def _note_families(found: Evaluation) -> list[str]:
    """Note the families that count as one, and the repeated attempts of the version before."""
    notes = [
        f"{name}: {len(pool.tasks)} tasks in {pool.families} families; the interval is that of families "
        f"(design effect {pool.design_effect:.1f})"
        for name, pool in found.pools.items()
        if pool.families < len(pool.tasks)
    ]
    repeated = found.extras.get("repeated")
    if repeated:
        notes.append(
            f"{found.before or 'base'}: {repeated} further attempts at tasks it had solved tell regressions from chance"
        )
    return notes
