"""Verify finished runs as they arrive, and append each verdict to the journal as a frame.

`verify_runs()` looks once, `Watch` looks again and again. A canary without reported outcomes and a
loop read the verdicts.

The frames alone record which runs were verified: a stopped watch continues where it was, and two
watches of one workspace give the same verdicts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Self

import msgspec

from burnish.errors import NoVerifier
from burnish.journal.index.trajectory_index import Query
from burnish.protocols import Verifier, traits_of
from burnish.records import Trajectory, Verdict
from burnish.trajectories.run_reader import Since, to_nanoseconds
from burnish.workspace import Workspace
from burnish_exporters.verify.running.pool import PoolSettings, Verification
from burnish_exporters.verify.verdicts import ENDED, earlier

_LATE_NS = 24 * 3600 * 10**9  # events from other machines may arrive this late


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of verify_runs().

    Attributes:
        seen: Finished runs.
        skipped: Runs that already had a verdict of every verifier in its present version.
        labels: New verdicts, by verifier and label.
    """

    seen: int = 0
    skipped: int = 0
    labels: dict[str, dict[str, int]] = {}


def verify_runs(
    workspace: Workspace,
    agent: str,
    verifiers: Sequence[Verifier],
    since: Since | None = None,
    *,
    settings: PoolSettings | None = None,
) -> VerifyReport:
    """Verify the finished runs of an agent that lack a verdict, of every source, and append the verdicts.

    Args:
        workspace: Workspace from which runs are read and to which verdicts are appended.
        agent: Agent whose runs are verified.
        verifiers: Verifiers that judge.
        since: Only runs that started then or later.
        settings: Limits of verification.

    Raises:
        NoVerifier: If there is no verifier.
    """
    labels: dict[str, Counter[str]] = {verifier.name: Counter() for verifier in verifiers}
    with Watch(workspace, agent, verifiers, source=None, settings=settings) as watch:
        for _, verdict in watch.look(since):
            labels[verdict.verifier][verdict.label] += 1
    given = {name: dict(counter) for name, counter in labels.items()}
    return VerifyReport(seen=watch.seen, skipped=watch.skipped, labels=given)


class Watch:
    """Looks at a workspace repeatedly; the verifiers' processes stay between looks.

    Args:
        workspace: Workspace from which runs are read and to which verdicts are appended.
        agent: Agent whose runs are verified.
        verifiers: Verifiers that judge.
        source: Only runs of this source; None takes all.
        settings: Limits of verification.

    Raises:
        NoVerifier: If there is no verifier.
    """

    def __init__(
        self,
        workspace: Workspace,
        agent: str,
        verifiers: Sequence[Verifier],
        *,
        source: str | None = "production",
        settings: PoolSettings | None = None,
    ) -> None:
        if not verifiers:
            raise NoVerifier("no verifier", "at least one", 'verify = ["outcome"] in burnish.toml')
        self._workspace, self._agent, self._source = workspace, agent, source
        self._verifiers = list(verifiers)
        self._verification = Verification(verifiers, settings)
        self._trusted = settings.trust_received if settings else ()
        self._done: set[str] = set()
        self._open_since_ns: int | None = None
        self.seen = self.skipped = (
            0  # finished runs, and those of them that already had every verdict
        )

    def __enter__(self) -> Self:
        self._verification.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._verification.__exit__(*exception)

    def look(self, since: Since | None = None) -> Iterator[tuple[Trajectory, Verdict]]:
        """Verify runs that have ended and lack a verdict; yield each verdict once its frame is written.

        A verifier that reads outcomes judges a run again at the next look after a later outcome.

        Args:
            since: Only runs that started then or later.
        """
        for trajectory, verdicts in self._verification.judge(self._unjudged(since)):
            for verifier, verdict in zip(self._verifiers, verdicts, strict=True):
                if earlier(verifier, trajectory, self._trusted) is None:
                    self._workspace.append_verdict(trajectory.id, verdict)
                    yield trajectory, verdict

    def _unjudged(self, since: Since | None) -> Iterator[Trajectory]:
        asked, known = to_nanoseconds(since), self._open_since_ns
        first = max((moment for moment in (asked, known) if moment is not None), default=None)
        query = Query(agent=self._agent, source=self._source, since_ns=first)
        entries = self._workspace.entries(query)
        undone = [entry.started_ns for entry in entries if entry.id not in self._done]
        latest = max((entry.started_ns for entry in entries), default=known)
        oldest = min(undone, default=latest)
        self._open_since_ns = None if oldest is None else oldest - _LATE_NS
        for entry in entries:
            if entry.id in self._done or entry.status not in ENDED:
                continue
            trajectory = self._workspace.trajectory(entry.id)
            self.seen += 1
            if all(earlier(v, trajectory, self._trusted) for v in self._verifiers):
                self.skipped += 1
                if not any(traits_of(v).reads_outcomes for v in self._verifiers):
                    self._done.add(entry.id)
            else:
                yield trajectory
