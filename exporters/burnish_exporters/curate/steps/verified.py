"""Keep only runs whose success a verifier has confirmed.

The agent's own words never count: a run without a verdict gives no row.
"""

from __future__ import annotations

from collections.abc import Mapping

from burnish_exporters.curate.sample import KEEP, Drop, Item, Keep, Step


def keep_verified(
    labels: tuple[str, ...] = ("success",), unbelieved: Mapping[str, str] | None = None
) -> Step:
    """Keep runs with one of these labels; "unknown" is never one of them.

    Args:
        labels: Labels that admit a run.
        unbelieved: Verifiers whose success counts only beside another's, with the reason.

    Raises:
        ValueError: If the labels hold "unknown".
    """
    if "unknown" in labels:
        raise ValueError(
            "labels holds 'unknown', expected 'success' or 'fail': an unknown result admits no run"
        )

    def check_verdict(item: Item) -> Keep | Drop:
        if item.verdict is None:
            return Drop("unverified: no verdict")
        if item.verdict.label in labels:
            doubt = _distrust_reason(item, unbelieved or {})
            return Drop(f"unverified: {doubt}") if doubt else KEEP
        if item.verdict.label == "fail":
            return Drop("failed")
        return Drop(f"unverified: {_unknown_reason(item.verdict.evidence)}")

    return check_verdict


def _distrust_reason(item: Item, unbelieved: Mapping[str, str]) -> str | None:
    """Return why no trusted verifier reports a success; None if one does, or the run failed."""
    if item.verdict is None or item.verdict.label != "success":
        return None
    said = [v.verifier for v in item.verdicts or [item.verdict] if v.label == "success"]
    return unbelieved.get(said[0]) if said and all(name in unbelieved for name in said) else None


def _unknown_reason(evidence: object) -> str:
    """Return the kind of an unknown verdict from its evidence, short enough to be counted."""
    reason = evidence.get("reason") if isinstance(evidence, dict) else None
    return str(reason) if reason else "unknown"
