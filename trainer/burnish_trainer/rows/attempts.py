"""Choose among the attempts at each task: the successes that rejection sampling keeps, and the advantages of all runs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from burnish_exporters.rows.canonical_json import hash_json
from burnish_trainer.credit.run_level import grpo
from burnish_trainer.credit.scored_runs import CreditRun, CreditStep

Row = dict[str, Any]
ALIKE = "all attempts at the task ended alike, so none of them has an advantage"
SAME = "another success of the task has the same replies"
_REWARDS = {"success": 1.0, "fail": 0.0}


def select_successes(rows: Iterable[Row], most: int, left_out: Counter[str]) -> list[Row]:
    """Return different successes of each task, weighted so that every task counts the same.

    Training on them is rejection sampling (RFT, Yuan et al. 2023, arXiv 2308.01825, which keeps different solutions of a
    task). Without the weights a task that is solved often would count more than one that is solved seldom.

    Args:
        rows: Rows of successes, decoded.
        most: Most successes of one task.
        left_out: Counts the others, by reason.
    """
    tasks: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        kept, key = tasks[_task_of(row)], _hash_replies(row)
        if key in kept:
            left_out[SAME] += 1
        elif len(kept) >= most:
            left_out[f"over {most} successes of the task"] += 1
        else:
            kept[key] = row
    mean = sum(map(len, tasks.values())) / max(1, len(tasks))
    return [
        {**row, "weight": _weight_of(row) * mean / len(kept)}
        for kept in tasks.values()
        for row in kept.values()
    ]


def score_attempts(rows: Iterable[Row], left_out: Counter[str]) -> list[tuple[Row, float]]:
    """Return the runs that have an advantage over the other attempts at their task, each with it.

    The advantage is that of GRPO, (R - mean) / std with R = 1 for a success and 0 for a failure; runs without a task, and
    those of tasks whose attempts ended alike, have none. Every reply that the model wrote counts.

    Args:
        rows: Rows of successes and failures, decoded.
        left_out: Counts the runs without an advantage.
    """
    known = {str(place): row for place, row in enumerate(rows)}
    runs = [
        CreditRun(
            id=place,
            task=_task_of(row),
            reward=_REWARDS[row["verdict"]["label"]],
            steps=[CreditStep()],
        )
        for place, row in known.items()
    ]
    found: list[tuple[Row, float]] = []
    for (place, _), advantage in grpo(runs).items():
        if advantage:
            row = {**_count_written(known[place]), "row_id": place, "weight": 1.0}
            found.append((row, float(advantage)))
        else:
            left_out[ALIKE] += 1
    return found


def _task_of(row: Row) -> str:
    return str(row.get("task_id") or row.get("trajectory_id") or row.get("row_id"))


def _weight_of(row: Row) -> float:
    return 1.0 if row.get("weight") is None else float(row["weight"])


def _hash_replies(row: Row) -> str:
    """Return a hash of what the model wrote, without the ids of calls."""
    return hash_json(
        [
            [m.get("content"), [c["function"] for c in m.get("tool_calls") or ()]]
            for m in row["messages"]
            if m["role"] == "assistant"
        ]
    )


def _count_written(row: Row) -> Row:
    """Return the row with every reply of the model counted: those with recorded tokens, else all."""
    captured = {call.get("message") for call in row.get("calls") or () if call.get("token_ids")}
    messages = [
        {**m, "loss": m["role"] == "assistant" and (not captured or place in captured)}
        for place, m in enumerate(row["messages"])
    ]
    return {**row, "messages": messages}
