"""Grade recorded attempts: find them again, verify them, and measure their cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

import burnish
from burnish.protocols import Verifier, traits_of
from burnish.records import Json, Record, Trajectory, VerdictLabel
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.evaluation.rollouts import EvaluationAttempt
from burnish_trainer.evaluation.statistics import mean

_FINISHED = ("completed", "failed")


class AttemptResult(Record, frozen=True, kw_only=True):
    """The graded result of one attempt."""

    task_id: str
    pool: str
    kind: str
    attempt: int
    label: VerdictLabel
    trajectory_id: str | None = None
    status: str = "completed"
    reason: str | None = None  # why the label is unknown, or what ended the attempt
    infrastructure: bool = (
        False  # an error of the backend ended it, which says nothing about the adapter
    )
    adapters: tuple[str | None, ...] = ()  # adapters that answered, as the server reports them
    cost: dict[str, float] = msgspec.field(
        default_factory=dict
    )  # steps, tool_calls, input_tokens, output_tokens, latency_s


def grade_attempts(
    subject: AgentProject,
    ran: Sequence[EvaluationAttempt],
    since_ns: int,
    verifiers: Sequence[Verifier] | None = None,
) -> list[AttemptResult]:
    """Grade attempts, in their order, and record the verdicts beside the trajectories.

    An attempt that the agent did not complete has failed. An attempt is unknown if it was not
    recorded, if no verifier can decide it, or if it met an infrastructure error.

    Args:
        subject: The agent.
        ran: The attempts.
        since_ns: A moment before the first of them.
        verifiers: By default those that adapters are proven by.
    """
    from burnish_exporters.verify import combine, judge_all

    burnish.flush()
    workspace = subject.workspace
    wanted = {o.trajectory_id: o for o in ran if o.trajectory_id and not o.infrastructure}
    found: dict[str, AttemptResult] = {}
    recorded = _recorded_runs(workspace, subject.name, since_ns, wanted.keys())
    deciding = subject.proof_verifiers if verifiers is None else verifiers
    for trajectory, verdicts in judge_all(deciding, recorded):
        for verdict in verdicts:
            workspace.append_verdict(trajectory.id, verdict)
        verdict = combine(verdicts, [traits_of(v).kind for v in deciding])
        found[trajectory.id] = _build_result(
            wanted[trajectory.id], trajectory, verdict.label, _unknown_reason(verdict.evidence)
        )
    return [found.get(one.trajectory_id or "") or _lost_result(one) for one in ran]


def verifier_doubts(subject: AgentProject) -> list[str]:
    """Return what audits found against the verifiers that grade the attempts; empty without an audit.

    Args:
        subject: The agent.
    """
    from burnish_exporters.verify.trust.verifier_quality import QualityStore, below_floor

    store, floor = QualityStore(subject.workspace.home), subject.config.dataset.verifier_floor
    return below_floor(subject.proof_verifiers, store, subject.name, floor=floor)


def _recorded_runs(
    workspace: burnish.Workspace, agent: str, since_ns: int, wanted: Iterable[str]
) -> Iterator[Trajectory]:
    ids = set(wanted)
    for trajectory in workspace.trajectories(agent=agent, since=since_ns):
        if trajectory.id in ids:
            yield trajectory


def _build_result(
    one: EvaluationAttempt, trajectory: Trajectory, label: VerdictLabel, reason: str | None
) -> AttemptResult:
    if trajectory.status in _FINISHED and one.error is not None:
        label = "fail"
    return AttemptResult(
        task_id=one.task.id,
        pool=one.pool,
        kind=one.task.kind,
        attempt=one.attempt,
        label=label,
        trajectory_id=trajectory.id,
        status=trajectory.status,
        reason=one.error or reason,
        adapters=tuple(sorted({c.policy.adapter for c in trajectory.model_calls}, key=str)),
        cost=measure_cost(trajectory),
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


def _lost_result(one: EvaluationAttempt) -> AttemptResult:
    return AttemptResult(
        task_id=one.task.id,
        pool=one.pool,
        kind=one.task.kind,
        attempt=one.attempt,
        label="unknown",
        trajectory_id=one.trajectory_id,
        status="failed" if one.error else "lost",
        reason=one.error or "the run was not recorded",
        infrastructure=one.infrastructure,
    )


def mean_cost(results: Sequence[AttemptResult]) -> dict[str, float]:
    """Return the mean of each measure over the results that have one."""
    costs = [result.cost for result in results if result.cost]
    return {key: mean([cost[key] for cost in costs]) for key in (costs[0] if costs else {})}
