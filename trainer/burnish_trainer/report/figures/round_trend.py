"""Follow an agent over its rounds: success, pass@k, diversity, entropy, data; and the gap to tasks of training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from burnish.records import Evaluation
from burnish.statistics.proportions import wilson_rate
from burnish_trainer.evaluation.attempts.arm_version import ArmVersion, read_versions
from burnish_trainer.evaluation.guards.gap import measure_gap
from burnish_trainer.evaluation.guards.round_facts import (
    RoundFacts,
    decode_round,
    measure_behaviour,
)
from burnish_trainer.report.figures.learning_curve import read_objective
from burnish_trainer.report.figures.shares import Json, describe_mean
from burnish_trainer.report.sides import SIDES, MeasuredSide


def measure_gaps(evaluation: Evaluation, sides: Mapping[str, MeasuredSide]) -> dict[str, Json]:
    """Return success on tasks of training and on held-out ones, and their difference, of each side.

    Args:
        evaluation: What was measured.
        sides: Attempts by side.
    """
    reason = (
        "no task of training was attempted; set train_sample in "
        f"[agent.{evaluation.agent}.evaluate] of burnish.toml"
    )
    found: dict[str, Json] = {}
    for name, side in sides.items():
        pools = [[one for one in side.results if one.pool == p] for p in ("train", "heldout")]
        gap = measure_gap(*pools)
        missing = reason if pools[1] else "no held-out task was attempted"
        found[name] = {"missing": missing} if gap is None else dict(gap)
    return found


def measure_rounds(
    evaluation: Evaluation, sides: Mapping[str, MeasuredSide], home: Path
) -> list[Json]:
    """Return the rounds up to the evaluation, oldest first; without a record of rounds, its own versions.

    Each names the objective of its training, so that a harder one stands beside the simple one.

    Args:
        evaluation: What was measured.
        sides: Attempts and runs by side.
        home: Folder of the workspace.
    """
    guards: Any = evaluation.extras.get("guards") or {}
    rounds = [one for value in guards.get("rounds", []) if (one := decode_round(value))]
    if not rounds:
        versions: dict[str, ArmVersion] = dict(zip(SIDES, read_versions(evaluation), strict=True))
        rounds = [
            _measure_version(versions[name], side)
            for name, side in sides.items()
            if any(one.pool == "heldout" for one in side.results)
        ]
    elif rounds[-1].prompt is None:  # a record of an earlier version of burnish
        rounds[-1] = msgspec.structs.replace(rounds[-1], prompt=evaluation.after_prompt)
    newest = rounds[-1].tasks_sha256 if rounds else ""
    return [
        {
            **_describe_round(one, same_tasks=one.tasks_sha256 == newest),
            "objective": read_objective(home, one.adapter),
        }
        for one in rounds
    ]


def _measure_version(version: ArmVersion, side: MeasuredSide) -> RoundFacts:
    heldout = [one for one in side.results if one.pool == "heldout"]
    return RoundFacts(**version._asdict(), **measure_behaviour(heldout, side.runs))


def _describe_round(one: RoundFacts, *, same_tasks: bool) -> Json:
    diversity = {
        name: getattr(one, name) / one.runs if one.runs else None
        for name in ("actions", "sequences", "states")
    }
    return {
        "name": ArmVersion(one.adapter, one.prompt).label,
        "adapter": one.adapter,
        "prompt": one.prompt,
        "dataset": one.dataset,
        "same_tasks": same_tasks,
        "success": msgspec.to_builtins(wilson_rate(*one.success)),
        "pass_at": {
            k: describe_mean(value, one.tasks) if one.tasks else {"rate": value}
            for k, value in one.pass_at.items()
        },
        "runs": one.runs,
        "distinct_of_a_run": diversity,
        "entropy": one.entropy,
        "external_share": one.external_share,
    }
