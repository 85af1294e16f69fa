"""Learn only the decisive steps (ATLaS, arXiv 2503.02197: about 30 % of the steps teach as much as all).

The weight of a step is the change in the share of successful attempts before and after it, counted
over logged attempts at the same task.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from burnish_exporters.curate.sample import Drop, Sample, SetStep
from burnish_exporters.curate.steps.luck import attempt_of
from burnish_exporters.curate.steps.values import Attempt, Prefix, step_values


def keep_critical(share: float) -> SetStep:
    """Leave loss on the calls of a run that mattered most, and on its answer.

    A run without another attempt at its task keeps its loss: its steps cannot be compared.

    Args:
        share: Share of the calls, 0 to 1, rounded up.

    Raises:
        ValueError: If it lies outside 0 to 1.
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(f"critical_steps is {share}, expected a share above 0 and up to 1")

    def mute_others(samples: Iterable[Sample]) -> Iterator[Sample | Drop]:
        known = list(samples)
        attempts = {s.trajectory_id: a for s in known for a in [attempt_of(s)] if a}
        values = step_values(attempts.values())
        for sample in known:
            attempt = attempts.get(sample.trajectory_id)
            if attempt is not None and values[attempt.task, ()][1] > 1:
                sample.quiet = _least_decisive(step_changes(values, attempt), share)
            yield sample

    return mute_others


def step_changes(values: dict[Prefix, tuple[int, int]], attempt: Attempt) -> list[float]:
    """Return by how much each step of an attempt changed the share of successes, 0 to 1."""
    changes = []
    for length in range(1, len(attempt.actions) + 1):
        won, total = values[attempt.task, attempt.actions[: length - 1]]
        won_after, total_after = values[attempt.task, attempt.actions[:length]]
        changes.append(abs(won_after / total_after - won / total))
    return changes


def _least_decisive(changes: list[float], share: float) -> list[int]:
    """Return the places of the least decisive steps; of equals, the later ones."""
    ranked = sorted(range(len(changes)), key=lambda place: (-changes[place], place))
    return sorted(ranked[math.ceil(share * len(changes)) :])
