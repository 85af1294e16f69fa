"""Questions for the sales analyst, in pools that share no order and no customer."""

from __future__ import annotations

import random
from typing import Any

from shop import select

QUESTIONS = {
    "total": ("Quick: What is the total of order {id}?", "Order {id}: which total?"),
    "tax": ("Quick: Give me the tax of order {id}.", "Order {id}: which tax?"),
    "city": ("Quick: What is the city of order {id}?", "Order {id}: which city?"),
    "count": ("How many orders does {name} have?", "Count the orders of {name}."),
}
# Pool: its share of the customers, and the kinds of its questions.
POOLS = {
    "train": (range(70), ("total", "tax", "city", "count")),
    "heldout": (range(70, 90), ("total", "tax", "city")),
    "standing": (range(90, 105), ("count",)),
    "capability": (range(105, 120), ("count",)),  # this small model can do nothing else
}


def tasks(pool: str, n: int | None = None, seed: int = 0) -> list[dict[str, Any]]:
    """Return the tasks of a pool; the same arguments always give the same tasks.

    Args:
        pool: train, heldout, standing or capability.
        n: At most so many.
        seed: Another seed gives another order.
    """
    share, kinds = POOLS[pool]
    customers = select("SELECT id, name FROM customers ORDER BY name")
    found = []
    for place in share:
        customer = customers[place]
        orders = select("SELECT id FROM orders WHERE customer = ? ORDER BY id", customer["id"])
        for kind in kinds:
            key = customer["name"] if kind == "count" else orders[-1]["id"]
            found.append(task_of(f"{kind}-{key}"))
    random.Random(seed).shuffle(found)  # noqa: S311 - an order of tasks, no secret
    return found[:n]


def task_of(task_id: str) -> dict[str, Any]:
    """Return the task with this id, such as "total-1050" or "count-Bakalen"."""
    kind, _, key = task_id.partition("-")
    wordings = QUESTIONS[kind]
    question = wordings[len(task_id + key[-1]) % 2 if kind == "count" else int(key) % 2]
    return {
        "id": task_id,
        "kind": kind,
        "input": {
            "messages": [{"role": "user", "content": question.format(id=key, name=key)}],
        },
    }


def right_answer(task_id: str | None) -> str | None:
    """Return the database's answer to a task; None for an unknown task."""
    kind, _, key = (task_id or "").partition("-")
    if kind not in QUESTIONS:
        return None
    if kind == "count":
        sql = "SELECT count(*) AS count FROM orders JOIN customers ON customer = customers.id"
        found = select(f"{sql} WHERE name = ?", key)
    else:
        found = select("SELECT total, tax, city FROM orders WHERE id = ?", int(key))
    return f"Done: {found[0][kind]}"
