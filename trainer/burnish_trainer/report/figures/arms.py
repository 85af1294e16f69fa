"""Compare all versions that were ever measured on the same held-out tasks, each with the base: the arms.

`compare_arms` is the entry. An arm is an adapter, a prompt version, both, or neither, which is the base. Each arm is paired
with the base task by task, by the test of the gate; the p-values of all arms are corrected together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.errors import EvaluationError
from burnish.records import Evaluation
from burnish.statistics.multiplicity import holm_adjust
from burnish_trainer.evaluation.attempts.arm_version import ArmVersion, read_versions
from burnish_trainer.evaluation.attempts.ended import AttemptResult
from burnish_trainer.evaluation.comparison import TaskFacts, compare_pool, pair_results
from burnish_trainer.report.costs import Prices, measure_costs
from burnish_trainer.report.figures.shares import Json, count_successes
from burnish_trainer.report.sides import SIDES, read_attempts

_BASE = ArmVersion()
_KINDS = {
    "base": "the base was not evaluated on these tasks",
    "base with a better prompt": "no evaluation of these tasks has the base with a prompt version",
    "adapter": "no evaluation of these tasks has an adapter",
    "adapter with a better prompt": "no evaluation of these tasks has an adapter with a prompt version",
}


@dataclass(frozen=True, slots=True)
class MeasuredArm:
    """One version on the held-out tasks.

    Attributes:
        key: Adapter and prompt version.
        source: Name of the evaluation.
        results: Its attempts at held-out tasks.
        conditions: Options of the attempts and the hash of the agent's code.
    """

    key: ArmVersion
    source: str
    results: list[AttemptResult]
    conditions: Json

    @property
    def kind(self) -> str:
        """Return which of the four kinds of arms it is."""
        adapter, prompt = self.key
        return ("adapter" if adapter else "base") + (" with a better prompt" if prompt else "")


def compare_arms(
    evaluation: Evaluation, stored: Iterable[tuple[str, Evaluation]], prices: Prices
) -> Json:
    """Return the arms that were measured on the held-out tasks of an evaluation, and the kinds that are missing.

    Args:
        evaluation: The evaluation of the report; where a version was measured several times, its own results count.
        stored: Name and content of the agent's evaluations, newest first.
        prices: Prices of tokens.
    """
    if "heldout" not in evaluation.pools:
        return {"missing": "no held-out task was evaluated"}
    wanted = _hash_of_tasks(evaluation)
    same = [one for one in stored if wanted and _hash_of_tasks(one[1]) == wanted]
    arms, unreadable = _collect_arms([("this evaluation", evaluation), *same])
    ordered = sorted(arms.values(), key=lambda arm: (list(_KINDS).index(arm.kind), str(arm.key)))
    facts = {
        task.task: TaskFacts(task.family, task.sha256, tuple(task.tags))
        for task in evaluation.pools["heldout"].tasks
    }
    rows = [_describe_arm(arm, arms.get(_BASE), facts, prices) for arm in ordered]
    tested = {row["name"]: row["p_value"] for row in rows if row.get("p_value") is not None}
    adjusted = holm_adjust(tested)
    found = {arm.kind for arm in ordered}
    return {
        "arms": [{**row, "p_adjusted": adjusted.get(row["name"])} for row in rows],
        "missing_arms": {kind: why for kind, why in _KINDS.items() if kind not in found},
        "unreadable": unreadable,
    }


def _hash_of_tasks(evaluation: Evaluation) -> str | None:
    hashes: Any = evaluation.extras.get("tasks_sha256")
    return hashes.get("heldout") if isinstance(hashes, dict) else None


def _collect_arms(
    found: Sequence[tuple[str, Evaluation]],
) -> tuple[dict[ArmVersion, MeasuredArm], list[str]]:
    """Return the arms, each from the first evaluation that has it, and the evaluations that cannot be read."""
    arms: dict[ArmVersion, MeasuredArm] = {}
    unreadable: list[str] = []
    for name, evaluation in found:
        try:
            attempts = read_attempts(evaluation)
        except EvaluationError:
            unreadable.append(name)
            continue
        conditions = {key: evaluation.extras.get(key) for key in ("options", "code_sha256")}
        for side, key in zip(SIDES, read_versions(evaluation), strict=True):
            heldout = [one for one in attempts.get(side, []) if one.pool == "heldout"]
            if heldout and key not in arms:
                arms[key] = MeasuredArm(key, name, heldout, conditions)
    return arms, unreadable


def _describe_arm(
    arm: MeasuredArm, base: MeasuredArm | None, facts: Mapping[str, TaskFacts], prices: Prices
) -> Json:
    row: Json = {
        "name": arm.key.label,
        "kind": arm.kind,
        "adapter": arm.key[0],
        "prompt": arm.key[1],
        "from": arm.source,
        "success": count_successes(arm.results, "no verifier decided an attempt"),
        "costs": measure_costs(arm.results, prices),
        "differs": _list_differences(arm, base),
    }
    if base is None or arm.key == _BASE:
        return row
    pairs = pair_results(base.results, arm.results)
    if not pairs:
        return row
    pool = compare_pool("heldout", pairs, facts)
    return {
        **row, "pairs": len(pairs), "gain": pool.gain, "ci95": pool.ci95, "won": pool.won,
        "lost": pool.lost, "p_value": pool.p_value,
    }  # fmt: skip


def _list_differences(arm: MeasuredArm, base: MeasuredArm | None) -> list[str]:
    """List the options in which an arm and the base were run differently, and another code of the agent."""
    if base is None:
        return []
    one, two = (a.conditions["options"] or {} for a in (base, arm))
    differing = [
        f"{key} {one.get(key)} for the base, {two.get(key)} here"
        for key in sorted({*one, *two})
        if one.get(key) != two.get(key) and key != "concurrency"
    ]
    if base.conditions["code_sha256"] != arm.conditions["code_sha256"]:
        differing.append("other code of the agent")
    return differing
