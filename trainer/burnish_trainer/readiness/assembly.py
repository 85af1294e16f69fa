"""Assemble a readiness report: all checks in their order, with what each one found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import burnish
from burnish.errors import BurnishError
from burnish.protocols import traits_of
from burnish.records import Task
from burnish_trainer.evaluation.agent_project import POOLS, AgentProject
from burnish_trainer.readiness import run_findings, setup_findings
from burnish_trainer.readiness.preconditions import check_base, check_verifiers
from burnish_trainer.readiness.reasons import list_reasons
from burnish_trainer.readiness.records import ReadinessFinding, ReadinessReport
from burnish_trainer.readiness.run_facts import RunFacts, collect_run_facts


class ReadinessChecks:
    """The checks of one agent.

    Attributes:
        findings: What the checks found so far.
        errors: Errors that no retrain can go past.
        facts: Facts that later stages depend on.
    """

    def __init__(self, subject: AgentProject, *, releases: bool = True) -> None:
        self.findings: list[ReadinessFinding] = []
        self.errors: list[BurnishError] = []
        self.facts: dict[str, Any] = {"base_sha256": None, "pools": {}, "verifiers": []}
        self._subject, self._releases = subject, releases
        self._pools: dict[str, list[Task]] = {}

    def run(self) -> ReadinessReport:
        """Run all checks; one that fails ends none of the others."""
        subject = self._subject
        burnish.flush()
        if self._releases:
            self._try("canary", lambda: [setup_findings.check_release(subject)])
        self._try("verifiers", self._check_verifiers)
        self._try("agent", self._check_agent)
        for pool in POOLS:
            self._try("evaluation sets", lambda pool=pool: self._read_pool(pool))
        self._try("base model", self._check_base)
        self._try("recipe", lambda: [setup_findings.check_recipe(subject)])
        runs = self._read_runs()
        self._try("evaluation sets", lambda: setup_findings.check_sets(subject, self._pools))
        if self._pools.get("heldout"):
            heldout = self._pools["heldout"]
            self._try("evaluation sets", lambda: [setup_findings.check_power(subject, heldout)])
        if self.facts["verifiers"]:
            self._try("proof", lambda: self._check_proof(runs))
            self._try("measured verifiers", lambda: setup_findings.check_quality(subject))
        self._try("runs", lambda: self._check_runs(runs))
        return ReadinessReport(
            agent=subject.name,
            findings=self.findings,
            reasons=list_reasons(subject.config, runs),
            facts={**self.facts, **_count_facts(runs)},
        )

    def _try(self, check: str, work: Callable[[], Iterable[ReadinessFinding]]) -> None:
        """Add what a check found; an error of the check is a finding that blocks."""
        try:
            self.findings.extend(work())
        except BurnishError as error:
            self.errors.append(error)
            finding = setup_findings.describe_error(check, error)
            if finding not in self.findings:
                self.findings.append(finding)

    def _check_verifiers(self) -> list[ReadinessFinding]:
        self.facts["verifiers"] = check_verifiers(self._subject)
        _ = self._subject.proof_verifiers
        return []

    def _check_agent(self) -> list[ReadinessFinding]:
        _ = self._subject.build
        return []

    def _read_pool(self, pool: str) -> list[ReadinessFinding]:
        tasks = self._subject.tasks(pool)
        if tasks:
            self._pools[pool] = tasks
            self.facts["pools"][pool] = len(tasks)
        return []

    def _check_base(self) -> list[ReadinessFinding]:
        config = self._subject.config
        self.facts["base_sha256"] = check_base(self._subject)
        told = f"{config.base_model}, served by {config.backend}"
        return [ReadinessFinding(check="base model", level="ok", found=told)]

    def _read_runs(self) -> RunFacts:
        subject, known = self._subject, bool(self.facts["verifiers"])
        return collect_run_facts(
            subject.workspace,
            subject.name,
            subject.verifiers if known else [],
            subject.proof_verifiers if known else [],
            subject.config.trust_received,
        )

    def _check_proof(self, runs: RunFacts) -> list[ReadinessFinding]:
        return [setup_findings.check_proof(self._subject, proven=runs.proven > 0)]

    def _check_runs(self, runs: RunFacts) -> Iterable[ReadinessFinding]:
        from burnish_trainer.release import current_version

        subject, name = self._subject, self._subject.name
        yield run_findings.check_runs(name, runs, rollouts=subject.config.evaluate.rollouts)
        if self.facts["verifiers"]:
            kinds = [traits_of(verifier).kind for verifier in subject.verifiers]
            yield run_findings.check_automatic(name, runs, automatic="check" in kinds)
        current, aim = current_version(subject), subject.config.gate.aim
        yield run_findings.check_baseline(
            name, runs, self._pools.get("heldout", []), current.prompt
        )
        yield from run_findings.check_known_results(name, runs, current, aim)
        yield from run_findings.check_changes(runs)


def assemble_readiness(subject: AgentProject, *, releases: bool = True) -> ReadinessReport:
    """Return the readiness report of an agent; nothing is run, trained or asked of a model.

    Args:
        subject: The agent.
        releases: A canary is to start at the end.
    """
    return ReadinessChecks(subject, releases=releases).run()


def _count_facts(runs: RunFacts) -> dict[str, Any]:
    return {
        "runs": {"recorded": runs.recorded, "read": runs.read},
        "verified_successes": dict(runs.successes),
        "failures": runs.failures,
        "undecided": runs.undecided,
        "unverified": runs.unverified,
        "tasks": {"judged": len(runs.judged_tasks), "checked": len(runs.checked_tasks)},
        "tool_calls": {"read": runs.calls, "broken": dict(runs.broken_calls)},
    }
