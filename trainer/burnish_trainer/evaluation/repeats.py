"""Run the current version again at the tasks that it solved, to tell regressions from chance.

`repeat_solved` is the entry. A new version that loses more solved tasks than the gate allows may be worse there, or the
tasks may be noisy: an agent that samples, a service that sometimes fails. Only the current version's own losses tell,
so it runs again, but only when the answer matters: not where the held-out gain alone rejects the new version.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from burnish.project import GateConfig
from burnish.records import Task
from burnish.statistics.paired import measure_gain
from burnish.statistics.task_results import paired_tasks
from burnish_trainer.evaluation.attempts.ended import AttemptResult
from burnish_trainer.evaluation.comparison import Pair, compare_pool, task_facts
from burnish_trainer.evaluation.rollouts import RunOptions
from burnish_trainer.gate import rejects_by_gain

RunAgain = Callable[[dict[str, list[Task]], RunOptions], list[AttemptResult]]
_POOLS = ("heldout", "standing")  # pools whose regressions the gate counts


def repeat_solved(
    pairs: Sequence[Pair],
    pools: dict[str, list[Task]],
    options: RunOptions,
    repeats: int,
    rules: GateConfig,
    run_again: RunAgain,
) -> list[AttemptResult]:
    """Return further attempts of the current version at the tasks it solved; none if they would decide nothing.

    Args:
        pairs: Results before and after.
        pools: Tasks by pool.
        options: Options of the attempts before.
        repeats: Number of further attempts.
        rules: The gate's rules: they name the share of solved tasks that may be lost without further attempts.
        run_again: Runs the current version on tasks with these options.
    """
    counted = [(b, a) for b, a in pairs if b.pool in _POOLS]
    solved = [(b, a) for b, a in counted if b.label == "success"]
    lost = sum(a.label == "fail" for _, a in solved)
    if not repeats or options.attempts > 1 or lost <= rules.max_regression_rate * len(solved):
        return []
    heldout = [pair for pair in pairs if pair[0].pool == "heldout"]
    if heldout:
        compared = compare_pool("heldout", heldout, task_facts(pools["heldout"]))
        if rejects_by_gain(measure_gain(paired_tasks(compared.tasks)), rules):
            return []
    wanted = {(b.pool, b.task_id) for b, _ in solved}
    tasks = {
        pool: [task for task in several if (pool, task.id) in wanted]
        for pool, several in pools.items()
    }
    further = dataclasses.replace(options, attempts=repeats, first=options.first + options.attempts)
    return run_again({pool: several for pool, several in tasks.items() if several}, further)
