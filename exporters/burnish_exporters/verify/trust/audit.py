"""Measure the verifiers of an agent against people's labels of a random sample of its runs.

`draw()` draws the sample, `audit_agent()` runs the verifiers on it without showing them the labels
and stores the result, `rounds_of()` compares judges with checks from round to round. labels.py
records the labels.

Only runs of the sample count: labels of runs that looked odd say nothing about the other runs.
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
from burnish_exporters.verify.trust.metrics import FLOOR, Quality, audit, audit_sample
from burnish_exporters.verify.trust.verifier_quality import Drawn, Measurement, QualityStore
from burnish_exporters.verify.verdicts import ENDED


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """Agreement of judge and checks on the runs of one adapter version.

    Attributes:
        adapter: Version that answered; None is the base model.
        runs: Runs that both have decided.
        judge: Share that the judge calls a success, 0 to 1.
        check: Share that the checks call a success, 0 to 1.
        divergence: Share on which they differ, 0 to 1.
    """

    adapter: str | None
    runs: int
    judge: float
    check: float
    divergence: float


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """Result of an audit.

    Attributes:
        agent: Agent whose verifiers were measured.
        drawn: Runs of the sample.
        labelled: Runs that a person labelled good or bad.
        floor: Lowest lower bound of precision at which a success counts.
        verifiers: Quality by verifier; verifiers that only repeat people's labels are left out.
        rounds: Distance of each judge from the checks, round by round, oldest first.
    """

    agent: str
    drawn: int
    labelled: int
    floor: float
    verifiers: dict[str, Quality]
    rounds: dict[str, list[Round]]


def draw(workspace: Workspace, agent: str, size: int, *, seed: int = 0) -> Drawn:
    """Draw the runs for people to label, at random from all finished runs.

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
    """Measure verifiers on the labelled runs of the sample, and store the result.

    Args:
        workspace: Workspace of runs, labels and measurements.
        agent: Agent whose runs are used.
        verifiers: Verifiers to measure.
        floor: Lowest lower bound of precision, 0 to 1, at which a success counts.
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
    """Compare each judge with the checks, by the adapter version that answered, in order of appearance.

    A judge whose share of successes grows faster than that of the checks is being exploited by the
    policy.
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
    """Return the run as a verifier sees it that knows neither the labels nor its own earlier verdicts."""
    reported = [outcome for outcome in run.outcomes if outcome.source != "human"]
    return msgspec.structs.replace(run, outcomes=reported, verdicts=_blind_verdicts(run))


def _blind_verdicts(run: Trajectory) -> list[Any]:
    """Return the verdicts that no label can have influenced: those before the first label."""
    given = [
        outcome.reported_ns
        for outcome in run.outcomes
        if outcome.source == "human" and outcome.origin == "own"
    ]
    first = min(given, default=0)
    return [verdict for verdict in run.verdicts if verdict.decided_ns < first]


def present(workspace: Workspace, trajectory_id: str) -> Trajectory | None:
    """Return a run of the sample; None if it was forgotten since."""
    try:
        return workspace.trajectory(trajectory_id)
    except WorkspaceError:
        return None
