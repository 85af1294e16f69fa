"""Read arms, outcomes and guard breaches of a rollout's threads from recorded trajectories.

`ThreadReader.read_threads` is the entry. Received runs were not routed here, whatever their attributes
say, so they are not evidence unless burnish.toml trusts them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from burnish.canary.assignment import Arm
from burnish.canary.guards import find_breaches
from burnish.journal.index.trajectory_index import Query
from burnish.origins import RUNS, may_decide
from burnish.project import CanaryConfig, read_trusted_sources
from burnish.records import ModelCall, Trajectory
from burnish.trajectories.run_reader import RunReader

HISTORY_THREADS = 30
_HISTORY_LOOK = 200


class ObservedThread(NamedTuple):
    """A thread as its trajectories show it."""

    thread: str
    started_ns: int  # start of its first run here
    assigned_ns: int  # time of its first routed call
    arm: Arm
    success: bool | None
    breaches: dict[str, bool]
    running: bool


class ThreadReader:
    """Reads the threads of one agent's rollout.

    Args:
        home: Folder of the workspace.
        agent: Name of the agent.
        config: The deciding source, and the guards.
    """

    def __init__(self, home: Path, agent: str, config: CanaryConfig) -> None:
        self._runs = RunReader(home)
        self._agent = agent
        self._config = config
        self._trusted = read_trusted_sources(agent)

    def read_threads(
        self, since_ns: int, candidate: str | None, done: set[str]
    ) -> list[ObservedThread]:
        """Return the threads with routed runs since a time, except those already judged.

        Args:
            since_ns: Start time.
            candidate: The candidate's adapter version; a thread answered by it is on the canary.
            done: Threads that were already judged.
        """
        found: dict[str, list[Trajectory]] = {}
        for entry in self._runs.entries(Query(agent=self._agent, since_ns=since_ns)):
            if entry.thread_id is not None and entry.thread_id not in done:
                trajectory = self._runs.trajectory(entry.id)
                if self._is_evidence(trajectory) and find_first_routed_call(trajectory) is not None:
                    found.setdefault(entry.thread_id, []).append(trajectory)
        seen = [
            self._observe_thread(thread, runs, candidate)
            for thread, runs in found.items()
            if not _was_taken_over(runs)
        ]
        return sorted(seen, key=lambda thread: (thread.assigned_ns, thread.thread))

    def read_history(self, stable: str | None) -> tuple[int, int]:
        """Return successes and number of stable's last judged runs in production."""
        entries = self._runs.entries(Query(agent=self._agent, source="production"))
        outcomes = []
        for entry in reversed(entries[-_HISTORY_LOOK:]):
            trajectory = self._runs.trajectory(entry.id)
            if not self._is_evidence(trajectory):
                continue
            success = find_decision([trajectory], self._config.decides, self._trusted)
            if success is not None and {call.policy.adapter for call in trajectory.model_calls} == {
                stable
            }:
                outcomes.append(success)
            if len(outcomes) == HISTORY_THREADS:
                break
        return sum(outcomes), len(outcomes)

    def _is_evidence(self, trajectory: Trajectory) -> bool:
        """Return True if a run is our own, or burnish.toml trusts received runs."""
        return may_decide(trajectory.origin, RUNS, self._trusted)

    def _observe_thread(
        self, thread: str, runs: list[Trajectory], candidate: str | None
    ) -> ObservedThread:
        runs.sort(key=lambda run: run.started_ns)
        first = find_first_routed_call(runs[0])
        answered = first.policy.adapter if first else None
        return ObservedThread(
            thread=thread,
            started_ns=runs[0].started_ns,
            assigned_ns=first.started_ns if first else runs[0].started_ns,
            arm="canary" if answered == candidate else "stable",
            success=find_decision(runs, self._config.decides, self._trusted),
            breaches=find_breaches(runs, self._config.guards),
            running=any(run.status == "running" for run in runs),
        )


def _was_taken_over(runs: list[Trajectory]) -> bool:
    """Return True if another version answered for one that its backend lost: evidence for no arm."""
    return any(call.policy.arm == "takeover" for run in runs for call in run.model_calls)


def find_first_routed_call(trajectory: Trajectory) -> ModelCall | None:
    """Return the first call that a routed model answered."""
    calls = sorted(trajectory.model_calls, key=lambda call: call.started_ns)
    return next((call for call in calls if call.policy.arm is not None), None)


def find_decision(
    runs: Iterable[Trajectory], decides: str | None, trusted: Collection[str] = ()
) -> bool | None:
    """Return the newest fact about a thread from the deciding outcome source or verifier.

    Args:
        runs: The trajectories of the thread.
        decides: Name of the outcome source or verifier.
        trusted: Names whose received or imported facts count.
    """
    facts = [fact for run in runs for fact in _iterate_deciding_facts(run, decides, trusted)]
    return max(facts)[1] if facts else None


def _iterate_deciding_facts(
    run: Trajectory, decides: str | None, trusted: Collection[str]
) -> Iterator[tuple[int, bool]]:
    for outcome in run.outcomes:
        counts = may_decide(outcome.origin, outcome.source, trusted)
        if counts and outcome.source == decides and outcome.success is not None:
            yield outcome.reported_ns, outcome.success
    for verdict in run.verdicts:
        counts = may_decide(verdict.origin, verdict.verifier, trusted)
        if counts and verdict.label != "unknown" and matches_verifier(decides, verdict.verifier):
            yield verdict.decided_ns, verdict.label == "success"


def matches_verifier(decides: str | None, verifier: str) -> bool:
    """Return True if `decides` names a verifier; `goal_state` matches `goal_state(checks:reached_goal)`."""
    return decides in (verifier, verifier.partition("(")[0].partition(":")[0])
