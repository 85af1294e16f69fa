"""What became of the threads of a rollout, read from the recorded trajectories.

Knows: which trajectories were routed here, who decides, what breaches a guard. A run whose spans came from elsewhere
was routed by no one here, whatever it says of itself, and is no evidence.
Does not know: evidence, steps, decisions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from burnish.canary.assignment import Arm
from burnish.journal.index import Query
from burnish.origins import RUNS
from burnish.origins import decides as may_decide
from burnish.project import CanaryConfig, GuardsConfig, trusted_sources
from burnish.records import ModelCall, Trajectory
from burnish.workspace import Workspace

HISTORY_THREADS = 30
_HISTORY_LOOK = 200


class Seen(NamedTuple):
    """A thread as its trajectories show it so far."""

    thread: str
    started_ns: int  # of its first run here
    assigned_ns: int  # of its first routed call
    arm: Arm
    success: bool | None
    breaches: dict[str, bool]
    running: bool


class ThreadReader:
    """Reads the threads of one agent's rollout.

    Args:
        home: Folder of the workspace.
        agent: Name of the agent.
        config: Who decides, and the guards.
    """

    def __init__(self, home: Path, agent: str, config: CanaryConfig) -> None:
        self._workspace = Workspace(home)
        self._agent = agent
        self._config = config
        self._trusted = trusted_sources(agent)

    def threads(self, since_ns: int, candidate: str | None, done: set[str]) -> list[Seen]:
        """Threads with routed runs that started at or after a moment, but for those done.

        Args:
            since_ns: Where to begin.
            candidate: The adapter version on trial; who answered decides the arm.
            done: Threads that were judged already.
        """
        found: dict[str, list[Trajectory]] = {}
        for entry in self._workspace.entries(Query(agent=self._agent, since_ns=since_ns)):
            if entry.thread_id is not None and entry.thread_id not in done:
                trajectory = self._workspace.trajectory(entry.id)
                if self._counts(trajectory) and first_routed(trajectory) is not None:
                    found.setdefault(entry.thread_id, []).append(trajectory)
        seen = [
            self._seen(thread, runs, candidate)
            for thread, runs in found.items()
            if not _taken_over(runs)
        ]
        return sorted(seen, key=lambda thread: (thread.assigned_ns, thread.thread))

    def history(self, stable: str | None) -> tuple[int, int]:
        """Successes and number of stable's last judged runs in production."""
        entries = self._workspace.entries(Query(agent=self._agent, source="production"))
        outcomes = []
        for entry in reversed(entries[-_HISTORY_LOOK:]):
            trajectory = self._workspace.trajectory(entry.id)
            if not self._counts(trajectory):
                continue
            success = decided([trajectory], self._config.decides, self._trusted)
            if success is not None and {call.policy.adapter for call in trajectory.model_calls} == {
                stable
            }:
                outcomes.append(success)
            if len(outcomes) == HISTORY_THREADS:
                break
        return sum(outcomes), len(outcomes)

    def _counts(self, trajectory: Trajectory) -> bool:
        """Whether a run is evidence: ours, or received where burnish.toml trusts received runs."""
        return may_decide(trajectory.origin, RUNS, self._trusted)

    def _seen(self, thread: str, runs: list[Trajectory], candidate: str | None) -> Seen:
        runs.sort(key=lambda run: run.started_ns)
        first = first_routed(runs[0])
        answered = first.policy.adapter if first else None
        return Seen(
            thread=thread,
            started_ns=runs[0].started_ns,
            assigned_ns=first.started_ns if first else runs[0].started_ns,
            arm="canary" if answered == candidate else "stable",
            success=decided(runs, self._config.decides, self._trusted),
            breaches=breached(runs, self._config.guards),
            running=any(run.status == "running" for run in runs),
        )


def _taken_over(runs: list[Trajectory]) -> bool:
    """Whether another version answered in place of one that its backend lost: no arm's evidence."""
    return any(call.policy.arm == "takeover" for run in runs for call in run.model_calls)


def first_routed(trajectory: Trajectory) -> ModelCall | None:
    """The first call that a routed model answered."""
    calls = sorted(trajectory.model_calls, key=lambda call: call.started_ns)
    return next((call for call in calls if call.policy.arm is not None), None)


def decided(
    runs: Iterable[Trajectory], decides: str | None, trusted: Collection[str] = ()
) -> bool | None:
    """The newest fact about a thread from the one who decides: an outcome source or a verifier.

    Args:
        runs: The trajectories of the thread.
        decides: The outcome source or verifier.
        trusted: Names whose facts count although they were received or imported.
    """
    facts = [fact for run in runs for fact in _facts(run, decides, trusted)]
    return max(facts)[1] if facts else None


def _facts(
    run: Trajectory, decides: str | None, trusted: Collection[str]
) -> Iterator[tuple[int, bool]]:
    for outcome in run.outcomes:
        counts = may_decide(outcome.origin, outcome.source, trusted)
        if counts and outcome.source == decides and outcome.success is not None:
            yield outcome.reported_ns, outcome.success
    for verdict in run.verdicts:
        counts = may_decide(verdict.origin, verdict.verifier, trusted)
        if counts and verdict.label != "unknown" and names(decides, verdict.verifier):
            yield verdict.decided_ns, verdict.label == "success"


def names(decides: str | None, verifier: str) -> bool:
    """Whether `decides` names a verifier: `goal_state` also one called `goal_state(checks:reached_goal)`."""
    return decides in (verifier, verifier.partition("(")[0].partition(":")[0])


def guard_names(guards: GuardsConfig) -> tuple[str, ...]:
    """The guards that are on."""
    on = {
        "errors": guards.errors,
        "tokens": guards.max_tokens is not None,
        "latency": guards.max_latency_s is not None,
    }
    return tuple(name for name, wanted in on.items() if wanted)


def breached(runs: list[Trajectory], guards: GuardsConfig) -> dict[str, bool]:
    """For each guard that is on, whether the thread breached it."""
    found: dict[str, bool] = {}
    if guards.errors:
        found["errors"] = any(run.status == "failed" for run in runs)
    if guards.max_tokens is not None:
        found["tokens"] = sum(map(_tokens, runs)) > guards.max_tokens
    if guards.max_latency_s is not None:
        found["latency"] = any(_seconds(run) > guards.max_latency_s for run in runs)
    return found


def _tokens(run: Trajectory) -> int:
    return sum(
        (call.usage.input_tokens or 0) + (call.usage.output_tokens or 0)
        for call in run.model_calls
        if call.usage is not None
    )


def _seconds(run: Trajectory) -> float:
    return (run.ended_ns - run.started_ns) / 1e9 if run.ended_ns is not None else 0.0
