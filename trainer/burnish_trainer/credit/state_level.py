"""Credit decisions: what other attempts at the task reached from the same state.

States are keys that the user gives, such as the values of a graph's channels or the last tool result. A key is compared
within one task only. The history of messages makes a poor key: few attempts repeat it.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np

from burnish_trainer.credit.run_level import grpo
from burnish_trainer.credit.scored_runs import (
    Advantages,
    CreditRun,
    CreditStep,
    center,
    check_scale,
    group_by_task,
    returns_to_go,
)

StateKey = Callable[[CreditStep], Hashable]
StepKey = tuple[str, int]


def state_hit_ratio(runs: Iterable[CreditRun], *, state_key: StateKey | None = None) -> float:
    """Return the share of steps whose state occurs in another step of the same task; 0 without steps.

    Args:
        runs: Attempts of any tasks.
        state_key: Key of the state before a step; by default the step's own.
    """
    groups = [_steps_by_state(group, state_key) for group in group_by_task(runs)]
    steps = sum(len(run.steps) for run in runs if run.scored)
    hits = sum(len(keys) for states in groups for keys in states.values() if len(keys) > 1)
    return hits / steps if steps else 0.0


def gigpo(
    runs: Iterable[CreditRun],
    *,
    state_key: StateKey | None = None,
    omega: float = 1.0,
    gamma: float = 0.95,
    scale: str = "group",
    eps: float = 1e-6,
    least_hits: float = 0.3,
) -> Advantages:
    """Return A = A^E + omega A^S: the group advantage of the run, and that of the step among equal states.

    A^E = (R_i - mean) / F over the attempts at the task. A^S = (R_t - mean) / F over the steps of the task in the same
    state, with R_t = sum_{k>=t} gamma^(k-t) r_k; F is the standard deviation, or 1. A state that occurs once gives 0.
    Source: Feng et al. 2025, GiGPO, sections 4.1 and 4.2 (https://arxiv.org/abs/2505.10978). As in the paper, one
    attempt has one vote in the mean of the task, and equal states of different tasks are never pooled.

    Args:
        runs: Attempts of any tasks.
        state_key: Key of the state before a step; by default the step's own.
        omega: Weight of the step's advantage.
        gamma: Discount of a step.
        scale: Standard deviation of the `group`, or `none`.
        eps: Added to the standard deviation.
        least_hits: Share of steps with a repeated state below which only A^E is returned, with a warning.
    """
    check_scale(scale, "group", "none")
    runs = list(runs)
    found = grpo(runs, scale=scale, eps=eps)
    ratio = state_hit_ratio(runs, state_key=state_key)
    if ratio < least_hits:
        if found:
            warnings.warn(
                f"{ratio:.0%} of the steps share their state with another step, less than "
                f"{least_hits:.0%}: advantages are those of whole runs; give a state_key that repeats",
                stacklevel=2,
            )
        return found
    for group in group_by_task(runs):
        ahead = {run.id: returns_to_go(run, gamma) for run in group if run.steps}
        for keys in _steps_by_state(group, state_key).values():
            values = center(np.array([ahead[i][t] for i, t in keys]), scale=scale, eps=eps)
            for key, value in zip(keys, values, strict=True):
                found[key] = found[key] + omega * float(value)
    return found


def mc_step_values(
    runs: Iterable[CreditRun], *, state_key: StateKey | None = None
) -> dict[StepKey, float]:
    """Return Q(s, a) for each step: the mean reward of the attempts that took this action in this state.

    An attempt counts once for each decision, and a state without a key, or a last step without an action, is known
    to its own run alone. No completion is sampled: the logged attempts are the sample.
    Source: Wang et al. 2024, Math-Shepherd, "soft estimation" (https://arxiv.org/abs/2312.08935), over logged attempts in
    place of completions.

    Args:
        runs: Attempts of any tasks.
        state_key: Key of the state before a step; by default the step's own.
    """
    values: dict[StepKey, float] = {}
    for group in group_by_task(runs):
        rewards = {run.id: run.score for run in group}
        steps = {run.id: run.steps for run in group}
        decisions: dict[Hashable, list[StepKey]] = defaultdict(list)
        for state, keys in _steps_by_state(group, state_key).items():
            for run_id, place in keys:
                action = steps[run_id][place].action
                own = action is None
                decisions[state, action, (run_id, place) if own else None].append((run_id, place))
        for keys in decisions.values():
            mean = _mean_of_runs(keys, rewards)
            values |= dict.fromkeys(keys, mean)
    return values


def mc_step_advantages(
    runs: Iterable[CreditRun], *, state_key: StateKey | None = None
) -> Advantages:
    """Return Q(s, a) - V(s): how much the step's decision changed the mean reward of the attempts in its state.

    V(s) is the mean reward of the attempts that were in the state. Groups of one and of equal rewards give exactly 0.
    Source: as `mc_step_values`; the difference is the process advantage of Setlur et al. 2024, section 3
    (https://arxiv.org/abs/2410.08146).

    Args:
        runs: Attempts of any tasks.
        state_key: Key of the state before a step; by default the step's own.
    """
    runs = list(runs)
    values = mc_step_values(runs, state_key=state_key)
    found: Advantages = {}
    for group in group_by_task(runs):
        rewards = {run.id: run.score for run in group}
        for keys in _steps_by_state(group, state_key).values():
            mean = _mean_of_runs(keys, rewards)
            found |= {key: values[key] - mean for key in keys}
    return found


def fork_relative(
    runs: Iterable[CreditRun], *, weight: float = 1.0, scale: str = "group", eps: float = 1e-4
) -> Advantages:
    """Return A = A_run + weight A_fork: the run among the attempts, and the step among its siblings at a fork.

    The actions of the attempts at a task form a tree. A step's reward is the mean reward of the runs below it, shared by
    the runs that share the step; A_fork is that reward minus the mean over the branches of the fork, divided by their
    standard deviation. A step without a sibling gives 0. A step without an action is a branch of its own.
    Source: Wu et al. 2025, PORTool, "fork-relative advantages" (https://arxiv.org/abs/2510.26020), without its bonus for calls that run
    and with logged attempts in place of a tree that is grown.

    Args:
        runs: Attempts of any tasks.
        weight: Weight of the fork's advantage.
        scale: Standard deviation of the `group`, or `none`.
        eps: Added to the standard deviation.
    """
    check_scale(scale, "group", "none")
    runs = list(runs)
    found = grpo(runs, scale=scale, eps=eps)
    for group in group_by_task(runs):
        rewards = {run.id: run.score for run in group}
        for branches in _forks(group).values():
            means = np.array([_mean_of_runs(keys, rewards) for keys in branches.values()])
            for keys, value in zip(
                branches.values(), center(means, scale=scale, eps=eps), strict=True
            ):
                for key in keys:
                    found[key] = found[key] + weight * float(value)
    return found


def _forks(group: Sequence[CreditRun]) -> dict[Hashable, dict[Hashable, list[StepKey]]]:
    """Return the branches of each fork: by path of actions, then by action."""
    forks: dict[Hashable, dict[Hashable, list[StepKey]]] = defaultdict(lambda: defaultdict(list))
    for run in group:
        path: tuple[Hashable, ...] = ()
        for place, step in enumerate(run.steps):
            branch = ("own", run.id, place) if step.action is None else ("action", step.action)
            forks[path][branch].append((run.id, place))
            path = (*path, branch)
    return forks


def _steps_by_state(
    group: Sequence[CreditRun], state_key: StateKey | None
) -> dict[Hashable, list[StepKey]]:
    states: dict[Hashable, list[StepKey]] = defaultdict(list)
    for run in group:
        for place, step in enumerate(run.steps):
            state = step.state if state_key is None else state_key(step)
            key = ("own", run.id, place) if state is None else ("state", state)
            states[key].append((run.id, place))
    return states


def _mean_of_runs(keys: Sequence[StepKey], rewards: dict[str, float]) -> float:
    """Return the mean reward of the runs of steps, each run once."""
    found = [rewards[run] for run in dict.fromkeys(run for run, _ in keys)]
    return found[0] if min(found) == max(found) else float(np.mean(found))
