"""Combine several verdicts into one conclusion.

`combine()` follows three rules: all checks must agree, a check outranks a judge, and unknown admits
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from burnish.errors import NoVerifier
from burnish.records import Verdict, VerdictLabel


def combine(verdicts: Sequence[Verdict], kinds: Sequence[str] = ()) -> Verdict:
    """Conclude success if all checks say success; judges count only where no check decides.

    One failure among the checks is a failure, one unknown among them is unknown. Where a judge
    contradicts the checks, the checks stand and the evidence records the conflict.

    Args:
        verdicts: One verdict of each verifier.
        kinds: "check" or "judge" of each; missing kinds count as checks.

    Raises:
        NoVerifier: If there is no verdict to combine.
    """
    if not verdicts:
        raise NoVerifier("no verdict", "at least one verifier", 'verify=["outcome"]')
    if len(verdicts) == 1:
        return verdicts[0]
    kinds = kinds or ["check"] * len(verdicts)
    pairs = list(zip(verdicts, kinds, strict=True))
    checks = [verdict for verdict, kind in pairs if kind != "judge"]
    judges = [verdict for verdict, kind in pairs if kind == "judge"]
    decided = [verdict for verdict in checks if verdict.label != "unknown"]
    label = _all_of(checks) if decided or not judges else _all_of([*judges])
    labels = {verdict.verifier: verdict.label for verdict in verdicts}
    known = {verdict.label for verdict in verdicts} - {"unknown"}
    evidence: dict[str, object] = {"labels": labels}
    if len(known) > 1:
        evidence["conflict"] = True
    reason = next((v.evidence for v in verdicts if v.label == "unknown"), None)
    if label == "unknown" and isinstance(reason, dict) and "reason" in reason:
        evidence["reason"] = reason["reason"]
    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    costs = [verdict.cost_usd for verdict in verdicts if verdict.cost_usd is not None]
    return Verdict(
        label=label,
        verifier="+".join(verdict.verifier for verdict in verdicts),
        version="+".join(verdict.version for verdict in verdicts),
        score=min(scores) if scores else None,
        evidence=msgspec.to_builtins(evidence),
        cost_usd=sum(costs) if costs else None,
        decided_ns=max(verdict.decided_ns for verdict in verdicts),
    )


def _all_of(verdicts: list[Verdict]) -> VerdictLabel:
    labels = {verdict.label for verdict in verdicts}
    if "fail" in labels:
        return "fail"
    return "unknown" if "unknown" in labels or not labels else "success"
