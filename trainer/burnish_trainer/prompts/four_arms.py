"""Measure four arms on the same tasks: base, base with a better prompt, adapter, and both together.

`evaluate_arms` is the entry. Each arm is compared with the base, whose attempts are made once. No gate decides, so the
held-out set keeps its level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from burnish.errors import EvaluationError
from burnish.records import Evaluation
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.evaluation.attempts.arm_version import ArmVersion
from burnish_trainer.evaluation.runner import evaluate

BASE = "base"


def evaluate_arms(
    subject: AgentProject,
    version: ArmVersion,
    tasks: Mapping[str, Sequence[Any]],
    *,
    fresh: bool = False,
) -> dict[str, Evaluation]:
    """Compare the arms of a version with the base, and return the evaluations by name of the arm.

    Args:
        subject: The agent.
        version: Adapter and prompt; without one of them there are two arms.
        tasks: Tasks by pool.
        fresh: Repeat all attempts.

    Raises:
        EvaluationError: The version is the base itself.
    """
    named = {
        "prompt": ArmVersion(None, version.prompt),
        "adapter": ArmVersion(version.adapter, None),
        "both": version,
    }
    complete = version.adapter is not None and version.prompt is not None
    chosen = {
        name: arm
        for name, arm in named.items()
        if arm != ArmVersion() and (complete or name != "both")
    }
    if not chosen:
        raise EvaluationError(
            f"agent {subject.name!r} has neither an adapter nor a prompt version to measure",
            "at least one of them",
            f"burnish eval {subject.name} --arms --prompt VERSION --adapter VERSION",
        )
    found: dict[str, Evaluation] = {}
    for number, (name, arm) in enumerate(chosen.items()):
        found[name] = evaluate(
            subject,
            adapters=[None, arm.adapter],
            prompts=[None, arm.prompt],
            tasks=dict(tasks),
            fresh=fresh and number == 0,
        )
    return found


def tabulate_arms(found: Mapping[str, Evaluation]) -> list[dict[str, Any]]:
    """Return one row for each pool and arm: version, success, gain over the base, and the test.

    Args:
        found: Evaluations by name of the arm.
    """
    rows: list[dict[str, Any]] = []
    first = next(iter(found.values()))
    for pool, base in first.pools.items():
        rows.append(_make_row(pool, BASE, first, base.before))
        for name, evaluation in found.items():
            compared = evaluation.pools.get(pool)
            if compared is None:
                continue
            gain, (low, high) = compared.gain, compared.ci95
            row = _make_row(pool, name, evaluation, compared.after)
            row["gain"] = f"{100 * gain:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
            rows.append({**row, "p_value": f"{compared.p_value:.2g}"})
    return rows


def _make_row(pool: str, name: str, evaluation: Evaluation, rate: Any) -> dict[str, Any]:
    arm = ArmVersion(evaluation.after, evaluation.after_prompt) if name != BASE else ArmVersion()
    return {
        "pool": pool,
        "arm": name,
        "adapter": arm.adapter,
        "prompt": arm.prompt,
        "rate": rate.rate,
        "success": f"{100 * rate.rate:.1f} % [{100 * rate.low:.0f}, {100 * rate.high:.0f}]",
        "gain": "-",
        "p_value": "-",
    }
