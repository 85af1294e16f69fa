"""Register adapter versions as candidates of an agent, with evaluation report and gate decision.

`Registry.register` adds a candidate; `Registry.require` returns it only if it may serve.
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
    """An adapter version that is registered for an agent."""

    agent: str
    adapter: str
    decision: Literal["promote", "reject", "inconclusive"]
    forced: bool  # registered despite the gate
    evaluation: str  # path of the report
    evaluation_sha256: str
    at_ns: int

    @property
    def may_serve(self) -> bool:
        """True if the gate promoted it, or a person forced it."""
        return self.forced or self.decision == "promote"


class Registry:
    """The candidates of one workspace.

    Args:
        home: Folder of the workspace.
        store: A control store other than the workspace's own.
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
        """Register an adapter version for an agent, with its evaluation report.

        Args:
            agent: Name of the agent.
            adapter_id: A version in the adapter store.
            evaluation_path: JSON file of an `Evaluation` of this version.
            decision: Decision of the gate.
            forced: Let it serve despite the gate; recorded in the audit trail.

        Raises:
            UnknownAdapter: If the store does not hold the version.
            RegistryError: If it has no report, or its files were altered.
        """
        self.adapters.verify(adapter_id)
        said = decision.decision if isinstance(decision, Decision) else decision
        path = Path(evaluation_path)
        report = _read_report(path, adapter_id)
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
        self._store_candidate(candidate)
        return candidate

    def get(self, agent: str, adapter_id: str) -> Candidate:
        """Return the candidate of a version.

        Raises:
            RegistryError: If it was never registered for the agent.
        """
        for candidate in self.list(agent):
            if candidate.adapter == adapter_id:
                return candidate
        self.adapters.path(adapter_id)
        raise RegistryError(
            f"adapter {adapter_id} is not a candidate of agent {agent!r}: it has no evaluation report",
            "a version that burnish eval has measured",
            f"burnish eval {agent} --adapter {adapter_id}",
        )

    def require(self, agent: str, adapter_id: str) -> Candidate:
        """Return the candidate of a version if it may serve.

        Raises:
            RegistryError: If it has no report, or the gate did not promote it.
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
        """List all candidates, oldest first."""
        from sqlalchemy import text

        if self.store.path is not None and not self.store.path.exists():
            return []
        with self.store.transaction(write=False) as connection:
            rows = connection.execute(text("SELECT * FROM candidates ORDER BY at_ns")).mappings()
            found = [msgspec.convert(dict(row), Candidate, strict=False) for row in rows]
        return [candidate for candidate in found if agent in (None, candidate.agent)]

    def audit(self, agent: str | None = None) -> Sequence[dict[str, Json]]:
        """Return the append-only audit trail of candidates and pointers, oldest first."""
        return self.store.audit(agent)

    def _store_candidate(self, candidate: Candidate) -> None:
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
            self.store.record_action(connection, candidate.agent, "registered", row)


def _read_report(path: Path, adapter_id: str) -> bytes:
    """Read the report's bytes, after checking that it evaluates this version."""
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
