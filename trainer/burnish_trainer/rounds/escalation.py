"""Recommend an objective from the log of rounds: a harder one only where a simpler one was shown to fall short.

    sft, dft, rejection -> dpo, kto, orpo -> policy_gradient, and grpo of `train_online`

`recommend_objective` is the entry. A level is exhausted if its last two rounds trained on new data and gained nothing that
was shown, while the agent still fails more than the aim allows. The plan prints the recommendation with its numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from burnish.errors import TrainingError
from burnish_trainer.rounds.history import RoundSummary

LEVELS = (("sft", "dft", "rejection"), ("dpo", "kto", "orpo"))
"""Objectives by level, simplest first; all others are reinforcement learning."""
ENOUGH_SUCCESSES = 500
"""Verified successes below which more runs help more than another objective."""
_AIM = 0.95
_LEAST_GAIN = 0.01
_ROUNDS = 2


class ObjectiveAdvice(msgspec.Struct, frozen=True, kw_only=True):
    """A recommended objective.

    Attributes:
        objective: The objective.
        level: Its level: 0 imitation, 1 preferences, 2 reinforcement learning.
        reasons: The evidence, with numbers.
    """

    objective: str
    level: int
    reasons: list[str]


def level_of(objective: str) -> int:
    """Return the level of an objective."""
    known = (number for number, names in enumerate(LEVELS) if objective in names)
    return next(known, len(LEVELS))


def recommend_objective(
    rounds: Sequence[RoundSummary], *, rows: int | None = None, aim: float = _AIM
) -> ObjectiveAdvice:
    """Return the simplest objective that earlier rounds have not exhausted.

    Args:
        rounds: Rounds of the agent, oldest first.
        rows: Training rows of the round that is planned.
        aim: Share of held-out tasks to solve, above which nothing harder is needed.
    """
    reasons: list[str] = []
    for level in range(len(LEVELS)):
        why_not = _explain_open(rounds, level, rows, aim)
        if why_not is not None:
            return ObjectiveAdvice(
                objective=LEVELS[level][0], level=level, reasons=[*reasons, why_not]
            )
        reasons.append(_describe_exhausted(_evaluated(rounds, level)[-_ROUNDS:], aim))
    return ObjectiveAdvice(objective="grpo", level=len(LEVELS), reasons=reasons)


def _evaluated(rounds: Sequence[RoundSummary], level: int) -> list[RoundSummary]:
    """Return the rounds of a level that were evaluated on different datasets, oldest first."""
    found = [one for one in rounds if level_of(one.objective) == level and one.gain is not None]
    by_dataset = {one.dataset: one for one in found}
    return [one for one in found if by_dataset[one.dataset] is one]


def _explain_open(
    rounds: Sequence[RoundSummary], level: int, rows: int | None, aim: float
) -> str | None:
    """Return why a level is not exhausted; None if it is."""
    name, tried = "/".join(LEVELS[level]), _evaluated(rounds, level)
    if not tried:
        return f"no round with {name} was evaluated"
    last = tried[-1]
    after = last.heldout.get("after", 0.0)
    if after >= aim:
        return f"round {last.number} ({name}) solves {after:.1%} of the held-out tasks, the aim is {aim:.0%}"
    known = max(rows or 0, last.rows or 0)
    if level == 0 and known < ENOUGH_SUCCESSES:
        return f"{name} has {known} rows; up to {ENOUGH_SUCCESSES} more verified runs help more than another objective"
    recent = tried[-_ROUNDS:]
    if len(recent) < _ROUNDS:
        return f"one round with {name} was evaluated, {_ROUNDS} on different datasets show that it falls short"
    best = max(one.gain or 0.0 for one in recent)
    promoted = [one for one in recent if one.decision == "promote"]
    if promoted or (best > _LEAST_GAIN and recent[-1].gain == best):
        return f"the last {_ROUNDS} rounds with {name} still gained {100 * best:+.1f} points"
    return None


def _describe_exhausted(recent: Sequence[RoundSummary], aim: float) -> str:
    gains = ", ".join(f"{100 * (one.gain or 0.0):+.1f} (round {one.number})" for one in recent)
    after = recent[-1].heldout.get("after", 0.0)
    return (
        f"{recent[-1].objective} fell short: gains of {gains} points, {after:.1%} of the held-out "
        f"tasks solved, the aim is {aim:.0%}"
    )


def check_objective(objective: str, advice: ObjectiveAdvice, *, force: bool) -> list[str]:
    """Return what stands against an objective, where it is forced.

    Args:
        objective: The objective of the recipe.
        advice: The recommendation.
        force: Train with it anyway.

    Raises:
        TrainingError: The objective is harder than the evidence allows, and it is not forced.
    """
    if level_of(objective) <= advice.level:
        return []
    found = f"objective {objective!r} without evidence that {advice.objective!r} falls short: {advice.reasons[-1]}"
    if not force:
        raise TrainingError(
            found,
            f"objective = {advice.objective!r} in [agent.NAME.train], or evidence from earlier rounds",
            "burnish rounds AGENT; --force trains anyway, and the lineage records it",
        )
    return [found]
