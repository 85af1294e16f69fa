"""Write notes about an evaluation for below its table of rates."""

from __future__ import annotations

from collections import Counter
from typing import Any

from burnish.records import Evaluation


def evaluation_notes(found: Evaluation) -> list[str]:
    """Return notes on families, repeated attempts, attempts lost or not made, unstable verdicts, and cached results.

    Args:
        found: The Evaluation.
    """
    notes = [*_note_families(found), *describe_unstable(found)]
    if skipped := found.extras.get("skipped"):
        notes.append(f"{skipped} attempts were not made, because the limit of tokens was reached")
    guards: Any = found.extras.get("guards") or {}
    notes += [one["statement"] for one in guards.get("findings", []) if one["severity"] == "note"]
    lost: Any = found.extras.get("infrastructure") or {}
    known: Any = found.extras.get("remembered") or {}
    for side, name in (("before", found.before), ("after", found.after)):
        facts = lost.get(side, {"attempts": 0, "errors": {}})
        for error, count in facts["errors"].items():
            notes.append(
                f"{name or 'base'}: {count} of {facts['attempts']} attempts met an error of the "
                f"infrastructure and do not count: {error}"
            )
        if remembered := known.get(side, 0):
            notes.append(
                f"{name or 'base'}: {remembered} of {facts['attempts']} results come from the cache; "
                "burnish eval --fresh repeats the attempts"
            )
    return notes


def describe_unstable(found: Evaluation) -> list[str]:
    """Name the verifiers whose verdicts differed when a sample of runs was graded twice.

    Args:
        found: The Evaluation.
    """
    several: Any = found.extras.get("unstable_verdicts") or []
    counts = Counter(one["verifier"] for one in several)
    sizes = {one["verifier"]: one["of"] for one in several}
    return [
        f"{name} gave different verdicts on the same run in {count} of {sizes[name]} runs that were graded twice"
        for name, count in counts.items()
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
