"""Decide the next move from the evidence: stay, take the next step, promote, roll back or pause.

`advise_move` is the entry. Four fifths of alpha are spent on success, the rest is shared by the guard
metrics. The next step needs enough judged threads on the current one, and evidence that leans against
"worse". A promotion needs proof of "not worse by more than the margin". An unclear result pauses.
Lack of data decides nothing: a rollback needs failures that were seen, and if outcomes are missing
more often in one arm, the comparison of outcomes is void and the canary pauses.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Literal

from burnish.canary.analysis import Evidence
from burnish.project import CanaryConfig
from burnish.records import Record

Move = Literal["stay", "step", "promote", "rollback", "pause"]

SUCCESS_PART = 0.8
RATIO_ALARM = 1000.0
LEANS_AGAINST = 0.25  # largest evidence of "worse" at which the next step is taken


class Advice(Record, frozen=True, kw_only=True):
    """The next move and its reason."""

    move: Move
    reason: str


class RolloutPosition(Record, frozen=True, kw_only=True):
    """The progress of a rollout."""

    step: int  # index into steps
    canary_on_step: int  # canary threads judged since the step was taken
    age_s: float = 0.0
    promoted: bool = False  # the hold-back runs: only a rollback is possible


def advise_move(evidence: Evidence, position: RolloutPosition, config: CanaryConfig) -> Advice:
    """Return the next move."""
    void = _find_unequal_missingness(evidence, config)
    alarm = _find_guard_alarm(evidence, config)
    if alarm is None and void is None:
        alarm = _find_success_alarm(evidence, config)
    if alarm is not None:
        return Advice(move="rollback", reason=alarm)
    if position.promoted:
        return Advice(move="stay", reason=void or "promoted; the rollback stays armed")
    if void is not None:
        return Advice(move="pause", reason=void)
    if evidence.ratio >= RATIO_ALARM:
        return Advice(
            move="pause",
            reason=f"threads do not reach the canary as planned (evidence {evidence.ratio:.3g})",
        )
    if position.step >= len(config.steps) - 2:
        return _advise_last_step(evidence, position, config)
    return _advise_earlier_step(evidence, position, config)


def count_step_threads(config: CanaryConfig) -> int:
    """Return how many canary threads each step needs."""
    return ceil(config.min_threads / max(1, len(config.steps) - 1))


def is_missing_unequally(evidence: Evidence, config: CanaryConfig) -> bool:
    """Return True if outcomes are shown to be missing more often in one arm than in the other."""
    return evidence.missing >= 1.0 / config.alpha


def must_restart(evidence: Evidence, config: CanaryConfig) -> bool:
    """Return True if the evidence so far cannot decide: the arms were not comparable."""
    return is_missing_unequally(evidence, config) or evidence.ratio >= RATIO_ALARM


def _find_unequal_missingness(evidence: Evidence, config: CanaryConfig) -> str | None:
    if not is_missing_unequally(evidence, config):
        return None
    canary, stable = (_format_rate(evidence.missing_rate(arm)) for arm in ("canary", "stable"))
    return (
        f"outcomes are missing unequally: {canary} of the canary's threads have none in time, "
        f"{stable} of stable's (evidence {evidence.missing:.3g}); what is left cannot be compared"
    )


def _find_success_alarm(evidence: Evidence, config: CanaryConfig) -> str | None:
    part = SUCCESS_PART if evidence.guards else 1.0
    if evidence.worse < 1.0 / (config.alpha * part):
        return None
    canary, stable = evidence.rate("canary"), evidence.rate("stable")
    if canary is None or stable is None:
        return None
    failures = {"canary": 1 - canary, "stable": 1 - stable}
    if not _fails_more(failures, evidence.recent.get("failures", {})):
        return None  # successes of stable alone can add up to evidence
    return (
        f"success {_format_rate(canary)} against {_format_rate(stable)}"
        f"{_describe_recent(evidence)} (evidence {evidence.worse:.3g} after {evidence.threads['canary']} canary threads)"
    )


def _describe_recent(evidence: Evidence) -> str:
    """Describe the success of the last threads where it differs from that of all."""
    recent = evidence.recent.get("failures", {})
    shown = [
        (_format_rate(1 - recent[arm]), _format_rate(evidence.rate(arm)))
        for arm in ("canary", "stable")
        if arm in recent
    ]
    if all(lately == whole for lately, whole in shown):
        return ""
    return f", lately {' against '.join(lately for lately, _ in shown)}"


def _find_guard_alarm(evidence: Evidence, config: CanaryConfig) -> str | None:
    for name, value in evidence.guards.items():
        if value < len(evidence.guards) / (config.alpha * (1.0 - SUCCESS_PART)):
            continue
        rates = evidence.breaches.get(name, {"stable": 0.0, "canary": 1.0})
        if _fails_more(rates, evidence.recent.get(name, {})):
            return f"guard {name!r} is breached more often (evidence {value:.3g})"
    return None


def _fails_more(rates: Mapping[str, float], recent: Mapping[str, float]) -> bool:
    """Return True if the canary is seen to fail more often, over all threads or over the last ones.

    After thousands of good threads a drop hardly moves the rate over all of them.
    """
    return any(
        found.get("canary", 0.0) > found.get("stable", 1.0) + 1e-12 for found in (rates, recent)
    )


def _advise_last_step(
    evidence: Evidence, position: RolloutPosition, config: CanaryConfig
) -> Advice:
    canary = evidence.threads["canary"]
    if evidence.not_worse >= 1.0 / config.alpha and canary >= config.min_threads:
        return Advice(
            move="promote",
            reason=f"not worse by more than {config.margin:.0%} "
            f"(evidence {evidence.not_worse:.3g} after {canary} canary threads)",
        )
    return _wait_or_pause(evidence, position, config, "evidence is being gathered")


def _advise_earlier_step(
    evidence: Evidence, position: RolloutPosition, config: CanaryConfig
) -> Advice:
    needed = count_step_threads(config)
    if position.canary_on_step < needed:
        wait = f"{position.canary_on_step} of {needed} canary threads judged on this step"
        return _wait_or_pause(evidence, position, config, wait)
    if evidence.worse > LEANS_AGAINST:
        return _wait_or_pause(evidence, position, config, "not yet clear that it is not worse")
    return Advice(
        move="step", reason=f"{position.canary_on_step} canary threads judged, none the worse"
    )


def _wait_or_pause(
    evidence: Evidence, position: RolloutPosition, config: CanaryConfig, wait: str
) -> Advice:
    judged = sum(evidence.threads.values())
    if judged >= config.max_threads:
        return Advice(move="pause", reason=f"inconclusive after {judged} threads")
    if position.age_s >= config.max_days * 86400:
        return Advice(move="pause", reason=f"inconclusive after {config.max_days:g} days")
    return Advice(move="stay", reason=wait)


def _format_rate(rate: float | None) -> str:
    return "unknown" if rate is None else f"{rate:.0%}"
