"""Turn rewards of logged runs into advantages of their steps and tokens.

Each function is pure: it takes runs with rewards and returns `{(run, step): advantage}`. Its docstring has the formula
and the source. Attempts without a reward enter no baseline and have no entry.

    runs = runs_from_rows(dataset.to("rl-steps"))
    advantages = gigpo(runs, state_key=lambda step: step.state)
    spread_over_tokens(runs[0], advantages)       # one array a step

scored_runs.py     runs and steps with rewards, groups, spreading over tokens
run_level.py       outcome, grpo, rloo, step_wise
turn_level.py      turn_level, step_gae
state_level.py     gigpo, mc_step_values, mc_step_advantages, fork_relative
token_level.py     empg, toolpo
task_selection.py  curriculum, choose_by_failures
"""

from __future__ import annotations

from burnish_trainer.credit.run_level import grpo, outcome, rloo, step_wise
from burnish_trainer.credit.scored_runs import (
    Advantages,
    CreditFunction,
    CreditRun,
    CreditStep,
    runs_from_rows,
    spread_over_tokens,
)
from burnish_trainer.credit.state_level import (
    fork_relative,
    gigpo,
    mc_step_advantages,
    mc_step_values,
    state_hit_ratio,
)
from burnish_trainer.credit.task_selection import TaskBelief, choose_by_failures, curriculum
from burnish_trainer.credit.token_level import empg, toolpo
from burnish_trainer.credit.turn_level import step_gae, turn_level

__all__ = [
    "Advantages",
    "CreditFunction",
    "CreditRun",
    "CreditStep",
    "TaskBelief",
    "choose_by_failures",
    "curriculum",
    "empg",
    "fork_relative",
    "gigpo",
    "grpo",
    "mc_step_advantages",
    "mc_step_values",
    "outcome",
    "rloo",
    "runs_from_rows",
    "spread_over_tokens",
    "state_hit_ratio",
    "step_gae",
    "step_wise",
    "toolpo",
    "turn_level",
]
