"""What to do about the evidence: go on, take the next step, promote, roll back or pause.

Knows: levels of evidence, the order of steps, limits. Does not know: where evidence comes from,
how traffic is moved.

Most of alpha (four fifths) is spent on success, the rest is shared by the guard metrics. A step is
taken once enough threads were judged on it and the evidence leans against "worse"; a promotion
needs proof of "not worse by more than the margin". What stays unclear pauses; nothing ships by
itself for want of evidence.
"""

from __future__ import annotations

from math import ceil
from typing import Literal

from burnish.canary.analysis import Evidence
from burnish.project import CanaryConfig
from burnish.records import Record

Move = Literal["stay", "step", "promote", "rollback", "pause"]

SUCCESS_PART = 0.8
RATIO_ALARM = 1000.0
LEANS_AGAINST = 0.25  # evidence of "worse" at which a step may be taken


class Advice(Record, frozen=True, kw_only=True):
    """The next move and why."""

    move: Move
    reason: str


class Place(Record, frozen=True, kw_only=True):
    """Where a rollout stands."""

    step: int  # index into steps
    canary_on_step: int  # canary threads judged since the step was taken
    age_s: float = 0.0
    promoted: bool = False  # the hold-back runs: only a rollback is left to decide


def advise(evidence: Evidence, place: Place, config: CanaryConfig) -> Advice:
    """The next move."""
    alarm = _alarm(evidence, config)
    if alarm is not None:
        return Advice(move="rollback", reason=alarm)
    if place.promoted:
        return Advice(move="stay", reason="promoted; the rollback stays armed")
    if evidence.ratio >= RATIO_ALARM:
        return Advice(
            move="pause",
            reason=f"threads do not reach the canary as planned (evidence {evidence.ratio:.3g})",
        )
    if place.step >= len(config.steps) - 2:
        return _at_last_step(evidence, place, config)
    return _at_earlier_step(evidence, place, config)


def threads_for_step(config: CanaryConfig) -> int:
    """Canary threads that are judged on each step before the next is taken."""
    return ceil(config.min_threads / max(1, len(config.steps) - 1))


def _alarm(evidence: Evidence, config: CanaryConfig) -> str | None:
    part = SUCCESS_PART if evidence.guards else 1.0
    if evidence.worse >= 1.0 / (config.alpha * part):
        return (
            f"success {_shown(evidence.rate('canary'))} against {_shown(evidence.rate('stable'))} "
            f"(evidence {evidence.worse:.3g} after {evidence.threads['canary']} canary threads)"
        )
    for name, value in evidence.guards.items():
        if value >= len(evidence.guards) / (config.alpha * (1.0 - SUCCESS_PART)):
            return f"guard {name!r} is breached more often (evidence {value:.3g})"
    return None


def _at_last_step(evidence: Evidence, place: Place, config: CanaryConfig) -> Advice:
    canary = evidence.threads["canary"]
    if evidence.not_worse >= 1.0 / config.alpha and canary >= config.min_threads:
        return Advice(
            move="promote",
            reason=f"not worse by more than {config.margin:.0%} "
            f"(evidence {evidence.not_worse:.3g} after {canary} canary threads)",
        )
    return _unless_too_long(evidence, place, config, "evidence is being gathered")


def _at_earlier_step(evidence: Evidence, place: Place, config: CanaryConfig) -> Advice:
    needed = threads_for_step(config)
    if place.canary_on_step < needed:
        wait = f"{place.canary_on_step} of {needed} canary threads judged on this step"
        return _unless_too_long(evidence, place, config, wait)
    if evidence.worse > LEANS_AGAINST:
        return _unless_too_long(evidence, place, config, "not yet clear that it is not worse")
    return Advice(
        move="step", reason=f"{place.canary_on_step} canary threads judged, none the worse"
    )


def _unless_too_long(evidence: Evidence, place: Place, config: CanaryConfig, wait: str) -> Advice:
    judged = sum(evidence.threads.values())
    if judged >= config.max_threads:
        return Advice(move="pause", reason=f"inconclusive after {judged} threads")
    if place.age_s >= config.max_days * 86400:
        return Advice(move="pause", reason=f"inconclusive after {config.max_days:g} days")
    return Advice(move="stay", reason=wait)


def _shown(rate: float | None) -> str:
    return "unknown" if rate is None else f"{rate:.0%}"
