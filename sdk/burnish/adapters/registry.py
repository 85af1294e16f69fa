"""Which adapter versions may serve which agent, on what evidence.

Knows: that a candidate needs an evaluation report and a decision, who forced what, the trail.
Does not know: how evaluations are made, how traffic moves.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from burnish.adapters.control import SqlControlStore
from burnish.adapters.store import AdapterStore
from burnish.errors import RegistryError
from burnish.records import Decision, Evaluation, Json, Record


class Candidate(Record, frozen=True, kw_only=True):
    """An adapter version that was put forward for an agent."""

    agent: str
    adapter: str
    decision: Literal["promote", "reject", "inconclusive"]
    forced: bool  # put forward past the gate
    evaluation: str  # path of the report
    evaluation_sha256: str
    at_ns: int

    @property
    def may_serve(self) -> bool:
        """Whether the gate let it through, or a person did."""
        return self.forced or self.decision == "promote"


class Registry:
    """The candidates of one workspace.

    Args:
        home: Folder of the workspace.
        store: Another control store than the workspace's own.
    """

    def __init__(self, home: Path, *, store: SqlControlStore | None = None) -> None:
        self.home = Path(home)
        self.store = store or SqlControlStore(self.home)
        self.adapters = AdapterStore(self.home)

    def register(
        self,
        agent: str,
        adapter_id: str,
        evaluation_path: Path,
        decision: Decision | str,
        *,
        forced: bool = False,
    ) -> Candidate:
        """Put an adapter version forward for an agent, with the report on it.

        Args:
            agent: Name of the agent.
            adapter_id: A version that the adapter store holds.
            evaluation_path: JSON file of an `Evaluation` of that very version.
            decision: What the gate said.
            forced: Let it serve whatever the gate said; kept in the audit trail.

        Raises:
            UnknownAdapter: If the store does not hold the version.
            RegistryError: If there is no report on it, or the version was altered.
        """
        self.adapters.verify(adapter_id)
        said = decision.decision if isinstance(decision, Decision) else decision
        path = Path(evaluation_path)
        report = _report(path, adapter_id)
        candidate = msgspec.convert(
            {
                "agent": agent,
                "adapter": adapter_id,
                "decision": said,
                "forced": forced,
                "evaluation": str(path.absolute()),
                "evaluation_sha256": hashlib.sha256(report).hexdigest(),
                "at_ns": time.time_ns(),
            },
            Candidate,
        )
        self._keep(candidate)
        return candidate

    def get(self, agent: str, adapter_id: str) -> Candidate:
        """The candidate of that version.

        Raises:
            RegistryError: If it was never put forward for the agent.
        """
        for candidate in self.list(agent):
            if candidate.adapter == adapter_id:
                return candidate
        self.adapters.path(adapter_id)
        raise RegistryError(
            f"adapter {adapter_id} is no candidate of agent {agent!r}: it has no evaluation report",
            "a version that burnish eval has measured",
            f"burnish eval {agent} --adapter {adapter_id}",
        )

    def require(self, agent: str, adapter_id: str) -> Candidate:
        """The candidate of that version, if it may serve.

        Raises:
            RegistryError: If it has no report, or the gate did not let it through.
        """
        candidate = self.get(agent, adapter_id)
        if candidate.may_serve:
            return candidate
        raise RegistryError(
            f"the gate's decision on {adapter_id} was {candidate.decision!r}",
            "'promote'",
            f"burnish retrain {agent}, or register it with forced=True",
        )

    def list(self, agent: str | None = None) -> Sequence[Candidate]:
        """All candidates, oldest first."""
        from sqlalchemy import text

        if self.store.path is not None and not self.store.path.exists():
            return []
        with self.store.transaction(write=False) as connection:
            rows = connection.execute(text("SELECT * FROM candidates ORDER BY at_ns")).mappings()
            found = [msgspec.convert(dict(row), Candidate, strict=False) for row in rows]
        return [candidate for candidate in found if agent in (None, candidate.agent)]

    def audit(self, agent: str | None = None) -> Sequence[dict[str, Json]]:
        """What happened to candidates and pointers, oldest first; only ever appended to."""
        return self.store.audit(agent)

    def _keep(self, candidate: Candidate) -> None:
        from sqlalchemy import text

        row = msgspec.structs.asdict(candidate)
        with self.store.transaction() as connection:
            connection.execute(
                text("DELETE FROM candidates WHERE agent = :agent AND adapter = :adapter"), row
            )
            connection.execute(
                text(
                    "INSERT INTO candidates (agent, adapter, decision, forced, evaluation, "
                    "evaluation_sha256, at_ns) VALUES (:agent, :adapter, :decision, :forced, "
                    ":evaluation, :evaluation_sha256, :at_ns)"
                ),
                row,
            )
            self.store.note(connection, candidate.agent, "registered", row)


def _report(path: Path, adapter_id: str) -> bytes:
    """The bytes of the report, once it is one and speaks of this version."""
    try:
        content = path.read_bytes()
        evaluation = msgspec.json.decode(content, type=Evaluation)
    except (OSError, msgspec.DecodeError) as problem:
        raise RegistryError(
            f"no evaluation report at {path}: {problem}",
            "the JSON file of an Evaluation",
            "burnish eval",
        ) from problem
    if evaluation.after != adapter_id:
        raise RegistryError(
            f"{path} is a report on {evaluation.after}", f"one on {adapter_id}", "burnish eval"
        )
    return content
