"""Combine several verifiers into one: all, any or weighted, with gates that the sum cannot outweigh.

`all_of()`, `any_of()` and `weighted()` build the composed verifier.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from burnish.errors import VerificationError
from burnish.protocols import Preparable, Verifier, VerifierTraits, traits_of
from burnish.records import Trajectory, Verdict, VerdictLabel
from burnish_exporters.verify.verdicts import judge

Rule = Callable[[list[Verdict]], VerdictLabel]


@dataclass(frozen=True, kw_only=True)
class Composed:
    """Run the parts and combine their verdicts; see all_of(), any_of(), weighted()."""

    parts: tuple[Verifier, ...]
    gates: tuple[Verifier, ...]
    how: str
    weights: tuple[float, ...] = ()
    threshold: float = 0.5
    name: str = "composed"
    version: str = "1"

    @property
    def traits(self) -> VerifierTraits:
        """Derive the traits from the parts.

        The kind is "judge" where a judge among the parts can cause the success; the other traits
        hold if any part has them.
        """
        judges = [traits_of(part).kind == "judge" for part in self.parts]
        everyone = [traits_of(part) for part in (*self.parts, *self.gates)]
        return VerifierTraits(
            kind="judge" if (all if self.how == "all_of" else any)(judges) else "check",
            isolated=any(traits.isolated for traits in everyone),
            reads_outcomes=any(traits.reads_outcomes for traits in everyone),
        )

    def prepare(self) -> None:
        """Prepare the parts."""
        for part in (*self.parts, *self.gates):
            if isinstance(part, Preparable):
                part.prepare()

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge by the parts; a gate that fails or gives "unknown" decides alone, with score 0."""
        gates = [judge(gate, trajectory) for gate in self.gates]
        parts = [judge(part, trajectory) for part in self.parts]
        closed = [verdict.label for verdict in gates if verdict.label != "success"]
        score = self._score(parts)
        label = self._label(parts, score)
        if closed:
            label, score = ("fail" if "fail" in closed else "unknown"), 0.0
        said = {verdict.verifier: verdict.label for verdict in (*gates, *parts)}
        costs = [verdict.cost_usd for verdict in (*gates, *parts) if verdict.cost_usd is not None]
        return Verdict(
            label=label,
            verifier=self.name,
            version=self.version,
            score=round(score, 9),
            evidence={"labels": said, "how": self.how},
            cost_usd=sum(costs) if costs else None,
        )

    def _score(self, parts: list[Verdict]) -> float:
        """Return the weighted share of success, 0 to 1; all_of takes the lowest part, any_of the highest."""
        values = [_value_of_verdict(verdict) for verdict in parts]
        if self.how == "weighted":
            return sum(w * v for w, v in zip(self.weights, values, strict=True)) / sum(self.weights)
        return min(values) if self.how == "all_of" else max(values)

    def _label(self, parts: list[Verdict], score: float) -> VerdictLabel:
        labels = {verdict.label for verdict in parts}
        if self.how == "all_of":
            return "fail" if "fail" in labels else "unknown" if "unknown" in labels else "success"
        if self.how == "any_of":
            return (
                "success" if "success" in labels else "unknown" if "unknown" in labels else "fail"
            )
        if "unknown" in labels:
            return "unknown"
        return "success" if score >= self.threshold else "fail"


def all_of(*parts: Verifier, gates: Sequence[Verifier] = (), name: str = "all_of") -> Composed:
    """Require success of every part; one failure fails the run."""
    return _compose_parts("all_of", parts, gates, name)


def any_of(*parts: Verifier, gates: Sequence[Verifier] = (), name: str = "any_of") -> Composed:
    """Require success of one part; the run fails only if all parts fail."""
    return _compose_parts("any_of", parts, gates, name)


def weighted(
    parts: Sequence[tuple[Verifier, float]],
    *,
    threshold: float = 0.5,
    gates: Sequence[Verifier] = (),
    name: str = "weighted",
) -> Composed:
    """Add up weighted parts; an unknown part makes the whole unknown.

    Args:
        parts: Verifiers with their weights, above 0.
        threshold: Share from which on the whole is a success, 0 to 1.
        gates: Verifiers that must succeed for any sum; a run that fails one has score 0.
        name: Name under which verdicts are stored.

    Raises:
        VerificationError: If a weight or the threshold is out of range.
    """
    weights = tuple(float(weight) for _, weight in parts)
    if not weights or not all(0 < w < math.inf for w in weights) or not 0 <= threshold <= 1:
        raise VerificationError(
            f"weights {weights} with threshold {threshold}",
            "weights above 0, a threshold from 0 to 1",
        )
    made = _compose_parts("weighted", [part for part, _ in parts], gates, name)
    setting = f"{made.version}.{','.join(f'{w:g}' for w in weights)}.{threshold:g}"
    return Composed(parts=made.parts, gates=made.gates, how="weighted", weights=weights,
                    threshold=threshold, name=name, version=setting)  # fmt: skip


def _compose_parts(
    how: str, parts: Sequence[Verifier], gates: Sequence[Verifier], name: str
) -> Composed:
    if not parts:
        raise VerificationError(f"{how}() has no verifiers", "at least one verifier")
    versions = [f"{part.name}@{part.version}" for part in (*parts, *gates)]
    return Composed(
        parts=tuple(parts), gates=tuple(gates), how=how, name=name, version="+".join(versions)
    )


def _value_of_verdict(verdict: Verdict) -> float:
    if verdict.label == "success":
        return 1.0 if verdict.score is None else verdict.score
    return 0.0
