"""Find tasks that measure an adapter among the rows that it was trained on.

A retrain refuses such runs when it builds a dataset (`describe_refusals`). An adapter may come from elsewhere: a version
that was built by hand, a set that was measured later. So the rows are searched again at the gate (`find_leaks`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from burnish.records import Task
from burnish_trainer.evaluation.agent_project import request_of
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
