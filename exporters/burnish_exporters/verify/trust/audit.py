"""Measure the verifiers of an agent against what people say of a random sample of its runs.

Knows: drawing the sample, asking the verifiers about it again without showing them the labels, and how judge and
checks drift apart from round to round. Does not know: how labels are given (labels.py).

Only runs of the sample count: labels that were given because a run looked odd say nothing about the others.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from burnish.errors import VerificationError, WorkspaceError
from burnish.journal.index.trajectory_index import Query
from burnish.protocols import Verifier, traits_of
from burnish.records import Trajectory, VerdictLabel
from burnish.workspace import Workspace
from burnish_exporters.verify.checks.outcome import human
from burnish_exporters.verify.running.pool import PoolSettings, judge_all
from burnish_exporters.verify.running.watching import ENDED
from burnish_exporters.verify.trust.metrics import FLOOR, Quality, audit, audit_sample
from burnish_exporters.verify.trust.verifier_quality import Drawn, Measurement, QualityStore


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What judge and checks say of the runs of one adapter version.

    Attributes:
        adapter: The version that answered; None is the base model.
        runs: Runs of which both know something.
        judge: Share that the judge calls a success, 0 to 1.
        check: Share that the checks call a success.
        divergence: Share on which they differ.
    """

    adapter: str | None
    runs: int
    judge: float
    check: float
    divergence: float


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit found.

    Attributes:
        agent: Whose verifiers.
        drawn: Runs of the sample.
        labelled: Those that a person called good or bad.
        floor: Least lower bound of precision at which a success counts.
        verifiers: By name what was found; without those that only repeat what people say.
        rounds: By judge, how far it is from the checks, round by round, oldest first.
    """

    agent: str
    drawn: int
    labelled: int
    floor: float
    verifiers: dict[str, Quality]
    rounds: dict[str, list[Round]]


def draw(workspace: Workspace, agent: str, size: int, *, seed: int = 0) -> Drawn:
    """Choose the runs that people shall label, at random among all that have ended.

    Raises:
        VerificationError: If no run has ended.
    """
    entries = workspace.entries(Query(agent=agent))
    ended: list[Any] = [entry for entry in entries if entry.status in ENDED]
    if not ended:
        raise VerificationError(
            f"no finished run of {agent!r}",
            "runs to choose from",
            f"burnish traces list --agent {agent}",
        )
    chosen = Drawn(
        ids=[entry.id for entry in audit_sample(ended, size, seed=seed)], seed=seed, of=len(ended)
    )
    store = QualityStore(workspace.home)
    store.write(agent, msgspec.structs.replace(store.read(agent), drawn=chosen))
    return chosen


def audit_agent(
    workspace: Workspace,
    agent: str,
    verifiers: Sequence[Verifier],
    *,
    floor: float = FLOOR,
    settings: PoolSettings | None = None,
) -> AuditReport:
    """Measure verifiers on the labelled runs of the sample, and keep what was found.

    Args:
        workspace: Where runs, labels and measurements are.
        agent: Whose runs.
        verifiers: Who is measured.
        floor: Least lower bound of precision, 0 to 1, at which a success counts.
        settings: Limits of verification.

    Raises:
        VerificationError: If no sample was drawn.
    """
    store = QualityStore(workspace.home)
    drawn = store.read(agent).drawn
    if drawn is None:
        raise VerificationError(
            f"no sample of {agent!r} was drawn", "runs for people to label",
            f"burnish verify audit {agent} --draw 100",
        )  # fmt: skip
    runs = [run for found in drawn.ids if (run := present(workspace, found)) is not None]
    truths: dict[str, VerdictLabel] = {run.id: human().verify(run).label for run in runs}
    labelled = [run for run in runs if truths[run.id] != "unknown"]
    measured = [verifier for verifier in verifiers if getattr(verifier, "source", None) != "human"]
    said: dict[str, list[tuple[VerdictLabel, VerdictLabel]]] = {v.name: [] for v in measured}
    blind = {run.id: _without_labels(run) for run in labelled}
    for run, verdicts in judge_all(measured, blind.values(), settings) if measured else ():
        for verifier, verdict in zip(measured, verdicts, strict=True):
            said[verifier.name].append((verdict.label, truths[run.id]))
    found = {name: audit(pairs, floor=floor) for name, pairs in said.items()}
    now = time.time_ns()
    store.put(agent, [
        Measurement(verifier=v.name, version=v.version, quality=found[v.name], floor=floor, measured_ns=now)
        for v in measured
        if found[v.name].labelled
    ])  # fmt: skip
    return AuditReport(
        agent=agent,
        drawn=len(drawn.ids),
        labelled=len(labelled),
        floor=floor,
        verifiers=found,
        rounds=rounds_of(workspace.trajectories(agent=agent), verifiers),
    )


def rounds_of(
    trajectories: Iterable[Trajectory], verifiers: Sequence[Verifier]
) -> dict[str, list[Round]]:
    """How far each judge is from the checks, by the adapter version that answered, in order of appearance.

    A judge that says more and more successes than the checks is being pleased, not obeyed.
    """
    judges = [v.name for v in verifiers if traits_of(v).kind == "judge"]
    checks = [v.name for v in verifiers if traits_of(v).kind != "judge"]
    counts: dict[str, dict[str | None, Counter[str]]] = {name: {} for name in judges}
    for run in trajectories if judges and checks else ():
        newest = {v.verifier: v.label for v in run.verdicts if v.origin == "own"}
        known = {newest.get(name, "unknown") for name in checks} - {"unknown"}
        check = "fail" if "fail" in known else "success" if known else "unknown"
        adapter = run.model_calls[-1].policy.adapter if run.model_calls else None
        for name in judges:
            label = newest.get(name, "unknown")
            if "unknown" in (label, check):
                continue
            counter = counts[name].setdefault(adapter, Counter())
            counter["runs"] += 1
            counter["judge"] += label == "success"
            counter["check"] += check == "success"
            counter["differ"] += label != check
    return {
        name: [_build_round(adapter, counter) for adapter, counter in found.items()]
        for name, found in counts.items()
        if found
    }


def _build_round(adapter: str | None, counter: Counter[str]) -> Round:
    runs = counter["runs"]
    return Round(
        adapter=adapter,
        runs=runs,
        judge=counter["judge"] / runs,
        check=counter["check"] / runs,
        divergence=counter["differ"] / runs,
    )


def _without_labels(run: Trajectory) -> Trajectory:
    """The run as a verifier saw it that knows nothing of the labels, nor of what it said before."""
    reported = [outcome for outcome in run.outcomes if outcome.source != "human"]
    return msgspec.structs.replace(run, outcomes=reported, verdicts=_blind_verdicts(run))


def _blind_verdicts(run: Trajectory) -> list[Any]:
    """Verdicts that no label can have shaped: those given before the first one."""
    given = [
        outcome.reported_ns
        for outcome in run.outcomes
        if outcome.source == "human" and outcome.origin == "own"
    ]
    first = min(given, default=0)
    return [verdict for verdict in run.verdicts if verdict.decided_ns < first]


def present(workspace: Workspace, trajectory_id: str) -> Trajectory | None:
    """A run of the sample; None where it was forgotten since."""
    try:
        return workspace.trajectory(trajectory_id)
    except WorkspaceError:
        return None
