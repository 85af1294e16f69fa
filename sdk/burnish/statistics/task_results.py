"""Turn the results by task of a report into the form that the statistics take."""

from __future__ import annotations

from collections.abc import Iterable

from burnish.records import TaskComparison
from burnish.statistics.paired import PairedTask


def paired_tasks(tasks: Iterable[TaskComparison]) -> list[PairedTask]:
    """Return the results by task of a pool.

    Args:
        tasks: Results of both versions, by task.
    """
    return [
        PairedTask(t.task, t.family, t.pairs, t.won, t.lost, t.solved, t.repeats, t.lost_again)
        for t in tasks
    ]
