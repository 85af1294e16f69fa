"""Find tasks that measure an adapter among the rows that it was trained on.

A retrain refuses such runs when it builds a dataset (`describe_refusals`). An adapter may come from elsewhere: a version
that was built by hand, a set that was measured later. So the rows are searched again at the gate (`find_leaks`).
`find_trained_tasks` compares task sets alone, so that each evaluation tells which of its tasks are also training tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from burnish.errors import BurnishError
from burnish.records import Json, Task
from burnish_trainer.evaluation.agent_project import AgentProject, request_of, text_of_task
from burnish_trainer.evaluation.guards.findings import Finding, Severity

_SHORTEST_QUOTE = 20  # characters; shorter requests are ordinary words of a prompt


def describe_refusals(tasks: Sequence[Task]) -> dict[str, list[str]]:
    """Return hashes of tasks that measure an adapter, as the recipe of a dataset takes them.

    Args:
        tasks: Tasks of all pools.
    """
    from burnish_exporters.curate.steps.pools import request_hash, request_sketch, task_hash

    asked = [text for task in tasks for text in [request_of(task)] if text]
    return {
        "refuse_tasks": sorted({task_hash(task.id) for task in tasks}),
        "refuse_requests": sorted(set(map(request_hash, asked))),
        "refuse_similar": sorted(set(map(request_sketch, asked))),
    }


def find_leaks(
    rows: Iterable[Mapping[str, Any]], pools: Mapping[str, Sequence[Task]]
) -> list[Finding]:
    """Return a finding for each pool whose tasks are among training rows; held-out ones reject.

    Args:
        rows: Training rows.
        pools: Tasks by pool.
    """
    from burnish_exporters.curate.steps.pools import Refusals

    refusals: dict[str, Any] = {}
    for pool, tasks in pools.items():
        found = describe_refusals(tasks)
        refusals[pool] = Refusals(
            (), found["refuse_tasks"], found["refuse_requests"], found["refuse_similar"]
        )
    counts: dict[str, Counter[str]] = {pool: Counter() for pool in pools}
    total = 0
    for row in rows:
        total += 1
        texts = [
            message["content"]
            for message in row.get("messages") or []
            if message["role"] == "user" and isinstance(message.get("content"), str)
        ]
        for pool, refused in refusals.items():
            reason = refused.of_task(row.get("task_id")) or refused.of_requests(
                ["\n".join(texts), *texts]
            )
            if reason:
                counts[pool][reason.removeprefix("held out: ")] += 1
    return [_describe_leak(pool, count, total) for pool, count in counts.items() if count]


def find_trained_tasks(
    subject: AgentProject, pools: Mapping[str, Sequence[Task]]
) -> dict[str, Json]:
    """Return, for each pool, its tasks that are also training tasks, by the rule of `burnish tasks check`.

    Args:
        subject: The agent.
        pools: Tasks by pool; the pool train itself is left out.

    Returns:
        By pool: the number of tasks, the kind of overlap of each task that overlaps, and `problem` in place of them if
        the training tasks cannot be read.
    """
    from burnish_exporters.curate.steps.contamination import OverlapIndex

    measured = {pool: tasks for pool, tasks in pools.items() if pool != "train"}
    try:
        training = subject.tasks("train")
    except BurnishError as problem:
        return {
            pool: {"tasks": len(tasks), "problem": problem.found}
            for pool, tasks in measured.items()
        }
    ids, asked = {task.id for task in training}, OverlapIndex(map(text_of_task, training))
    found: dict[str, Json] = {}
    for pool, tasks in measured.items():
        kinds = {task.id: asked.find_overlap(text_of_task(task)) for task in tasks}
        overlaps = {name: kind or "same id" for name, kind in kinds.items() if kind or name in ids}
        found[pool] = {"tasks": len(tasks), "trained": overlaps}
    return found


def _describe_leak(pool: str, count: Counter[str], total: int) -> Finding:
    kinds = ", ".join(f"{n} by {reason}" for reason, n in count.items())
    severity: Severity = "reject" if pool == "heldout" else "note"
    return Finding(
        name=f"leak.{pool}",
        severity=severity,
        statement=f"{count.total()} of {total} training rows are of tasks of the pool {pool} ({kinds}): "
        "success on them proves nothing",
    )


def find_quoted_tasks(texts: Iterable[str], pools: Mapping[str, Sequence[Task]]) -> list[Finding]:
    """Return a finding for each pool whose requests stand word for word in a prompt; held-out ones reject.

    Args:
        texts: Texts of the prompt version.
        pools: Tasks by pool.
    """
    words = " ".join(" ".join(texts).casefold().split())
    found: list[Finding] = []
    for pool, tasks in pools.items():
        asked = {" ".join(request_of(task).casefold().split()) for task in tasks}
        quoted = sum(len(text) >= _SHORTEST_QUOTE and text in words for text in asked)
        if quoted:
            severity: Severity = "reject" if pool == "heldout" else "note"
            statement = f"the prompt quotes {quoted} of {len(asked)} requests of the pool {pool}: success on them proves nothing"
            found.append(
                Finding(name=f"leak.prompt.{pool}", severity=severity, statement=statement)
            )
    return found
