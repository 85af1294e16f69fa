"""List why attempts did not finish or got no verdict, by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from burnish_trainer.evaluation.attempts.ended import AttemptResult
from burnish_trainer.report.figures.shares import Json
from burnish_trainer.report.sides import MeasuredSide

_NO_REASON = "no reason was recorded"


def list_unfinished(sides: Mapping[str, MeasuredSide]) -> list[Json]:
    """Return the reasons of attempts that did not finish or got no verdict, the commonest first, with counts by side.

    Args:
        sides: Attempts by side.
    """
    counts = {
        name: Counter(
            (result, one.reason or _NO_REASON)
            for one in side.results
            if (result := _name_result(one)) is not None
        )
        for name, side in sides.items()
    }
    total: Counter[tuple[str, str]] = sum(counts.values(), Counter())
    return [
        {"result": result, "reason": reason, **{n: c[result, reason] for n, c in counts.items()}}
        for (result, reason), _ in sorted(total.items(), key=lambda item: (-item[1], item[0]))
    ]


def _name_result(one: AttemptResult) -> str | None:
    """Return the result of an attempt in words; None if it finished and was decided."""
    if one.infrastructure:
        return "error of the infrastructure, does not count"
    if one.status == "skipped":
        return "not made"
    if one.label == "unknown":
        return "no verdict"
    return f"did not finish, {one.label}" if one.status != "completed" else None
