"""Verifiers `outcome` and `human`: decide from outcomes that were reported from outside.

`outcome()` builds the verifier. The newest outcome of each source counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from burnish.errors import VerificationError
from burnish.origins import comes_with_import, may_decide
from burnish.protocols import VerifierTraits
from burnish.records import Outcome, Trajectory, Verdict, VerdictLabel
from burnish_exporters.verify.verdicts import unknown

_WORDS: dict[str, VerdictLabel] = {
    "success": "success",
    "pass": "success",
    "good": "success",
    "fail": "fail",
    "failure": "fail",
    "bad": "fail",
}


@dataclass(frozen=True, kw_only=True)
class OutcomeVerifier:
    """Read the outcomes of a trajectory; see outcome()."""

    source: str | None = None
    at_least: float | None = None
    trust_received: tuple[str, ...] = ()
    name: str = "outcome"
    version: str = "1"
    traits = VerifierTraits(reads_outcomes=True, isolated=False)

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge one trajectory by what was reported."""
        newest: dict[str, Outcome] = {}
        deciding = [
            found
            for found in trajectory.outcomes
            if may_decide(found.origin, found.source, self.trust_received)
            or comes_with_import(trajectory, found.origin)
        ]
        for found in deciding:
            known = newest.get(found.source)
            if known is None or found.reported_ns >= known.reported_ns:
                newest[found.source] = found
        if self.source is not None:
            newest = {s: found for s, found in newest.items() if s == self.source}
        labels: dict[str, VerdictLabel | None] = {
            source: self._label(found) for source, found in sorted(newest.items())
        }
        decided: list[VerdictLabel] = [label for label in labels.values() if label is not None]
        if not newest:
            return unknown(self, *self._why_none(trajectory))
        if len(set(decided)) != 1:
            reason = "conflicting outcomes" if decided else "outcome says neither"
            return unknown(self, reason, str(labels))
        scores = [found.score for found in newest.values() if found.score is not None]
        return Verdict(
            label=decided[0],
            verifier=self.name,
            version=self.version,
            score=scores[0] if len(scores) == 1 and 0 <= scores[0] <= 1 else None,
            evidence={"outcomes": labels},
        )

    def _why_none(self, trajectory: Trajectory) -> tuple[str, str]:
        """Return reason and detail of a run that has no outcome that decides."""
        others = [f for f in trajectory.outcomes if self.source in (None, f.source)]
        if not others:
            return "no outcome was reported", ""
        found = ", ".join(sorted({f"{other.source} ({other.origin})" for other in others}))
        return "no outcome of a trusted source", found

    def _label(self, found: Outcome) -> VerdictLabel | None:
        word = _WORDS.get((found.label or "").strip().lower())
        if found.success is not None:
            said: VerdictLabel = "success" if found.success else "fail"
            return said if word in (None, said) else None  # an outcome that contradicts itself
        if found.score is not None and self.at_least is not None:
            return "success" if found.score >= self.at_least else "fail"
        return word


def outcome(
    source: str | None = None,
    *,
    at_least: float | None = None,
    trust_received: Sequence[str] = (),
    name: str = "outcome",
) -> OutcomeVerifier:
    """Decide from the facts that burnish.outcome() reported.

    Sources that contradict each other give unknown.

    Args:
        source: Read only this source's outcomes; by default all sources.
        at_least: Score from which on a run counts as success, where only a score was reported.
        trust_received: Sources whose outcomes decide even if they were received or imported.
        name: Name under which verdicts are stored.

    Raises:
        VerificationError: If `at_least` is not a finite number.
    """
    if at_least is not None and not math.isfinite(at_least):
        raise VerificationError(f"at_least {at_least}", "a finite score", "outcome(at_least=0.5)")
    version = "1" if at_least is None else f"1.{at_least:g}"
    trusted = tuple(sorted(trust_received))
    return OutcomeVerifier(
        source=source,
        at_least=at_least,
        trust_received=trusted,
        name=name,
        version=".".join((version, *trusted)),
    )


def human(*, trust_received: Sequence[str] = (), name: str = "human") -> OutcomeVerifier:
    """Decide from outcomes that people reported with the source "human", such as labels."""
    return outcome("human", trust_received=trust_received, name=name)
