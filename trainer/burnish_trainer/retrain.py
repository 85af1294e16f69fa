"""Retrain an agent in one call: from recorded runs to an adapter that serves real threads.

`retrain` states the order of the stages:

    readiness -> rollouts -> dataset -> train -> evaluate -> gate -> register -> canary

Every stage leaves a receipt; an interrupted call continues where it stopped, and training continues inside its stage.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

import burnish
from burnish.errors import BackendUnavailable
from burnish.project import load_project
from burnish.records import Decision, Evaluation, RetrainReport
from burnish_trainer import console
from burnish_trainer.compat import check_libraries
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.heldout_uses import decide_and_record
from burnish_trainer.overrides import apply_overrides
from burnish_trainer.readiness.stage import ReadinessChoice, require_readiness
from burnish_trainer.run.storage import explain_full_disk, lock_folder, write_json
from burnish_trainer.stages import Stages, open_run

_MOST_LOST = 0.5  # of fresh runs, to errors of the backend


def retrain(
    agent: str,
    *,
    force: bool = False,
    canary: bool | dict[str, Any] = True,
    **overrides: Any,
) -> RetrainReport:
    """Turn the agent's verified runs into an adapter, evaluate it, and start its canary.

    Args:
        agent: Name of the agent in burnish.toml.
        force: Register the adapter even if the gate refuses it; the registry and the lineage record it.
        canary: False stops after registration; a mapping overrides settings of the canary.
        **overrides: Settings of `[agent.NAME]` for this call, such as `train={"epochs": 4}`; `verify` selects the training runs,
            `prove` grades the adapter.

    Returns:
        The result of each stage; `status` is canary, rejected, inconclusive or stopped.

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
    subject = apply_overrides(load_project(), agent, overrides)
    home = subject.workspace.home
    with (
        lock_folder(home / "runs" / f".lock-{agent}", f"a retrain of {agent!r}"),
        explain_full_disk(home),
    ):
        facts = {"config": msgspec.to_builtins(subject.config), "code": subject.code_sha256}
        choice = _Choice(force, canary is not False)
        stages = open_run(home, agent, {**facts, "choice": dataclasses.asdict(choice)})
        report = _Retrain(subject, stages, choice).run()
        report = msgspec.structs.replace(report, seconds=round(time.monotonic() - started, 3))
        stages.end(msgspec.to_builtins(report))
    return report


@dataclass(frozen=True)
class _Choice:
    """The options of a call beside burnish.toml."""

    force: bool
    releases: bool


class _Retrain:
    """One run through the stages."""

    def __init__(self, subject: AgentProject, stages: Stages, choice: _Choice) -> None:
        self._subject, self._stages, self._choice = subject, stages, choice
        self._overridden: list[str] = []  # what readiness found to block

    def run(self) -> RetrainReport:
        """Run the stages in order; stop after a stage that rules out the rest."""
        ready = self._stages.do("readiness", self._input_facts(), self._check_readiness)
        current: str | None = ready["current"]
        self._overridden = ready.get("overridden", [])
        rolled = self._run_rollouts(current)
        dataset = self._stages.do("dataset", [ready, rolled], self._build_dataset)
        adapter = self._stages.do(
            "train", [dataset, current], lambda: self._train_adapter(dataset, current)
        )
        evaluation, path = self._load_evaluation(current, adapter["id"])
        told = self._stages.do("gate", [adapter, str(path)], lambda: self._apply_gate(evaluation))
        decision = msgspec.convert(told, Decision)
        report = RetrainReport(
            agent=self._subject.name,
            run_id=self._stages.run_id,
            path=str(self._stages.folder),
            status="inconclusive" if decision.decision == "inconclusive" else "rejected",
            dataset=dataset["id"],
            adapter=adapter["id"],
            evaluation=evaluation,
            decision=decision,
            reasons=decision.reasons,
        )
        registered = self._register_adapter(report, decision, path)
        if decision.decision == "promote" or self._choice.force:
            report = self._release_adapter(report, registered)
        return msgspec.structs.replace(report, stages=self._stages.done)

    def _input_facts(self) -> Any:
        return [msgspec.to_builtins(self._subject.config), self._subject.code_sha256]

    def _check_readiness(self) -> dict[str, Any]:
        choice = ReadinessChoice(self._choice.releases, self._choice.force)
        return require_readiness(self._subject, choice, self._stages.folder)

    def _run_rollouts(self, current: str | None) -> Any:
        table = self._subject.config.evaluate
        if table.rollouts == 0:
            return None
        inputs = [current, msgspec.to_builtins(table), self._stages.run_id]
        return self._stages.do("rollouts", inputs, lambda: self._collect_runs(current))

    def _collect_runs(self, current: str | None) -> dict[str, Any]:
        from burnish_trainer.evaluation.runner import collect

        table = self._subject.config.evaluate
        seed = table.seed + _next_number(self._stages.run_id)
        tasks = self._subject.tasks("train", table.rollouts, seed)
        found = collect(self._subject, tasks, adapter=current)
        console.say(f"  {len(found.results)} fresh runs, {found.success_rate:.1%} succeeded")
        lost = sum(found.faults.values())
        for error, count in found.faults.items():
            console.say(f"  [yellow]{count} runs met an error of the backend[/]: {error}")
        if lost > _MOST_LOST * len(found.results):
            raise BackendUnavailable(
                f"{lost} of {len(found.results)} fresh runs met an error of the backend: "
                f"{next(iter(found.faults))}",
                "a backend that answers",
                f"burnish retrain {self._subject.name}, once it does",
            )
        return {
            "runs": len(found.results),
            "success_rate": found.success_rate,
            "seed": seed,
            "infrastructure_errors": found.faults,
        }

    def _build_dataset(self) -> dict[str, Any]:
        from burnish_exporters import BuildOptions, build_dataset
        from burnish_exporters.verify import PoolSettings
        from burnish_trainer.rows.examples import NEEDS_FAILURES

        burnish.flush()
        subject, workspace = self._subject, self._subject.workspace
        trusted = subject.config.trust_received
        version = build_dataset(
            workspace,
            agent=subject.name,
            verify=subject.verifiers,
            recipe={
                **msgspec.structs.asdict(subject.config.dataset),
                **self._refused_tasks(),
                **({"contrast": True} if subject.config.train.objective in NEEDS_FAILURES else {}),
            },
            options=BuildOptions(pool=PoolSettings(trust_received=tuple(trusted))),
        )
        console.say("  [green]{}[/]: {} rows", version.id, version.manifest.rows.get("train", 0))
        return {"id": version.id, "path": str(version.path), "rows": version.manifest.rows}

    def _refused_tasks(self) -> dict[str, list[str]]:
        """Return hashes of the tasks that measure the adapter, so that training excludes them."""
        from burnish_trainer.evaluation.guards.leak import describe_refusals
        from burnish_trainer.evaluation.runner import select_pools

        pools = select_pools(self._subject).values()
        return describe_refusals([task for several in pools for task in several])

    def _train_adapter(self, dataset: dict[str, Any], current: str | None) -> dict[str, Any]:
        from burnish_exporters import DatasetVersion
        from burnish_trainer.run.training import train

        table = msgspec.structs.asdict(self._subject.config.train)
        goes_on = table.pop("start", "current") == "current"
        version = train(
            DatasetVersion.open(Path(dataset["path"])),
            base_model=self._subject.config.base_model,
            workspace=self._subject.workspace,
            recipe={
                **table,
                "name": self._subject.name,
                "init_adapter": current if goes_on else None,
            },
        )
        return {"id": version.id, "run": str(version.run), "metrics": version.metrics}

    def _load_evaluation(self, current: str | None, adapter: str) -> tuple[Evaluation, Path]:
        path = self._stages.folder / "evaluation.json"
        told = self._stages.do(
            "evaluate", [current, adapter], lambda: self._run_evaluation(current, adapter)
        )
        write_json(path, told)
        return msgspec.convert(told, Evaluation), path

    def _run_evaluation(self, current: str | None, adapter: str) -> dict[str, Any]:
        from burnish_trainer.evaluation.notes import evaluation_notes
        from burnish_trainer.evaluation.runner import evaluate

        found = evaluate(self._subject, adapters=[current, adapter])
        for note in evaluation_notes(found):
            console.say(f"  {note}")
        for pool in found.pools.values():
            console.say(
                "  {}",
                f"{pool.pool}: {pool.before.rate:.1%} -> {pool.after.rate:.1%}, gain "
                f"{100 * pool.gain:+.1f} [{100 * pool.ci95[0]:+.1f}, {100 * pool.ci95[1]:+.1f}] points",
            )
        return msgspec.to_builtins(found)

    def _apply_gate(self, evaluation: Evaluation) -> dict[str, Any]:
        home, rules = self._subject.workspace.home, self._subject.config.gate
        decision = decide_and_record(home, evaluation, rules)
        console.say("  [bold]{}[/]: {}", decision.decision, "; ".join(decision.reasons))
        return msgspec.to_builtins(decision)

    def _register_adapter(
        self, report: RetrainReport, decision: Decision, path: Path
    ) -> dict[str, Any]:
        """Register the version with its report and decision; one that was not promoted may not serve."""
        from burnish_trainer.release import register_adapter

        adapter = str(report.adapter)
        forced = self._choice.force and decision.decision != "promote"
        return self._stages.do(
            "register",
            [adapter, decision.decision, forced],
            lambda: register_adapter(
                self._subject,
                adapter,
                path,
                decision,
                forced=forced,
                overridden=self._overridden,
            ),
        )

    def _release_adapter(self, report: RetrainReport, registered: dict[str, Any]) -> RetrainReport:
        from burnish_trainer.release import start_canary

        subject, adapter = self._subject, str(report.adapter)
        missing = None if self._choice.releases else "the canary is turned off"
        if not subject.config.canary.decides:
            missing = (
                f"no source decides the canary: write `decides` into "
                f"[agent.{subject.name}.canary] of {subject.project.path}"
            )
        if missing:
            console.say("  [yellow]stopped before the canary[/]: {}", missing)
            return msgspec.structs.replace(
                report, status="stopped", reasons=[*report.reasons, missing]
            )
        status = self._stages.do(
            "canary", [registered, self._stages.run_id], lambda: start_canary(subject, adapter)
        )
        console.say(f"  {status['state']} at {100 * status['share']:.0f} % of threads")
        doubts = status.get("doubts", [])
        for doubt in doubts:
            console.say(
                "  [bold red]the verifier that decides this canary may be below its precision floor[/]: {}",
                doubt,
            )
        return msgspec.structs.replace(
            report, status="canary", canary=status, reasons=[*report.reasons, *doubts]
        )


def _next_number(run_id: str) -> int:
    return int(run_id.rpartition("-")[2])


__all__ = ["retrain"]
