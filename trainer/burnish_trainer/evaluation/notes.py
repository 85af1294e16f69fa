"""Write notes about an evaluation for below its table of rates."""

from __future__ import annotations

from typing import Any

from burnish.records import Evaluation


def evaluation_notes(found: Evaluation) -> list[str]:
    """Return notes on attempts lost to the backend and on cached results.

    Args:
        found: The Evaluation.
    """
    notes = []
    lost: Any = found.extras.get("infrastructure") or {}
    known: Any = found.extras.get("remembered") or {}
    for side, name in (("before", found.before), ("after", found.after)):
        facts = lost.get(side, {"attempts": 0, "errors": {}})
        for error, count in facts["errors"].items():
            notes.append(
                f"{name or 'base'}: {count} of {facts['attempts']} attempts met an error of the "
                f"backend and do not count: {error}"
            )
        if remembered := known.get(side, 0):
            notes.append(
                f"{name or 'base'}: {remembered} of {facts['attempts']} results come from the cache; "
                "burnish eval --fresh repeats the attempts"
            )
    return notes
