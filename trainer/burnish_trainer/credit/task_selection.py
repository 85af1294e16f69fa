"""Choose the tasks of the next rollouts by how often they were solved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from burnish.errors import TrainingError


@dataclass(frozen=True, slots=True)
class TaskBelief:
    """A Beta distribution over the success rate of a task.

    Attributes:
        alpha: Weight of successes.
        beta: Weight of failures.
    """

    alpha: float = 1.0
    beta: float = 1.0

    @property
    def rate(self) -> float:
        """Return the expected success rate."""
        return self.alpha / (self.alpha + self.beta)

    def after_attempts(
        self,
        successes: int,
        attempts: int,
        *,
        forget: float = 0.2,
        guess: float | None = None,
        trust: float = 0.2,
    ) -> TaskBelief:
        """Return the belief after further attempts.

        a <- (1 - forget) a + forget + (1 - trust) s + trust m p, and likewise b with m - s and 1 - p, where p is an
        estimate from other tasks; without one, attempts count in full.
        Source: Shen et al. 2025, BOTS, the update of its Beta posterior (https://arxiv.org/abs/2510.26374).

        Args:
            successes: Attempts that succeeded, s.
            attempts: Attempts, m.
            forget: Weight of the uniform prior against older attempts.
            guess: Success rate that other tasks suggest, p.
            trust: Weight of that guess.

        Raises:
            TrainingError: The counts are impossible.
        """
        if not 0 <= successes <= attempts:
            raise TrainingError(f"{successes} successes of {attempts} attempts", "0 to all of them")
        weight, rate = (0.0, 0.0) if guess is None else (trust, guess)
        gained = (1 - weight) * successes + weight * attempts * rate
        lost = (1 - weight) * (attempts - successes) + weight * attempts * (1 - rate)
        return TaskBelief(
            (1 - forget) * self.alpha + forget + gained, (1 - forget) * self.beta + forget + lost
        )


def learn_beliefs(
    history: Mapping[str, Iterable[tuple[int, int]]], *, forget: float = 0.2
) -> dict[str, TaskBelief]:
    """Return the belief about each task.

    Args:
        history: Successes and attempts of a task, one pair a round, oldest first; unscored attempts are left out.
        forget: Weight of the uniform prior against older rounds.
    """
    beliefs: dict[str, TaskBelief] = {}
    for task, rounds in history.items():
        belief = TaskBelief()
        for successes, attempts in rounds:
            belief = belief.after_attempts(successes, attempts, forget=forget)
        beliefs[task] = belief
    return beliefs


def curriculum(
    history: Mapping[str, Iterable[tuple[int, int]]],
    count: int,
    *,
    target: float = 0.5,
    temperature: float | None = 0.1,
    forget: float = 0.2,
    seed: int = 0,
) -> list[str]:
    """Return the tasks whose success rate is near the target, where attempts differ most.

    Tasks are drawn without replacement with probability proportional to exp(-|target - p| / temperature); p is the
    expected success rate of the task. A task without attempts is expected at one half.
    Source: Shen et al. 2025, BOTS, its choice of tasks (https://arxiv.org/abs/2510.26374). The target is one half: an easier
    target, such as 1, would choose solved tasks first, whose attempts teach nothing.

    Args:
        history: Successes and attempts of each task, one pair a round, oldest first.
        count: Number of tasks.
        target: Success rate to be near to.
        temperature: Temperature of the draw; None takes the nearest tasks.
        forget: Weight of the uniform prior against older rounds.
        seed: Seed of the draw.

    Raises:
        TrainingError: A setting is out of its range.
    """
    if not 0 <= target <= 1 or (temperature is not None and temperature <= 0) or count < 0:
        raise TrainingError(
            f"target {target}, temperature {temperature}, count {count}",
            "a target between 0 and 1, a positive temperature or None, a count of at least 0",
        )
    beliefs = learn_beliefs(history, forget=forget)
    names = sorted(beliefs)
    scores = np.array([-abs(target - beliefs[name].rate) for name in names])
    if temperature is not None:
        # The largest keys of score / temperature plus Gumbel noise are a draw without replacement.
        noise = np.random.default_rng(seed).gumbel(size=len(names))
        scores = scores / temperature + noise
    order = np.argsort(-scores, kind="stable")
    return [names[place] for place in order[:count]]


def choose_by_failures(
    solved: Mapping[str, tuple[int, int]], kinds: Sequence[str], count: int
) -> list[int]:
    """Return the places of tasks such that each kind gets its share by its failures.

    The share of a kind is in proportion to its expected failure rate, (m - s + 1) / (m + 2) after s successes of m
    attempts: a kind that is solved half of the time gets five times the tasks of one that is solved nine times of ten.
    Within a kind the first tasks are taken; where a kind has too few, the others get its rest.

    Args:
        solved: Successes and attempts of each kind; a kind without attempts is expected at one half.
        kinds: The kind of each candidate.
        count: Number of tasks to choose.

    Raises:
        TrainingError: The counts are impossible.
    """
    places: dict[str, list[int]] = {}
    for place, kind in enumerate(kinds):
        places.setdefault(kind, []).append(place)
    beliefs = {kind: TaskBelief() for kind in places}
    for kind in places.keys() & solved.keys():
        beliefs[kind] = TaskBelief().after_attempts(*solved[kind], forget=0.0)
    taken: Counter[str] = Counter()
    for _ in range(min(count, len(kinds))):
        # The kind that lies furthest behind its share gets the next task (the method of Webster and Sainte-Lague).
        open_kinds = [kind for kind in places if taken[kind] < len(places[kind])]
        chosen = max(open_kinds, key=lambda k: (1 - beliefs[k].rate) / (taken[k] + 0.5))
        taken[chosen] += 1
    return sorted(place for kind, own in places.items() for place in own[: taken[kind]])
