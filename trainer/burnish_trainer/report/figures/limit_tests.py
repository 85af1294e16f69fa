"""Show the gate's limits with Holm's correction, and what the held-out set could have shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from burnish.project import GateConfig
from burnish.records import Decision, Evaluation
from burnish.statistics.multiplicity import spend_level
from burnish.statistics.set_power import ASSUMED, compute_power
from burnish_trainer.evaluation.attempts.arm_version import read_versions
from burnish_trainer.gate import check_limits
from burnish_trainer.gate_evidence import gain_of
from burnish_trainer.heldout_uses import find_number
from burnish_trainer.report.figures.shares import Json

_POOLS = ("standing", "capability")


def measure_limits(evaluation: Evaluation, decision: Decision | None) -> list[Json]:
    """Return each limit with its p-value, the corrected one, and if it holds.

    Args:
        evaluation: What was measured.
        decision: The gate's decision, whose rules count; without one the default rules do.
    """
    rules = read_rules(decision)
    found: list[Json] = [one._asdict() for one in check_limits(evaluation, rules)]
    known = {one["name"] for one in found}
    found += [
        {"name": pool, "missing": f"no task of the pool {pool} was evaluated"}
        for pool in _POOLS
        if pool not in known
    ]
    if "regressions" not in known:
        found.append(_describe_regressions(evaluation, rules))
    if rules.max_latency_ratio is None:
        reason = "max_latency_ratio in [agent.NAME.gate] is not set"
        found.append({"name": "latency_s", "missing": reason})
    return found


def read_rules(decision: Decision | None) -> GateConfig:
    """Return the rules of a decision, or the default ones; keys of other versions are left out."""
    given: Any = decision.rules if decision is not None else {}
    known = {key: value for key, value in given.items() if key in GateConfig.__struct_fields__}
    return msgspec.convert(known, GateConfig)


def _describe_regressions(evaluation: Evaluation, rules: GateConfig) -> Json:
    """Describe regressions that the gate does not test, because they are within the limit."""
    pools = [evaluation.pools[name] for name in ("heldout", "standing") if name in evaluation.pools]
    solved, lost = sum(p.before.successes for p in pools), sum(p.lost for p in pools)
    if not solved:
        return {"name": "regressions", "missing": "no task was solved before"}
    within = f"{lost} of {solved} tasks that were solved before now fail"
    return {
        "name": "regressions", "p_worse": None, "p_adjusted": None, "verdict": "",
        "statement": f"{within}, within {rules.max_regression_rate:.0%}",
    }  # fmt: skip


def measure_power(evaluation: Evaluation, decision: Decision | None, home: Path) -> Json:
    """Return which gain the held-out set can show at the level of its decision, and how many tasks gains need.

    Args:
        evaluation: What was measured.
        decision: The gate's decision; without one, that of the next decision on the set counts.
        home: Folder of the workspace, which counts the decisions.
    """
    pool = evaluation.pools.get("heldout")
    if pool is None:
        return {"missing": "no held-out task was evaluated"}
    facts: Any = decision.facts if decision is not None and _compares(evaluation) else {}
    number, decided = find_number(home, evaluation)
    if "decision_on_set" in facts:
        number, decided = int(facts["decision_on_set"]), True
    level = float(facts.get("level") or spend_level(1 - read_rules(decision).confidence, number))
    gain = gain_of(pool)
    families = [task.family for task in pool.tasks] or [str(n) for n in range(gain.pairs)]
    if not families:
        return {"missing": "no held-out task has a result of both versions"}
    power = compute_power(families, number, level)
    return {
        "tasks": power.tasks,
        "families": power.families,
        "design_effect": power.design_effect,
        "decision_on_set": number,
        "decided": decided,
        "level": level,
        "level_left": facts.get("level_left"),
        "fresh_tasks_due": bool(facts.get("fresh_tasks_due")),
        "assumed": ASSUMED,
        "smallest_gain": power.smallest,
        "tasks_for_5_points": power.needed,
        "tasks_for_gain": power.count_tasks(gain.gain) if gain.gain > 0 else None,
    }


def _compares(evaluation: Evaluation) -> bool:
    """Return whether two versions were measured; the decision on one alone is not counted."""
    before, after = read_versions(evaluation)
    return before != after
