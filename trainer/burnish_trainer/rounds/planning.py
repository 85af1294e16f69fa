"""Plan a round before anything is trained: rows, tokens, steps, time, memory, attempts, and the objective.

`make_round_plan` is the entry of the stage; `stop_at_plan` asks if the round continues.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from burnish_trainer import console
from burnish_trainer.recipes.train_recipe import recipe_of_agent
from burnish_trainer.rounds.context import Json, RetrainRound
from burnish_trainer.rounds.escalation import check_objective, recommend_objective
from burnish_trainer.rounds.history import (
    continues_from,
    describe_round,
    read_report,
    read_rounds,
)
from burnish_trainer.rounds.stages import hash_inputs, list_runs, read_receipt

ONLINE = "grpo"
"""The objective that learns from fresh attempts of the agent, not from the dataset."""
_MOST_VERSIONS = 20  # of prompts or tools that a plan lists

Stop = tuple[str, str]
"""Status of the round, and the reason why it stops."""


def train_settings(one: RetrainRound) -> dict[str, Any]:
    """Return the settings of the training, with the version that it starts from."""
    table = one.subject.config.train
    return {
        **recipe_of_agent(table),
        "name": one.subject.name,
        "init_adapter": one.current if table.start == "current" else None,
    }


def plan_inputs(one: RetrainRound) -> Json:
    """Return what decides the plan."""
    evaluation = msgspec.to_builtins(one.subject.config.evaluate)
    return [one.outputs["dataset"]["id"], train_settings(one), evaluation]


def make_round_plan(one: RetrainRound) -> dict[str, Any]:
    """Estimate training and evaluation, recommend an objective, and print the plan.

    Raises:
        TrainingError: The objective is harder than the evidence allows, and the round is not forced.
    """
    known = read_rounds(one.home, one.subject.name)
    earlier = [found for found in known if found.run_id != one.stages.run_id]
    advice = recommend_objective(earlier, rows=one.outputs["dataset"]["rows"].get("train", 0))
    objective, force = one.subject.config.train.objective, one.options.force
    forced, versions = check_objective(objective, advice, force=force), RowVersions()
    plan: dict[str, Any] = {
        "training": estimate_training(one, versions),
        "evaluation": count_attempts(one),
        "power": _describe_power(one),
        "prompts": sorted(versions.prompts),
        "tools": sorted(versions.tools),
        "advice": msgspec.to_builtins(advice),
        "forced": forced,
    }
    for line in describe_plan(plan):
        console.say("  {}", line)
    return plan


class RowVersions:
    """The versions of system prompts and tool schemas that pass by in rows; each is named by its hash."""

    def __init__(self) -> None:
        self.prompts: set[str] = set()
        self.tools: set[str] = set()

    def read_rows(self, rows: Iterable[dict[str, Any]]) -> None:
        """Note the versions of rows."""
        for row in rows:
            said = [one["content"] for one in row["messages"] if one.get("role") == "system"]
            for known, value in ((self.prompts, said), (self.tools, row["tools"])):
                if value and len(known) < _MOST_VERSIONS:
                    known.add(hash_inputs(value)[:12])


def estimate_training(one: RetrainRound, versions: RowVersions) -> dict[str, Any]:
    """Return rows, tokens, steps, seconds and memory of the training, measured on one batch.

    Args:
        one: The round.
        versions: Gets the prompts and tools of the rows.

    Raises:
        TrainingError: The base model cannot be trained.
    """
    from burnish_exporters import DatasetVersion
    from burnish_trainer.run.training import plan_training

    dataset = DatasetVersion.open(Path(one.outputs["dataset"]["path"]))
    versions.read_rows(dataset.rows("train"))
    if one.subject.config.train.objective == ONLINE:
        table = one.subject.config.online
        return {
            "objective": ONLINE,
            "dataset": dataset.id,
            "steps": table.steps,
            "attempts": table.steps * table.tasks_per_step * table.group_size,
            "rows": {},
            "estimate": {},
        }
    plan = plan_training(
        dataset,
        base_model=one.subject.config.base_model,
        recipe=train_settings(one),
        home=one.home,
    )
    return {
        "objective": plan.objective,
        "dataset": dataset.id,
        "steps": plan.steps,
        "rows": plan.rows,
        "estimate": plan.estimate,
    }


def count_attempts(one: RetrainRound) -> dict[str, Any]:
    """Return how many attempts the evaluation makes at most, and the seconds that earlier rounds suggest."""
    config, pools = one.subject.config, one.outputs["readiness"]["pools"]
    tasks = sum(pools.values())
    attempts = 2 * tasks * config.evaluate.attempts
    rate = _seconds_per_attempt(one)
    return {
        "tasks": tasks,
        "attempts": attempts,
        "repeats": tasks * config.evaluate.repeat_base,
        "seconds": None if rate is None else round(rate * attempts, 1),
    }


def _describe_power(one: RetrainRound) -> str:
    """Return what the held-out tasks can show, before anything is trained."""
    from burnish_trainer.evaluation.power import describe_power

    subject = one.subject
    return describe_power(one.home, subject.name, subject.tasks("heldout"), subject.config.gate)


def _seconds_per_attempt(one: RetrainRound) -> float | None:
    """Return the seconds of one attempt in the newest round that evaluated."""
    for folder in reversed(list_runs(one.home, one.subject.name)):
        output = read_receipt(folder / "stages" / "evaluate.json").get("output") or {}
        if output.get("trajectories") and output.get("seconds"):
            return float(output["seconds"]) / float(output["trajectories"])
    return None


def describe_plan(plan: dict[str, Any]) -> list[str]:
    """Return the plan as lines of text."""
    training, evaluation = plan["training"], plan["evaluation"]
    rows, cost = training["rows"], training["estimate"]
    lines = [
        f"train {training['objective']} ({training['steps']} steps) on {training['attempts']} attempts of the agent"
        if training["objective"] == ONLINE
        else f"train {training['objective']} on {training['dataset']}: {rows['rows']} rows "
        f"({sum(rows['dropped'].values())} dropped), {rows['tokens']:,} tokens "
        f"({rows['loss_tokens']:,} learned), {training['steps']} steps"
    ]
    if cost:
        lines.append(
            f"about {cost['seconds']:,.0f} s and {cost['memory_bytes'] / 2**20:,.0f} MiB, "
            f"{cost['trainable_weights']:,.0f} weights"
        )
    advice = plan["advice"]
    lines.append(f"objective {advice['objective']} is recommended: {'; '.join(advice['reasons'])}")
    lines += [f"forced: {reason}" for reason in plan["forced"]]
    seconds = evaluation["seconds"]
    lines.append(
        f"evaluate on {evaluation['tasks']} tasks: at most {evaluation['attempts']} attempts, and "
        f"{evaluation['repeats']} repeats of the current version"
        + ("" if seconds is None else f", about {seconds:,.0f} s by the last round")
    )
    if plan.get("power"):
        lines.append(plan["power"])
    return lines


def read_plan(folder: Path) -> dict[str, Any] | None:
    """Return the plan of a round; None if it has none."""
    return read_receipt(folder / "stages" / "plan.json").get("output")


def stop_at_plan(one: RetrainRound) -> Stop | None:
    """Return why the round stops at its plan; None if it continues."""
    name = one.subject.name
    if one.controls.dry_run:
        return "planned", f"a dry run stops at the plan; burnish retrain {name} continues there"
    approve = one.controls.approve
    if approve is not None and "train" not in _finished(one) and not approve(one.outputs["plan"]):
        return "planned", f"the plan was not approved; burnish retrain {name} asks again"
    return None


def _finished(one: RetrainRound) -> set[str]:
    """Return the stages of this round that left a receipt."""
    return {path.stem for path in (one.stages.folder / "stages").glob("*.json")}


def stop_unchanged(one: RetrainRound) -> Stop | None:
    """Return why the round stops at its dataset; None if it differs from that of the last round."""
    if one.controls.again or one.last is None:
        return None
    report = read_report(one.last)
    if report is None:
        return None
    if report.dataset != one.outputs["dataset"]["id"] or not continues_from(report, one.current):
        return None
    return "unchanged", f"{describe_round(one.last, report)} has the same dataset, {report.dataset}"
