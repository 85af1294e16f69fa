"""State the stages of a round in order, and run them.

    readiness -> rollouts -> dataset -> plan -> train -> evaluate -> gate -> register -> load -> canary

`run_round` is the entry. Each stage leaves a receipt with the hash of its inputs; a stage whose inputs did not change is
not repeated. A stage may end the round: an unchanged dataset, a plan that is not approved, a decision that does not promote.
Until the canary starts, no stage changes what is in service.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from burnish.records import Decision, Evaluation, RetrainReport
from burnish_trainer.rounds import data, planning, proving, serving
from burnish_trainer.rounds.context import Json, RetrainRound
from burnish_trainer.rounds.planning import Stop


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a round.

    Attributes:
        name: Its name.
        inputs: Returns plain data that decides the output.
        work: Runs the stage and returns plain data.
        applies: Reports if the stage is part of this round.
        still_valid: Reports if the output of an earlier round for the same inputs can be used; None repeats the stage.
        stop: Returns why the round ends after this stage; None continues.
    """

    name: str
    inputs: Callable[[RetrainRound], Json]
    work: Callable[[RetrainRound], Json]
    applies: Callable[[RetrainRound], bool] = lambda _: True
    still_valid: Callable[[RetrainRound, Json], bool] | None = None
    stop: Callable[[RetrainRound], Stop | None] = lambda _: None


def readiness_inputs(one: RetrainRound) -> Json:
    """Return the settings, the agent's code, and the version in service."""
    from burnish_trainer.release import current_version  # the canary is heavy

    config, current = msgspec.to_builtins(one.subject.config), current_version(one.subject)
    prompts = [name for name in (current.prompt, one.options.prompt) if name is not None]
    return [config, one.subject.code_sha256, current.adapter, *prompts]


def check_readiness(one: RetrainRound) -> dict[str, Any]:
    """Check all preconditions before a stage costs time."""
    from burnish_trainer.readiness.stage import ReadinessChoice, require_readiness

    choice = ReadinessChoice(one.options.releases, one.options.force)
    return require_readiness(one.subject, choice, one.stages.folder)


STAGES = (
    Stage(name="readiness", inputs=readiness_inputs, work=check_readiness),
    Stage(
        name="rollouts",
        inputs=data.rollout_inputs,
        work=data.collect_rollouts,
        applies=lambda one: one.subject.config.evaluate.rollouts > 0,
    ),
    Stage(
        name="dataset",
        inputs=data.dataset_inputs,
        work=data.build_round_dataset,
        stop=planning.stop_unchanged,
    ),
    Stage(
        name="plan",
        inputs=planning.plan_inputs,
        work=planning.make_round_plan,
        stop=planning.stop_at_plan,
    ),
    Stage(
        name="train",
        inputs=proving.train_inputs,
        work=proving.train_adapter,
        still_valid=proving.is_adapter_whole,
    ),
    Stage(name="evaluate", inputs=proving.evaluation_inputs, work=proving.evaluate_adapter),
    Stage(name="gate", inputs=proving.gate_inputs, work=proving.decide_round),
    Stage(
        name="register",
        inputs=serving.registration_inputs,
        work=serving.register_version,
        stop=serving.stop_before_loading,
    ),
    Stage(name="load", inputs=serving.loading_inputs, work=serving.load_adapter_version),
    Stage(name="canary", inputs=serving.canary_inputs, work=serving.begin_canary),
)
"""The stages, in order."""


def run_round(one: RetrainRound) -> RetrainReport:
    """Run the stages of a round, from the first without a receipt on.

    Raises:
        BurnishError: A stage failed; the same call continues there.
    """
    stop: Stop | None = None
    for stage in STAGES:
        if not stage.applies(one):
            continue
        one.outputs[stage.name] = _run_stage(one, stage)
        stop = stage.stop(one)
        if stop is not None:
            break
    return _make_report(one, stop or ("canary", ""))


def _run_stage(one: RetrainRound, stage: Stage) -> Json:
    """Run a stage, or take its receipt; a failure is recorded and raised."""
    check, notify = stage.still_valid, one.controls.notify
    facts = {"round": one.stages.run_id, "stage": stage.name}

    def work() -> Json:
        notify("stage_began", facts)
        return stage.work(one)

    try:
        output = one.stages.do(
            stage.name,
            stage.inputs(one),
            work,
            still_valid=None if check is None else lambda found: check(one, found),
        )
    except Exception as problem:
        one.stages.fail(stage.name, str(problem))
        notify("stage_failed", {**facts, "error": str(problem)})
        raise
    if not one.stages.done[-1]["reused"]:
        notify("stage_ended", {**facts, "seconds": one.stages.done[-1]["seconds"]})
        if stage.name == "gate":
            notify("decided", {**facts, "adapter": one.adapter, **output})
    return output


def _make_report(one: RetrainRound, stop: Stop) -> RetrainReport:
    """Assemble the report of a round from the outputs of its stages."""
    outputs, (status, reason) = one.outputs, stop
    evaluation, told, canary = (outputs.get(name) for name in ("evaluate", "gate", "canary"))
    decision = None if told is None else msgspec.convert(told, Decision)
    reasons = [*(decision.reasons if decision else []), *([reason] if reason else [])]
    facts: dict[str, Any] = {
        "agent": one.subject.name,
        "run_id": one.stages.run_id,
        "path": str(one.stages.folder),
        "status": status,
        "dataset": (outputs.get("dataset") or {}).get("id"),
        "adapter": (outputs.get("train") or {}).get("id"),
        "canary": canary,
        "reasons": [*reasons, *(canary or {}).get("doubts", [])],
        "stages": one.stages.done,
    }
    return msgspec.structs.replace(
        msgspec.convert(facts, RetrainReport),
        evaluation=None if evaluation is None else msgspec.convert(evaluation, Evaluation),
        decision=decision,
    )
