"""Run an agent with and without an adapter on the same tasks, and compare both.

    proof = evaluate("support", adapters=[None, "support@0a1b2c3d4e5f"])
    proof.pools["heldout"]           # before, after, the gain and its interval

`evaluate` (runner.py) states the order of an evaluation; gate.py decides on its result.

agent_project.py   agent, tasks and verifiers that burnish.toml names
rollouts.py        attempts of the real agent, each in a new environment
attempts/          one attempt: its limits, its environment, its record
grading.py         verdicts on the attempts; live_grading.py gives them while others run
history/           the stored evaluations of an agent
guards/            collapse, drift, leaks and overfitting
arms.py            results of one version on one set of tasks, cached
comparison.py      two arms, paired
repeats.py         further attempts of the current version, which tell regressions from chance
power.py           the gain that a set of tasks can show

How it works: each arm (one adapter on one set of tasks) is cached under `home/evaluations/arms/` by everything that
decides its results: agent code, backend and its model, adapter, tasks, verifiers, options, burnish's version. The arm
of the current version therefore runs once, and the "before" of a round is the "after" of the last one. Attempts that
ended with an infrastructure error are not cached; the next evaluation repeats them. Attempts are graded while others
run and written as they end, so a killed evaluation continues without repeating one.
"""

from __future__ import annotations

from burnish_trainer.evaluation.attempts.ended import AttemptResult
from burnish_trainer.evaluation.rollouts import RunOptions
from burnish_trainer.evaluation.runner import RunCollection, collect, evaluate

__all__ = ["AttemptResult", "RunCollection", "RunOptions", "collect", "evaluate"]
