"""Keep only runs whose success was confirmed by a verifier.

Knows one thing: which labels admit a run, and whose. Does not know how a label came about.

The agent's own words are not looked at here or anywhere else: no verdict, no row.
"""

from __future__ import annotations

from collections.abc import Mapping

from burnish_exporters.curate.sample import KEEP, Drop, Item, Keep, Step


def verified(
    labels: tuple[str, ...] = ("success",), unbelieved: Mapping[str, str] | None = None
) -> Step:
    """Keep runs with one of these labels; "unknown" is never one of them.

    Args:
        labels: Labels that admit.
        unbelieved: Verifiers whose success counts only beside another's, with the reason.

    Raises:
        ValueError: If "unknown" is asked for.
    """
    if "unknown" in labels:
        raise ValueError(
            "labels holds 'unknown', expected 'success' or 'fail': an unknown result admits no run"
        )

    def step(item: Item) -> Keep | Drop:
        if item.verdict is None:
            return Drop("unverified: no verdict")
        if item.verdict.label in labels:
            doubt = _doubt(item, unbelieved or {})
            return Drop(f"unverified: {doubt}") if doubt else KEEP
        if item.verdict.label == "fail":
            return Drop("failed")
        return Drop(f"unverified: {_why(item.verdict.evidence)}")

    return step


def _doubt(item: Item, unbelieved: Mapping[str, str]) -> str | None:
    """Why nobody who is believed says success; None where someone does, or the run failed."""
    if item.verdict is None or item.verdict.label != "success":
        return None
    said = [v.verifier for v in item.verdicts or [item.verdict] if v.label == "success"]
    return unbelieved.get(said[0]) if said and all(name in unbelieved for name in said) else None


def _why(evidence: object) -> str:
    """The kind of unknown, from the evidence; short, so that reasons can be counted."""
    reason = evidence.get("reason") if isinstance(evidence, dict) else None
    return str(reason) if reason else "unknown"
