"""Verify the finished runs of a workspace and store what was concluded.

Knows: which runs still lack a verdict, and that a verdict is a frame of the journal.
Does not know: how a verifier concludes, and who reads the verdicts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import msgspec

from burnish.errors import NoVerifier
from burnish.protocols import Verifier
from burnish.records import Trajectory, Verdict
from burnish_exporters.verify.judge_one import earlier
from burnish_exporters.verify.pool import PoolSettings, judge_all

ENDED = ("completed", "failed", "cancelled", "abandoned")
"""Statuses of runs that have come to an end."""


class VerdictStore(Protocol):
    """What is needed of a workspace."""

    def trajectories(self, agent: str | None = None, since: Any = None) -> Iterator[Trajectory]:
        """Yield the trajectories of an agent."""
        ...

    def append_verdict(self, trajectory_id: str, verdict: Verdict) -> None:
        """Store one verdict as a frame."""
        ...


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What verify_runs() did.

    Attributes:
        seen: Finished runs.
        skipped: Runs that had a verdict of every verifier in its present version.
        labels: Verdicts given now, by verifier and label.
    """

    seen: int = 0
    skipped: int = 0
    labels: dict[str, dict[str, int]] = {}


def verify_runs(
    workspace: VerdictStore,
    agent: str,
    verifiers: Sequence[Verifier],
    since: Any = None,
    *,
    settings: PoolSettings | None = None,
) -> VerifyReport:
    """Verify the finished runs of an agent that lack a verdict, and append the verdicts.

    A run is skipped by a verifier whose present version has judged it already.

    Args:
        workspace: Where runs are read and verdicts appended.
        agent: Whose runs.
        verifiers: Who judges.
        since: Passed to `workspace.trajectories`.
        settings: Limits of verification.

    Raises:
        NoVerifier: If there is no verifier.
    """
    if not verifiers:
        raise NoVerifier("no verifier", "at least one", 'verify = ["outcome"] in burnish.toml')
    counts: Counter[str] = Counter()
    labels: dict[str, Counter[str]] = {verifier.name: Counter() for verifier in verifiers}

    def unjudged() -> Iterator[Trajectory]:
        for trajectory in workspace.trajectories(agent=agent, since=since):
            if trajectory.status not in ENDED:
                continue
            counts["seen"] += 1
            if all(earlier(verifier, trajectory) for verifier in verifiers):
                counts["skipped"] += 1
            else:
                yield trajectory

    for trajectory, verdicts in judge_all(verifiers, unjudged(), settings):
        for verifier, verdict in zip(verifiers, verdicts, strict=True):
            if earlier(verifier, trajectory) is None:
                workspace.append_verdict(trajectory.id, verdict)
                labels[verifier.name][verdict.label] += 1
    given = {name: dict(counter) for name, counter in labels.items()}
    return VerifyReport(seen=counts["seen"], skipped=counts["skipped"], labels=given)
