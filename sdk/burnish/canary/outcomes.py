"""Read arms, outcomes and guard breaches of a rollout's threads from recorded trajectories.

`ThreadReader.read_threads` is the entry, a `Look` what one look at the journal found. The stamp of a thread's calls says which rollout assigned it to
which arm. Received runs were not routed here, whatever their attributes say, so they are not evidence
unless burnish.toml trusts them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from burnish.canary.assignment import Arm
from burnish.canary.document import RolloutDocument
from burnish.canary.guards import find_breaches
from burnish.canary.ledger import make_storable
from burnish.files.storage import BROKEN_JSON, atomic_write, make_private_folder
from burnish.journal.index.trajectory_index import IndexEntry, Query
from burnish.origins import RUNS, may_decide
from burnish.project import CanaryConfig, read_trusted_sources
from burnish.records import ModelCall, Outcome, Record, Trajectory, Verdict
from burnish.trajectories.run_reader import RunReader

HISTORY_THREADS = 30
_HISTORY_LOOK = 200
_READS_OUTCOMES = "outcome"  # the verifier whose verdicts are as late as the outcomes
_DELAYS_LOOK = 600  # runs whose delays are read
_DELAYS_FROM = 5000  # newest runs that they are taken from
_SET_BACK_NS = 60 * 10**9  # a clock that runs back by more was wrong before


class ReadingPosition(Record, frozen=True, kw_only=True):
    """The position in the journal at the last look.

    The position counts bytes of segments, so no clock decides what is new. If its file is lost, everything
    is read again, and the ledger holds what was judged.
    """

    segments: dict[str, int] = msgspec.field(default_factory=dict)
    looked_ns: int = 0  # clock of the process that looked
    running: list[str] = msgspec.field(
        default_factory=list
    )  # threads with a run that had not ended


def read_position(home: Path, agent: str) -> ReadingPosition:
    """Return the position of the last look; an empty one before the first."""
    with contextlib.suppress(OSError, *BROKEN_JSON):
        return msgspec.json.decode(_position_path(home, agent).read_bytes(), type=ReadingPosition)
    return ReadingPosition()


def write_position(home: Path, agent: str, position: ReadingPosition) -> None:
    """Store the position, if the workspace can be written."""
    path = _position_path(home, agent)
    with contextlib.suppress(OSError):
        make_private_folder(path.parent)
        atomic_write(path, msgspec.json.encode(position), durable=False)


def _position_path(home: Path, agent: str) -> Path:
    return Path(home) / "control" / "canary" / f"{quote(agent, safe='')}.json"


class ObservedThread(NamedTuple):
    """A thread as its trajectories show it."""

    thread: str
    assigned_ns: int  # time of its first routed call, by its host's clock
    arm: Arm
    share: float  # probability of the candidate at that call
    success: bool | None  # newest outcome
    reported_ns: int | None  # time of the first outcome, by its host's clock
    breaches: dict[str, bool]
    running: bool
    user: str | None = None


class Look(NamedTuple):
    """The observations of one look at the journal."""

    seen: list[ObservedThread]
    before: ReadingPosition  # of the look before
    now_ns: int
    earlier: Sequence[ObservedThread] = ()  # threads of the canary whose version was promoted

    @property
    def set_back(self) -> bool:
        """True if the clock of an earlier look was ahead, or this one is behind."""
        return self.before.looked_ns - self.now_ns > _SET_BACK_NS

    def clamp(self, moment_ns: int) -> int:
        """Move a time of any host's clock between this look and the last, when it was recorded."""
        begin_ns = self.before.looked_ns
        moment_ns = min(moment_ns, self.now_ns)
        return max(moment_ns, begin_ns) if begin_ns <= self.now_ns else moment_ns


class Assignment(NamedTuple):
    """The first call of a thread in one phase of a rollout."""

    share: float
    assigned_ns: int
    arm: Arm


class StableDelays(NamedTuple):
    """Ages of stable's finished threads and delays of their outcomes, in seconds."""

    threads: list[tuple[float, float | None]]
    by_verdict: bool  # the deciding facts are verdicts of a verifier


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

    def find_changed_threads(self, positions: Mapping[str, int]) -> tuple[set[str], dict[str, int]]:
        """Return the threads with new events since the last look, and the positions after them."""
        changes = self._runs.changes_since(positions)
        threads = {
            entry.thread_id
            for entry in changes.entries
            if entry.agent == self._agent and entry.thread_id is not None
        }
        return threads | changes.threads, changes.positions

    def find_end(self) -> dict[str, int]:
        """Return the positions at which the journal ends now."""
        return self._runs.positions()

    def read_threads(
        self, threads: Iterable[str], document: RolloutDocument
    ) -> list[ObservedThread]:
        """Return those of some threads that the current phase of a rollout assigned to an arm."""
        return self.read_phases(threads, [document])[0]

    def read_phases(
        self, threads: Iterable[str], documents: Sequence[RolloutDocument]
    ) -> list[list[ObservedThread]]:
        """Return, for each of some phases of a rollout, the threads that it assigned to an arm.

        Args:
            threads: The threads to read.
            documents: The document as it was in each phase.
        """
        found: list[list[ObservedThread]] = [[] for _ in documents]
        for thread in sorted(threads):
            entries = self._runs.entries(Query(agent=self._agent, thread_id=thread))
            runs = [run for run in self._runs.read(entries) if self._is_evidence(run)]
            for place, document in enumerate(documents):
                seen = self._observe_thread(thread, runs, document)
                if seen is not None:
                    found[place].append(self._time_outcome(seen, entries, document))
        return [sorted(seen, key=lambda one: (one.assigned_ns, one.thread)) for seen in found]

    def _time_outcome(
        self, seen: ObservedThread, entries: Sequence[IndexEntry], document: RolloutDocument
    ) -> ObservedThread:
        """Return a thread with the time of its first outcome, which decides whether it came in time.

        Only the newest outcome is known without reading all reports, so they are read where it seems late.
        """
        wait_s = document.maturity_s
        if not wait_s or seen.reported_ns is None:
            return seen
        if seen.reported_ns - seen.assigned_ns <= wait_s * 1e9:
            return seen
        return seen._replace(reported_ns=self._find_first_report(entries) or seen.reported_ns)

    def _find_first_report(self, entries: Sequence[IndexEntry]) -> int | None:
        """Return the time of the first fact of the deciding source about some runs."""
        reported = list(self._runs.reported_facts(entries))
        facts = select_deciding_facts(
            (one for one in reported if isinstance(one, Outcome)),
            (one for one in reported if isinstance(one, Verdict)),
            self._config.decides,
            self._trusted,
        )
        return min((moment for moment, _ in facts), default=None)

    def read_history(self, stable: str | None) -> tuple[int, int]:
        """Return successes and number of stable's last judged runs in production."""
        entries = self._runs.entries(Query(agent=self._agent, source="production"))
        outcomes: list[bool] = []
        for run in self._read_stable(reversed(entries[-_HISTORY_LOOK:]), stable):
            success = find_decision([run], self._config.decides, self._trusted)
            if success is not None:
                outcomes.append(success)
            if len(outcomes) == HISTORY_THREADS:
                break
        return sum(outcomes), len(outcomes)

    def read_delays(self, stable: str | None) -> StableDelays:
        """Return the delays of the deciding source for stable's runs in production."""
        entries = self._runs.entries(Query(agent=self._agent, source="production"))
        entries = entries[-_DELAYS_FROM:]
        chosen = entries[:: max(1, -(-len(entries) // _DELAYS_LOOK))]
        now_ns, by_verdict = time.time_ns(), False
        found: list[tuple[float, float | None]] = []
        places = {entry.id: entry for entry in chosen}
        for run in self._read_stable(chosen, stable):
            facts = list(_iterate_deciding_facts(run, self._config.decides, self._trusted))
            by_verdict = by_verdict or any(
                matches_verifier(self._config.decides, verdict.verifier)
                and not matches_verifier(_READS_OUTCOMES, verdict.verifier)
                for verdict in run.verdicts
            )
            reported_ns = self._find_first_report([places[run.id]]) if facts else None
            delay = None if reported_ns is None else (reported_ns - run.started_ns) / 1e9
            age = (now_ns - run.started_ns) / 1e9
            found.append((age, None if delay is None else max(0.0, delay)))
        return StableDelays(found, by_verdict)

    def _read_stable(
        self, entries: Iterable[IndexEntry], stable: str | None
    ) -> Iterator[Trajectory]:
        for run in self._runs.read(list(entries)):
            if self._is_evidence(run) and {c.policy.adapter for c in run.model_calls} == {stable}:
                yield run

    def _is_evidence(self, trajectory: Trajectory) -> bool:
        """Return True if a run is our own, or burnish.toml trusts received runs."""
        return may_decide(trajectory.origin, RUNS, self._trusted)

    def _observe_thread(
        self, thread: str, runs: Sequence[Trajectory], document: RolloutDocument
    ) -> ObservedThread | None:
        """Return a thread as the runs of the current phase show it, or None if it is not part of it."""
        assigned = [(run, find_assignment(run, document)) for run in runs]
        counted = [run for run, first in assigned if first is not None]
        firsts = [first for _, first in assigned if first is not None]
        if not firsts or _was_taken_over(counted):
            return None
        first = min(firsts)  # the share only grows, so no clock is needed to tell the first call
        facts = [
            fact
            for run in counted
            for fact in _iterate_deciding_facts(run, self._config.decides, self._trusted)
        ]
        if len(counted) == len(runs):  # an outcome of the thread can mean no earlier phase
            facts += _select_outcomes(
                self._runs.thread_outcomes(thread), self._config.decides, self._trusted
            )
        user = counted[0].user
        return ObservedThread(
            thread=make_storable(thread),
            assigned_ns=first.assigned_ns,
            arm=first.arm,
            share=first.share,
            success=max(facts)[1] if facts else None,
            reported_ns=max(facts)[0] if facts else None,
            breaches=find_breaches(counted, self._config.guards),
            running=any(run.status == "running" for run in counted),
            user=None if user is None else make_storable(user),
        )


def _was_taken_over(runs: Sequence[Trajectory]) -> bool:
    """Return True if another version answered for one that its backend lost: evidence for no arm."""
    return any(call.policy.arm == "takeover" for run in runs for call in run.model_calls)


def find_assignment(run: Trajectory, document: RolloutDocument) -> Assignment | None:
    """Return a run's first call that the current phase assigned, or None.

    The stamp of the call decides. Calls of earlier versions of burnish carry none; in a rollout that
    such a version began, their time and adapter decide.
    """
    promoted = document.state == "PROMOTED"
    stamped = [
        Assignment(call.policy.share, call.started_ns, _read_arm(call, promoted=promoted))
        for call in run.model_calls
        if call.policy.rollout == document.phase_id and call.policy.share
    ]
    if stamped or document.stamped:
        return min(stamped, default=None)
    first = find_first_routed_call(run)
    if first is None or first.policy.rollout is not None:
        return None
    share = document.share_at(first.started_ns)
    arm: Arm = "canary" if first.policy.adapter == document.adapter else "stable"
    return Assignment(share, first.started_ns, arm) if share > 0.0 else None


def _read_arm(call: ModelCall, *, promoted: bool) -> Arm:
    """Return the arm of a stamped call; after a promotion the stable version is the one on trial."""
    on_trial = "stable" if promoted else "canary"
    return "canary" if call.policy.arm == on_trial else "stable"


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
    yield from select_deciding_facts(run.outcomes, run.verdicts, decides, trusted)


def select_deciding_facts(
    outcomes: Iterable[Outcome],
    verdicts: Iterable[Verdict],
    decides: str | None,
    trusted: Collection[str],
) -> Iterator[tuple[int, bool]]:
    """Yield time and success of the facts that come from the deciding outcome source or verifier.

    Args:
        outcomes: Outcomes of a thread.
        verdicts: Verdicts about its runs.
        decides: Name of the outcome source or verifier.
        trusted: Names whose received or imported facts count.
    """
    yield from _select_outcomes(outcomes, decides, trusted)
    for verdict in verdicts:
        counts = may_decide(verdict.origin, verdict.verifier, trusted)
        if counts and verdict.label != "unknown" and matches_verifier(decides, verdict.verifier):
            yield verdict.decided_ns, verdict.label == "success"


def _select_outcomes(
    outcomes: Iterable[Outcome], decides: str | None, trusted: Collection[str]
) -> Iterator[tuple[int, bool]]:
    for outcome in outcomes:
        counts = may_decide(outcome.origin, outcome.source, trusted)
        if counts and outcome.source == decides and outcome.success is not None:
            yield outcome.reported_ns, outcome.success


def matches_verifier(decides: str | None, verifier: str) -> bool:
    """Return True if `decides` names a verifier; `goal_state` matches `goal_state(checks:reached_goal)`."""
    return decides in (verifier, verifier.partition("(")[0].partition(":")[0])
