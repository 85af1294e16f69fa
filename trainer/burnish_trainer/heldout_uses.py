"""Count the decisions on a held-out set, and decide at the level that is left.

`decide_and_record` is the entry. Each decision on a set makes a false promotion likelier, so the gate gives later
decisions a smaller level. The count lies in the workspace's control store, so that concurrent processes get different
numbers, and each decision is in the audit trail.

How it works: a decision is known by the hash of its results, so that repeating it with the same results costs nothing.
The number of a new decision is one plus the share of its tasks that each earlier decision used, added up: exchanging
one task of 200 does not make a fresh set, and neither does another name for the agent.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from burnish.adapters.control import SqlControlStore
from burnish.journal.events import canonical
from burnish.project import GateConfig
from burnish.records import Decision, Evaluation, PoolComparison
from burnish_trainer.gate import decide

if TYPE_CHECKING:
    from sqlalchemy import Connection


def decide_and_record(home: Path, evaluation: Evaluation, rules: GateConfig) -> Decision:
    """Decide on an evaluation, and count the decision against its held-out set.

    A comparison of a version with itself is decided and not counted.

    Args:
        home: Folder of the workspace.
        evaluation: What was measured.
        rules: The gate's rules.

    Raises:
        EvaluationError: No held-out tasks were evaluated.
        RegistryError: The control store cannot be used.
    """
    heldout = evaluation.pools.get("heldout")
    versions = [
        (evaluation.before, evaluation.before_prompt),
        (evaluation.after, evaluation.after_prompt),
    ]
    if heldout is None or not heldout.tasks or versions[0] == versions[1]:
        return decide(evaluation, rules)
    key, tasks = _hash_results(evaluation, heldout), sorted({_task_key(t) for t in heldout.tasks})
    store = SqlControlStore(home)
    with store.transaction() as connection:
        number = _read_number(connection, evaluation.agent, key)
        known = number is not None
        if number is None:
            number = 1 + _count_uses(_read_sets(connection), tasks)
        decision = decide(evaluation, rules, number=number)
        if not known:
            _write_use(connection, evaluation.agent, key, number, tasks)
            facts: Any = {
                "adapter": evaluation.after,
                "against": evaluation.before,
                **_name_prompts(evaluation),
                "decision": decision.decision,
                "facts": decision.facts,
            }
            store.record_action(connection, evaluation.agent, "decided", facts)
    return decision


def next_number(home: Path, task_hashes: Iterable[str]) -> int:
    """Return the number that the next decision on these tasks will have.

    Args:
        home: Folder of the workspace.
        task_hashes: Hashes of the held-out tasks.
    """
    store = SqlControlStore(home)
    if store.path is not None and not store.path.exists():
        return 1
    with store.transaction(write=False) as connection:
        return 1 + _count_uses(_read_sets(connection), sorted(set(task_hashes)))


def find_number(home: Path, evaluation: Evaluation) -> tuple[int, bool]:
    """Return the number of the decision on an evaluation and True, or the number that it would get and False.

    Args:
        home: Folder of the workspace.
        evaluation: What was measured, with held-out tasks.
    """
    store, heldout = SqlControlStore(home), evaluation.pools["heldout"]
    if store.path is not None and not store.path.exists():
        return 1, False
    tasks = sorted({_task_key(task) for task in heldout.tasks})
    with store.transaction(write=False) as connection:
        known = _read_number(connection, evaluation.agent, _hash_results(evaluation, heldout))
        if known is not None:
            return known, True
        return 1 + _count_uses(_read_sets(connection), tasks), False


def _hash_results(evaluation: Evaluation, heldout: PoolComparison) -> str:
    counts = [
        [t.task, _task_key(t), t.pairs, t.won, t.lost, t.solved]
        for t in sorted(heldout.tasks, key=lambda t: t.task)
    ]
    prompts = list(_name_prompts(evaluation).values())
    decides = [evaluation.before, evaluation.after, counts, *prompts]
    return hashlib.sha256(canonical(decides)).hexdigest()


def _name_prompts(evaluation: Evaluation) -> dict[str, Any]:
    """Return the prompt versions of both sides; nothing where both have the agent's own prompts."""
    if evaluation.before_prompt is None and evaluation.after_prompt is None:
        return {}
    return {"prompt": evaluation.after_prompt, "against_prompt": evaluation.before_prompt}


def _task_key(task: Any) -> str:
    return task.sha256 or task.task


def _count_uses(earlier: Iterable[list[str]], tasks: list[str]) -> int:
    """Add up the share of the tasks that each earlier decision used, rounded to the nearest whole."""
    now = set(tasks)
    return int(sum(len(now.intersection(before)) for before in earlier) / max(len(now), 1) + 0.5)


def _read_number(connection: Connection, agent: str, key: str) -> int | None:
    from sqlalchemy import text

    found = connection.execute(
        text("SELECT number FROM gate_decisions WHERE agent = :agent AND evaluation = :key"),
        {"agent": agent, "key": key},
    ).first()
    return None if found is None else int(found.number)


def _read_sets(connection: Connection) -> list[list[str]]:
    from sqlalchemy import text

    rows = connection.execute(text("SELECT tasks FROM gate_decisions"))
    return [msgspec.json.decode(row.tasks, type=list[str]) for row in rows]


def _write_use(connection: Connection, agent: str, key: str, number: int, tasks: list[str]) -> None:
    from sqlalchemy import text

    connection.execute(
        text(
            "INSERT INTO gate_decisions (agent, evaluation, number, tasks, at_ns) "
            "VALUES (:agent, :key, :number, :tasks, :at_ns)"
        ),
        {
            "agent": agent,
            "key": key,
            "number": number,
            "tasks": msgspec.json.encode(tasks).decode(),
            "at_ns": time.time_ns(),
        },
    )


__all__ = ["decide_and_record", "find_number", "next_number"]
