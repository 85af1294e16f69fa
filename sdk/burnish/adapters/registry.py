"""Register adapter versions, prompt versions and pairs of both as candidates, with report and gate decision.

`Registry.register` adds a candidate; `Registry.require` returns it only if it may serve.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from burnish.adapters.control import SqlControlStore
from burnish.adapters.pointer import Target
from burnish.adapters.prompt_store import PromptStore
from burnish.adapters.store import AdapterStore
from burnish.errors import RegistryError
from burnish.files.storage import BROKEN_JSON
from burnish.records import Decision, Evaluation, Json, Record


class Candidate(Record, frozen=True, kw_only=True):
    """A version that is registered for an agent: an adapter, a prompt, or both together."""

    agent: str
    adapter: str | None  # None is the base model
    decision: Literal["promote", "reject", "inconclusive"]
    forced: bool  # registered despite the gate
    evaluation: str  # path of the report
    evaluation_sha256: str
    at_ns: int
    prompt: str | None = None  # None is the agent's own prompts

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
        self.prompts = PromptStore(self.home)

    def register(
        self,
        agent: str,
        adapter_id: str | None,
        evaluation_path: Path,
        decision: Decision | str,
        *,
        prompt: str | None = None,
        forced: bool = False,
    ) -> Candidate:
        """Register a version for an agent, with its evaluation report.

        Args:
            agent: Name of the agent.
            adapter_id: A version in the adapter store; None is the base model, with a prompt version.
            evaluation_path: JSON file of an `Evaluation` of this version.
            decision: Decision of the gate.
            prompt: A version in the prompt store; None is the agent's own prompts.
            forced: Let it serve despite the gate; recorded in the audit trail.

        Raises:
            UnknownAdapter: If the store does not hold the adapter version.
            RegistryError: If neither is named, it has no report, or its files were altered.
        """
        if adapter_id is not None:
            self.adapters.verify(adapter_id)
        elif prompt is None:
            raise RegistryError(
                f"a candidate of agent {agent!r} without adapter and prompt",
                "an adapter version, a prompt version, or both",
                f"burnish retrain {agent}, or burnish optimize-prompt {agent}",
            )
        if prompt is not None:
            self.prompts.get(prompt)
        said = decision.decision if isinstance(decision, Decision) else decision
        path = Path(evaluation_path)
        report = _read_report(path, adapter_id, prompt)
        candidate = msgspec.convert(
            {
                "agent": agent,
                "adapter": adapter_id,
                "decision": said,
                "forced": forced,
                "evaluation": str(path.absolute()),
                "evaluation_sha256": hashlib.sha256(report).hexdigest(),
                "at_ns": time.time_ns(),
                "prompt": prompt,
            },
            Candidate,
        )
        self._store_candidate(candidate)
        return candidate

    def get(self, agent: str, adapter_id: str | None, *, prompt: str | None = None) -> Candidate:
        """Return the candidate of a version.

        Args:
            agent: Name of the agent.
            adapter_id: The adapter version; None is the base model.
            prompt: The prompt version; None is the agent's own prompts.

        Raises:
            RegistryError: If it was never registered for the agent.
        """
        for candidate in self.list(agent):
            if (candidate.adapter, candidate.prompt) == (adapter_id, prompt):
                return candidate
        if adapter_id is not None:
            self.adapters.path(adapter_id)
        label = Target(adapter=adapter_id, prompt=prompt).label
        options = f" --adapter {adapter_id}" if adapter_id is not None else ""
        options += f" --prompt {prompt}" if prompt is not None else ""
        raise RegistryError(
            f"{'adapter ' if prompt is None else ''}{label} is not a candidate of agent {agent!r}: "
            "it has no evaluation report",
            "a version that burnish eval has measured",
            f"burnish eval {agent}{options} --register",
        )

    def require(
        self, agent: str, adapter_id: str | None, *, prompt: str | None = None
    ) -> Candidate:
        """Return the candidate of a version if it may serve.

        Args:
            agent: Name of the agent.
            adapter_id: The adapter version; None is the base model.
            prompt: The prompt version; None is the agent's own prompts.

        Raises:
            RegistryError: If it has no report, or the gate did not promote it.
        """
        candidate = self.get(agent, adapter_id, prompt=prompt)
        if candidate.may_serve:
            return candidate
        raise RegistryError(
            f"the gate's decision on {Target(adapter=adapter_id, prompt=prompt).label} was "
            f"{candidate.decision!r}",
            "'promote'",
            f"burnish retrain {agent}, or register it with forced=True",
        )

    def list(self, agent: str | None = None) -> Sequence[Candidate]:
        """List all candidates, oldest first."""
        from sqlalchemy import text

        if self.store.path is not None and not self.store.path.exists():
            return []
        with self.store.transaction(write=False) as connection:
            found = [
                _read_row(dict(row))
                for table in ("candidates", "prompt_candidates")
                for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()  # noqa: S608 - names above
            ]
        found.sort(key=lambda candidate: candidate.at_ns)
        return [candidate for candidate in found if agent in (None, candidate.agent)]

    def audit(self, agent: str | None = None) -> Sequence[dict[str, Json]]:
        """Return the append-only audit trail of candidates and pointers, oldest first."""
        return self.store.audit(agent)

    def _store_candidate(self, candidate: Candidate) -> None:
        from sqlalchemy import text

        facts = msgspec.structs.asdict(candidate)
        row = {**facts, "adapter": candidate.adapter or ""}
        table, names = "candidates", [name for name in facts if name != "prompt"]
        keys = ["agent", "adapter"]
        if candidate.prompt is None:
            del facts["prompt"]
        else:
            table, names, keys = "prompt_candidates", list(facts), [*keys, "prompt"]
        where = " AND ".join(f"{key} = :{key}" for key in keys)
        values = ", ".join(f":{name}" for name in names)
        with self.store.transaction() as connection:
            connection.execute(text(f"DELETE FROM {table} WHERE {where}"), row)  # noqa: S608 - names above
            connection.execute(
                text(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})"),  # noqa: S608
                row,
            )
            self.store.record_action(connection, candidate.agent, "registered", facts)


def _read_row(row: dict[str, Any]) -> Candidate:
    return msgspec.convert({**row, "adapter": row["adapter"] or None}, Candidate, strict=False)


def _read_report(path: Path, adapter_id: str | None, prompt: str | None) -> bytes:
    """Read the report's bytes, after checking that it evaluates this version."""
    try:
        content = path.read_bytes()
        evaluation = msgspec.json.decode(content, type=Evaluation)
    except (OSError, *BROKEN_JSON) as problem:
        raise RegistryError(
            f"no evaluation report at {path}: {problem}",
            "the JSON file of an Evaluation",
            "burnish eval",
        ) from problem
    if (evaluation.after, evaluation.after_prompt) != (adapter_id, prompt):
        found = Target(adapter=evaluation.after, prompt=evaluation.after_prompt).label
        asked = Target(adapter=adapter_id, prompt=prompt).label
        raise RegistryError(f"{path} is a report on {found}", f"one on {asked}", "burnish eval")
    return content
