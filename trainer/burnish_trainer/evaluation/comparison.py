"""Compare two sets of results on the same tasks: pairing, gain, regressions, costs.

`compare_pool` is the entry. Tasks of one family (the key `family` of a task, or the same input and data) count as one
cluster, and so do the attempts at one task; `burnish.statistics.paired` states the test and the interval.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from burnish.records import PoolComparison, Rate, Task, TaskComparison
from burnish.statistics.paired import measure_gain
from burnish.statistics.task_results import paired_tasks
from burnish_trainer.evaluation.attempts.ended import AttemptResult
from burnish_trainer.evaluation.grading import mean_cost
from burnish_trainer.evaluation.statistics import mean, wilson_rate

_UNHASHED = ("id", "family", "tags")  # names of a task, which do not make it another one
Pair = tuple[AttemptResult, AttemptResult]
AttemptsByTask = Mapping[tuple[str, str], Sequence[AttemptResult]]
"""All known attempts of the version before, by pool and task."""


class TaskFacts(NamedTuple):
    """The facts of a task that a comparison needs.

    Attributes:
        family: Family of similar tasks.
        sha256: Short hash of input and data.
        tags: Slices of the set that it belongs to.
    """

    family: str
    sha256: str
    tags: tuple[str, ...] = ()


def task_facts(tasks: Iterable[Task]) -> dict[str, TaskFacts]:
    """Return family and hash of each task, by its id.

    The key `family` of a task names its family. Tasks without one that have the same input and data are one family.

    Args:
        tasks: Tasks of a pool.
    """
    encoder = msgspec.json.Encoder(order="sorted", enc_hook=str)
    found = {}
    for task in tasks:
        data = {key: value for key, value in task.data.items() if key not in _UNHASHED}
        digest = hashlib.sha256(encoder.encode([task.input, data])).hexdigest()[:16]
        given = task.data.get("family")
        family = digest if given is None else f"family {given}"
        found[task.id] = TaskFacts(family, digest, tuple(task.tags))
    return found


def pair_results(before: Sequence[AttemptResult], after: Sequence[AttemptResult]) -> list[Pair]:
    """Pair the results of the same attempt at the same task; leave out pairs with an unknown result."""
    later = {(r.pool, r.task_id, r.attempt): r for r in after}
    both = ((r, later.get((r.pool, r.task_id, r.attempt))) for r in before)
    return [(b, a) for b, a in both if a is not None and "unknown" not in (a.label, b.label)]


def compare_pool(
    pool: str,
    pairs: Sequence[Pair],
    facts: Mapping[str, TaskFacts] | None = None,
    known: AttemptsByTask | None = None,
) -> PoolComparison:
    """Compare the results of one pool.

    Args:
        pool: Name of the pool.
        pairs: Results before and after, of this pool only.
        facts: Family and hash of each task; by default every task is a family of its own.
        known: All attempts of the version before, those of `pairs` and repeated ones; they tell how often it loses
            what it solved.
    """
    tasks = [
        _compare_task(found, (facts or {}).get(task), (known or {}).get((pool, task)))
        for task, found in _group_by_task(pairs).items()
    ]
    gain = measure_gain(paired_tasks(tasks))
    kinds = {kind: [p for p in pairs if p[0].kind == kind] for kind in {b.kind for b, _ in pairs}}
    tags = _group_by_tag(pairs, facts or {})
    old, new = mean_cost([b for b, _ in pairs]), mean_cost([a for _, a in pairs])
    return PoolComparison(
        pool=pool,
        before=_success_rate([b for b, _ in pairs]),
        after=_success_rate([a for _, a in pairs]),
        gain=gain.gain,  # a ratio of counts: .95 - 1 is not exactly -.05
        ci95=(gain.low, gain.high),
        won=gain.won,
        lost=gain.lost,
        p_value=gain.p_value,
        by_kind=_rate_groups(kinds),
        by_tag=_rate_groups(tags),
        cost={key: {"before": old[key], "after": new.get(key, 0.0)} for key in old},
        tasks=tasks,
        families=gain.clusters,
        design_effect=round(gain.design_effect, 4),
    )


def _group_by_tag(pairs: Sequence[Pair], facts: Mapping[str, TaskFacts]) -> dict[str, list[Pair]]:
    """Return the pairs of each tag; a task may have several."""
    found: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        for tag in facts[pair[0].task_id].tags if pair[0].task_id in facts else ():
            found[tag].append(pair)
    return found


def _rate_groups(groups: Mapping[str, Sequence[Pair]]) -> dict[str, dict[str, Rate]]:
    """Return the success of both sides for each group that has results, by name."""
    return {
        name: {
            "before": _success_rate([b for b, _ in pairs]),
            "after": _success_rate([a for _, a in pairs]),
        }
        for name, pairs in sorted(groups.items())
        if pairs
    }


def group_attempts(*results: Iterable[AttemptResult]) -> dict[tuple[str, str], list[AttemptResult]]:
    """Group attempts by pool and task.

    Args:
        results: Attempts of one version, from one or more runs.
    """
    found: defaultdict[tuple[str, str], list[AttemptResult]] = defaultdict(list)
    for several in results:
        for result in several:
            found[result.pool, result.task_id].append(result)
    return dict(found)


def find_regressions(
    pairs: Sequence[Pair], known: AttemptsByTask | None = None
) -> list[dict[str, str | None]]:
    """Return the tasks that were solved before and fail now, with both trajectories.

    `base` tells how often the version before solved the task, of all of its attempts.
    """
    return [
        {
            "task": b.task_id,
            "pool": b.pool,
            "before": b.trajectory_id,
            "after": a.trajectory_id,
            "base": _count_solved((known or {}).get((b.pool, b.task_id), [b])),
        }
        for b, a in pairs
        if b.label == "success" and a.label == "fail"
    ]


def unknown_by_reason(*arms: Sequence[AttemptResult]) -> dict[str, int]:
    """Count the attempts without a label, by reason."""
    counts = Counter(
        result.reason or "no reason given"
        for arm in arms
        for result in arm
        if result.label == "unknown" and result.final
    )
    return dict(sorted(counts.items()))


def faults_by_reason(results: Sequence[AttemptResult]) -> dict[str, int]:
    """Count the attempts that ended with an infrastructure error, by error."""
    counts = Counter(r.reason or "no reason given" for r in results if r.infrastructure)
    return dict(sorted(counts.items()))


def _group_by_task(pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    found: defaultdict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        found[pair[0].task_id].append(pair)
    return dict(found)


def _compare_task(
    pairs: Sequence[Pair], facts: TaskFacts | None, known: Sequence[AttemptResult] | None
) -> TaskComparison:
    task = pairs[0][0].task_id
    labels = [r.label for r in known or [] if r.label != "unknown"]
    starts = sum(b.label == "success" for b, _ in pairs)
    costs = [(b.cost, a.cost) for b, a in pairs if b.cost and a.cost]
    return TaskComparison(
        task=task,
        family=facts.family if facts else task,
        pairs=len(pairs),
        won=sum(b.label == "fail" and a.label == "success" for b, a in pairs),
        lost=sum(b.label == "success" and a.label == "fail" for b, a in pairs),
        solved=starts,
        # Only successes of the paired attempts start a repeat: tasks may be repeated because they were solved.
        repeats=starts * max(0, len(labels) - 1),
        lost_again=starts * labels.count("fail"),
        sha256=facts.sha256 if facts else "",
        tags=list(facts.tags) if facts else [],
        cost={
            key: (mean([b[key] for b, _ in costs]), mean([a.get(key, 0.0) for _, a in costs]))
            for key in (costs[0][0] if costs else {})
        },
    )


def _count_solved(attempts: Sequence[AttemptResult]) -> str:
    known = [result for result in attempts if result.label != "unknown"]
    return f"{sum(result.label == 'success' for result in known)} of {len(known)}"


def _success_rate(results: Sequence[AttemptResult]) -> Rate:
    return wilson_rate(sum(result.label == "success" for result in results), len(results))
