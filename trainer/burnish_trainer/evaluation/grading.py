"""Grade recorded attempts: find them again, verify them, and measure their cost.

`AttemptGrader` grades batches; live_grading.py runs it beside the attempts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import burnish
from burnish.journal.index.trajectory_index import Query
from burnish.protocols import Verifier, traits_of
from burnish.records import Json, Trajectory, Verdict, VerdictLabel
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.evaluation.attempts.ended import AttemptResult, EndedAttempt
from burnish_trainer.evaluation.statistics import mean

_FINISHED = ("completed", "failed", "cancelled")
_SAMPLE = 3  # attempts of each label that are graded twice


class AttemptGrader:
    """Grades attempts and records the verdicts beside the trajectories; one thread must use it from start to end.

    An attempt that the agent did not complete has failed. An attempt is unknown if it was not recorded, if no verifier
    can decide it, or if it met an infrastructure error.

    Args:
        subject: The agent.
        verifiers: By default those that adapters are proven by.
    """

    def __init__(self, subject: AgentProject, verifiers: Sequence[Verifier] | None = None) -> None:
        from burnish_exporters.verify import PoolSettings
        from burnish_exporters.verify.running.pool import Verification

        self._subject = subject
        deciding = list(subject.proof_verifiers if verifiers is None else verifiers)
        self._kinds = [traits_of(verifier).kind for verifier in deciding]
        self._verification = Verification(deciding, PoolSettings(reuse=False))
        self._sample: dict[str, list[tuple[Trajectory, list[Verdict]]]] = {
            "success": [],
            "fail": [],
        }

    def __enter__(self) -> Self:
        self._verification.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._verification.__exit__(kind, error, trace)

    def grade(self, ended: Sequence[EndedAttempt]) -> list[AttemptResult]:
        """Return the results of attempts, in their order.

        Args:
            ended: The attempts.
        """
        from burnish_exporters.verify import combine

        burnish.flush()
        workspace = self._subject.workspace
        wanted = {
            one.trajectory_id: one for one in ended if one.trajectory_id and not one.infrastructure
        }
        found: dict[str, AttemptResult] = {}
        for trajectory, verdicts in self._verification.judge(
            _recorded_runs(workspace, set(wanted))
        ):
            for verdict in verdicts:
                workspace.append_verdict(trajectory.id, verdict)
            verdict = combine(verdicts, self._kinds)
            self._keep_sample(verdict.label, trajectory, verdicts)
            found[trajectory.id] = _build_result(
                wanted[trajectory.id], trajectory, verdict.label, _unknown_reason(verdict.evidence)
            )
        return [found.get(one.trajectory_id or "") or _lost_result(one) for one in ended]

    def find_unstable(self) -> list[Json]:
        """Grade a sample of attempts again; return each verifier's differing verdicts on the same run."""
        sample = [one for several in self._sample.values() for one in several]
        first = {trajectory.id: verdicts for trajectory, verdicts in sample}
        found: list[Json] = []
        for trajectory, again in self._verification.judge(run for run, _ in sample):
            found += [
                {
                    "verifier": old.verifier,
                    "trajectory": trajectory.id,
                    "task": trajectory.task_id,
                    "labels": [old.label, new.label],
                    "of": len(sample),
                }
                for old, new in zip(first[trajectory.id], again, strict=True)
                if {old.label, new.label} == {"success", "fail"}
            ]
        return found

    def _keep_sample(self, label: str, trajectory: Trajectory, verdicts: list[Verdict]) -> None:
        kept = self._sample.get(label)
        if kept is not None and len(kept) < _SAMPLE:
            kept.append((trajectory, verdicts))


def grade_attempts(
    subject: AgentProject,
    ended: Sequence[EndedAttempt],
    verifiers: Sequence[Verifier] | None = None,
) -> list[AttemptResult]:
    """Grade attempts, in their order.

    Args:
        subject: The agent.
        ended: The attempts.
        verifiers: By default those that adapters are proven by.
    """
    with AttemptGrader(subject, verifiers) as grader:
        return grader.grade(ended)


def verifier_doubts(subject: AgentProject) -> list[str]:
    """Return what audits found against the verifiers that grade the attempts; empty without an audit.

    Args:
        subject: The agent.
    """
    from burnish_exporters.verify.trust.verifier_quality import QualityStore, below_floor

    store, floor = QualityStore(subject.workspace.home), subject.config.dataset.verifier_floor
    return below_floor(subject.proof_verifiers, store, subject.name, floor=floor)


def _recorded_runs(workspace: burnish.Workspace, ids: set[str]) -> Iterator[Trajectory]:
    entries = [entry for entry in workspace.entries(Query()) if entry.id in ids] if ids else []
    yield from workspace.read(entries)


def _build_result(
    one: EndedAttempt, trajectory: Trajectory, label: VerdictLabel, reason: str | None
) -> AttemptResult:
    if one.undecided is not None:
        label, reason = "unknown", one.undecided
    elif trajectory.status in _FINISHED and one.error is not None:
        label = "fail"
    return AttemptResult(
        task_id=one.task_id,
        pool=one.pool,
        kind=one.kind,
        attempt=one.attempt,
        label=label,
        trajectory_id=trajectory.id,
        status=trajectory.status,
        reason=one.undecided or one.error or reason,
        refusal=one.refusal,
        adapters=tuple(sorted({c.policy.adapter for c in trajectory.model_calls}, key=str)),
        cost=measure_cost(trajectory),
        start_sha256=one.start_sha256,
    )


def measure_cost(trajectory: Trajectory) -> dict[str, float]:
    """Return steps, tool calls, tokens and seconds of a run."""
    usages = [call.usage for call in trajectory.model_calls if call.usage]
    ended = trajectory.ended_ns or trajectory.started_ns
    return {
        "steps": float(len(trajectory.model_calls)),
        "tool_calls": float(len(trajectory.tool_runs)),
        "input_tokens": float(sum(usage.input_tokens or 0 for usage in usages)),
        "output_tokens": float(sum(usage.output_tokens or 0 for usage in usages)),
        "latency_s": (ended - trajectory.started_ns) / 1e9,
    }


def _unknown_reason(evidence: Json) -> str | None:
    return str(evidence["reason"]) if isinstance(evidence, dict) and "reason" in evidence else None


def _lost_result(one: EndedAttempt) -> AttemptResult:
    status = "skipped" if one.skipped else "failed" if one.error else "lost"
    return AttemptResult(
        task_id=one.task_id,
        pool=one.pool,
        kind=one.kind,
        attempt=one.attempt,
        label="unknown",
        trajectory_id=one.trajectory_id,
        status=status,
        reason=one.error or "the run was not recorded",
        infrastructure=one.infrastructure,
        fault_of=one.fault_of,
        refusal=one.refusal,
    )


def mean_cost(results: Sequence[AttemptResult]) -> dict[str, float]:
    """Return the mean of each measure over the results that have one."""
    costs: list[Any] = [result.cost for result in results if result.cost]
    return {key: mean([cost[key] for cost in costs]) for key in (costs[0] if costs else {})}
