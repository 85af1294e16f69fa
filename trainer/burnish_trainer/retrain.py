"""Retrain an agent in one call: from recorded runs to an adapter that serves real threads.

`retrain` is the entry; `rounds/stage_list.py` states the order of the stages. Every stage leaves a receipt; an interrupted
call continues where it stopped, and training continues inside its stage. A call with nothing new does nothing.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec

from burnish.imports.import_path import keep_modules
from burnish.records import RetrainReport
from burnish_trainer import console
from burnish_trainer.compat import check_libraries
from burnish_trainer.evaluation.agent_project import AgentProject, find_prompt_version, open_project
from burnish_trainer.overrides import apply_overrides
from burnish_trainer.rounds.context import Approve, RetrainRound, RoundControls, RoundOptions
from burnish_trainer.rounds.news import describe_unchanged
from burnish_trainer.rounds.stage_list import run_round
from burnish_trainer.rounds.stages import find_ended, find_unfinished, open_run
from burnish_trainer.run.storage import explain_full_disk, lock_folder


def retrain(
    agent: str,
    *,
    force: bool = False,
    canary: bool | dict[str, Any] = True,
    again: bool = False,
    dry_run: bool = False,
    approve: Approve | None = None,
    prompt: str | None = None,
    **overrides: Any,
) -> RetrainReport:
    """Turn the agent's verified runs into an adapter, evaluate it, and start its canary.

    A call with no new verified run since the last round with the same settings does nothing; its status is "unchanged".

    Args:
        agent: Name of the agent in burnish.toml.
        force: Register the adapter even if the gate refuses it; the registry and the lineage record it.
        canary: False stops after registration; a mapping overrides settings of the canary.
        again: Run a round even if nothing is new since the last one.
        dry_run: Stop after the plan: nothing is trained, and the next call continues there.
        approve: Function that gets the plan and returns True to train; by default the plan is approved.
        prompt: Prompt version that is evaluated and rolled out with the adapter; by default the one in service.
        **overrides: Settings of `[agent.NAME]` for this call, such as `train={"epochs": 4}`; `verify` selects the training runs,
            `prove` grades the adapter.

    Returns:
        The result of each stage; `status` is canary, rejected, inconclusive, stopped, planned or unchanged.

    Raises:
        UnknownAgent: burnish.toml declares no such agent.
        NoVerifier: burnish.toml names no verifier.
        EmptyDataset: The dataset has no row to learn from.
        TrainingError: Another process works on the same workspace, or training failed.
        BurnishError: Any other fault, by the area where it happened.
    """
    started = time.monotonic()
    check_libraries()
    if isinstance(canary, dict):
        overrides["canary"] = canary
    subject = apply_overrides(open_project(), agent, overrides)
    home = subject.workspace.home
    find_prompt_version(subject, prompt)
    options = RoundOptions(force=force, releases=canary is not False, prompt=prompt)
    controls = RoundControls(again=again, dry_run=dry_run, approve=approve)
    with (
        lock_folder(home / "runs" / f".lock-{agent}", f"a retrain of {agent!r}"),
        explain_full_disk(home),
        keep_modules(),
    ):
        report = _continue_or_begin(subject, options, controls)
        return msgspec.structs.replace(report, seconds=round(time.monotonic() - started, 3))


def _continue_or_begin(
    subject: AgentProject, options: RoundOptions, controls: RoundControls
) -> RetrainReport:
    """Continue the unfinished round, or begin one if something is new."""
    home, settings = subject.workspace.home, round_settings(subject, options)
    last = find_ended(home, subject.name, settings)
    if not controls.again and find_unfinished(home, subject.name, settings) is None:
        unchanged = _find_unchanged(subject, last)
        if unchanged is not None:
            return unchanged
    started = time.monotonic()
    stages = open_run(home, subject.name, settings)
    one = RetrainRound(
        subject=subject, stages=stages, options=options, controls=controls, last=last
    )
    report = run_round(one)
    if report.status != "planned":  # a planned round continues later
        seconds = round(time.monotonic() - started, 3)
        stages.end(msgspec.to_builtins(msgspec.structs.replace(report, seconds=seconds)))
    return report


def _find_unchanged(subject: AgentProject, last: Path | None) -> RetrainReport | None:
    """Return the report of a call that does nothing; None if a round is due."""
    from burnish_trainer.release import current_adapter  # the canary is heavy

    if last is None:
        return None
    reason = describe_unchanged(subject, last, current_adapter(subject))
    if reason is None:
        return None
    console.say("{}", reason)
    return RetrainReport(
        agent=subject.name, run_id=last.name, path=str(last), status="unchanged", reasons=[reason]
    )


def round_settings(subject: AgentProject, options: RoundOptions) -> dict[str, Any]:
    """Return everything that a round depends on beside the recorded runs; its schedule is left out.

    Args:
        subject: The agent.
        options: Options of the call.
    """
    config = msgspec.to_builtins(subject.config)
    config.pop("loop", None)
    return {"config": config, "code": subject.code_sha256, "choice": options.describe()}


__all__ = ["retrain", "round_settings"]
