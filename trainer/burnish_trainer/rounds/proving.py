"""Train an adapter, evaluate it against the version in service, and decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from burnish.adapters.store import AdapterStore
from burnish.errors import RegistryError
from burnish.records import Decision, Evaluation
from burnish_trainer import console
from burnish_trainer.evaluation.history.store import save_evaluation
from burnish_trainer.heldout_uses import decide_and_record
from burnish_trainer.rounds.context import Json, RetrainRound
from burnish_trainer.rounds.planning import ONLINE, train_settings
from burnish_trainer.run.storage import write_json


def train_inputs(one: RetrainRound) -> Json:
    """Return all that decides the bytes of the adapter; an earlier round with the same leaves it to this one."""
    from burnish_trainer.run.plan import package_versions

    base = one.outputs["readiness"]["base_sha256"]
    inputs = [one.outputs["dataset"]["id"], base, train_settings(one), package_versions()]
    online = one.subject.config.train.objective == ONLINE
    return [*inputs, msgspec.to_builtins(one.subject.config.online)] if online else inputs


def train_adapter(one: RetrainRound) -> dict[str, Any]:
    """Train on the dataset of the round; with `objective = "grpo"`, on attempts of the agent itself."""
    if one.subject.config.train.objective == ONLINE:
        return _train_on_attempts(one)
    from burnish_exporters import DatasetVersion
    from burnish_trainer.run.training import train

    version = train(
        DatasetVersion.open(Path(one.outputs["dataset"]["path"])),
        base_model=one.subject.config.base_model,
        workspace=one.subject.workspace,
        recipe=train_settings(one),
    )
    return {"id": version.id, "run": str(version.run), "metrics": version.metrics}


def _train_on_attempts(one: RetrainRound) -> dict[str, Any]:
    from burnish_trainer import credit
    from burnish_trainer.online import OnlineOptions, tool_success, train_online

    table = one.subject.config.online
    report = train_online(
        one.subject,
        credit=getattr(credit, table.credit),
        options=OnlineOptions(
            steps=table.steps,
            tasks_per_step=table.tasks_per_step,
            group_size=table.group_size,
            k=0,  # the evaluation measures
        ),
        recipe=train_settings(one),
        step_reward=tool_success if table.credit == "turn_level" else None,
    )
    version = report.adapter
    return {"id": version.id, "run": str(version.run), "metrics": version.metrics}


def is_adapter_whole(one: RetrainRound, output: Json) -> bool:
    """Report if the adapter of an earlier training is in the store, unaltered."""
    try:
        AdapterStore(one.home).verify(output["id"])
    except RegistryError:
        return False
    return True


def evaluation_inputs(one: RetrainRound) -> Json:
    """Return the two versions that are compared."""
    prompts = [one.before.prompt, one.after.prompt]
    return [one.current, one.adapter, *(prompts if any(prompts) else [])]


def evaluate_adapter(one: RetrainRound) -> dict[str, Any]:
    """Run the agent with both versions on the same tasks, and write the evaluation's file."""
    from burnish_trainer.evaluation.notes import evaluation_notes
    from burnish_trainer.evaluation.runner import evaluate

    before, after = one.before, one.after
    found = evaluate(
        one.subject,
        adapters=[before.adapter, after.adapter],
        prompts=[before.prompt, after.prompt],
    )
    for note in evaluation_notes(found):
        console.say(f"  {note}")
    for pool in found.pools.values():
        console.say(
            "  {}",
            f"{pool.pool}: {pool.before.rate:.1%} -> {pool.after.rate:.1%}, gain "
            f"{100 * pool.gain:+.1f} [{100 * pool.ci95[0]:+.1f}, {100 * pool.ci95[1]:+.1f}] points",
        )
    told = msgspec.to_builtins(found)
    write_json(one.evaluation_path, told)
    return told


def gate_inputs(one: RetrainRound) -> Json:
    """Return what was measured, and the rules."""
    rules = msgspec.to_builtins(one.subject.config.gate)
    return [one.adapter, one.outputs["evaluate"], rules]


def decide_round(one: RetrainRound) -> dict[str, Any]:
    """Apply the gate's rules and count the decision."""
    evaluation = msgspec.convert(one.outputs["evaluate"], Evaluation)
    decision = decide_and_record(one.home, evaluation, one.subject.config.gate)
    save_evaluation(one.home, evaluation, decision)
    console.say("  [bold]{}[/]: {}", decision.decision, "; ".join(decision.reasons))
    return msgspec.to_builtins(decision)


def read_decision(one: RetrainRound) -> Decision:
    """Return the gate's decision."""
    return msgspec.convert(one.outputs["gate"], Decision)
