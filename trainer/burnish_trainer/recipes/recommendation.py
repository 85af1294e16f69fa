"""Recommend an objective and a method for a dataset, each with the facts that speak for it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from burnish.records import Record

FEW_ROWS, MANY_ROWS, FEW_TASKS, FEW_PAIRS = 50, 50_000, 20, 30
_OPTIMIZER_COPIES = 4  # weight, gradient and two moments of a weight that is trained


class LabelledDataset(Protocol):
    """The part of a dataset version that a recommendation reads."""

    def rows(self, split: str = "train") -> Iterable[dict[str, Any]]:
        """Return the rows of a split; `train-contrast` has the verified failures."""
        ...


class Recommendation(Record, frozen=True, kw_only=True):
    """An objective and a method, with reasons.

    Attributes:
        objective: Objective to begin with: sft, or collect if there is too little to learn from.
        method: Method of the recipe.
        reasons: The facts that decide, in sentences.
        then: Objectives to try once a report shows that the first falls short, each with its reason.
        facts: The counts.
    """

    objective: str
    method: str
    reasons: list[str]
    then: dict[str, str]
    facts: dict[str, float]


def recommend_method(
    dataset: LabelledDataset,
    *,
    base_bytes: int | None = None,
    memory_bytes: int | None = None,
) -> Recommendation:
    """Return what to train on a dataset, read from its rows.

    Args:
        dataset: A dataset version.
        base_bytes: Size of the base model's weights.
        memory_bytes: Memory of the device that trains.
    """
    good, bad = list(dataset.rows("train")), _contrast_rows(dataset)
    facts = _count_facts(good, bad)
    method, why = _choose_method(len(good), base_bytes, memory_bytes)
    if not good:
        return Recommendation(
            objective="collect",
            method=method,
            reasons=[
                "no verified success to learn from: collect runs, demonstrations, or a teacher's runs"
            ],
            then={},
            facts=facts,
        )
    reasons = [
        f"{len(good)} verified successes of {facts['tasks']:.0f} tasks: supervised training comes first"
    ]
    if len(good) < FEW_ROWS:
        reasons.append(
            f"fewer than {FEW_ROWS} rows: expect style more than skill, and watch the held-out set"
        )
    if facts["tasks"] < FEW_TASKS:
        reasons.append(
            f"fewer than {FEW_TASKS} tasks: rows repeat, so the gain on other tasks may be small"
        )
    return Recommendation(
        objective="sft", method=method, reasons=[*reasons, why], then=_list_next(facts), facts=facts
    )


def _contrast_rows(dataset: LabelledDataset) -> list[dict[str, Any]]:
    try:
        return list(dataset.rows("train-contrast"))
    except (KeyError, ValueError, FileNotFoundError):
        return []  # built without contrast


def _count_facts(good: Sequence[dict[str, Any]], bad: Sequence[dict[str, Any]]) -> dict[str, float]:
    attempts: dict[str, Counter[str]] = defaultdict(Counter)
    for label, rows in (("success", good), ("fail", bad)):
        for row in rows:
            attempts[str(row.get("task_id") or row.get("row_id"))][label] += 1
    mixed = [n for n in attempts.values() if n["success"] and n["fail"]]
    captured = sum(_is_captured(row) for row in (*good, *bad))
    return {
        "rows": float(len(good)),
        "failures": float(len(bad)),
        "tasks": float(len(attempts)),
        "tasks_with_both": float(len(mixed)),
        "pairs": float(sum(min(n["success"], n["fail"]) for n in mixed)),
        "captured_share": captured / max(len(good) + len(bad), 1),
    }


def _is_captured(row: dict[str, Any]) -> bool:
    calls = row.get("calls")
    return (
        "token_ids" in calls
        if isinstance(calls, str)
        else any(call.get("token_ids") for call in calls or [])
    )


def _choose_method(rows: int, base_bytes: int | None, memory_bytes: int | None) -> tuple[str, str]:
    if base_bytes and memory_bytes:
        share = base_bytes / memory_bytes
        if share > 0.6:
            return "qlora", f"the base model takes {share:.0%} of the memory: load it in 4 bits"
        if rows >= MANY_ROWS and base_bytes * _OPTIMIZER_COPIES < 0.6 * memory_bytes:
            return "full", (
                f"{rows} rows are more than low rank takes up well, and all weights with their "
                "optimizer fit; the result is not hot-swapped"
            )
    return "lora", "LoRA: forgets least, and its adapter is hot-swapped"


def _list_next(facts: dict[str, float]) -> dict[str, str]:
    found: dict[str, str] = {}
    if facts["pairs"] >= FEW_PAIRS:
        found["dpo"] = (
            f"{facts['pairs']:.0f} pairs of success and failure at {facts['tasks_with_both']:.0f} tasks"
        )
    elif facts["failures"] >= FEW_PAIRS:
        found["kto"] = (
            f"{facts['failures']:.0f} failures, but only {facts['pairs']:.0f} at tasks that have a success"
        )
    if facts["tasks_with_both"] >= FEW_TASKS and facts["captured_share"] > 0.9:
        found["grpo"] = (
            f"{facts['tasks_with_both']:.0f} tasks are sometimes solved and sometimes not, and a "
            "verifier decides them: attempts at them differ in reward"
        )
    return found
