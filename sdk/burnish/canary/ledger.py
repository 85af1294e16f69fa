"""The threads of a rollout in SQL: where each was put, what became of it, whether it was judged.

Knows: the tables `rollouts` and `threads`, inside a transaction of the control store.
Does not know: what the judge makes of a thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from burnish.canary.assignment import Arm
from burnish.journal.events import canonical
from burnish.records import Json, Record

if TYPE_CHECKING:
    from sqlalchemy import Connection

State = Literal["open", "judged", "missed"]


class Thread(Record, frozen=True, kw_only=True):
    """One thread of a rollout."""

    thread: str
    assigned_ns: int  # its first call
    arm: Arm  # of its first call
    share: float  # probability of the canary at that moment
    success: bool | None = None
    breaches: dict[str, bool] = msgspec.field(default_factory=dict)
    state: State = "open"
    place: int | None = None  # in the order of judgement


class Ledger:
    """The threads of one rollout, within one transaction.

    Args:
        connection: The transaction.
        rollout: Id of the rollout.
    """

    def __init__(self, connection: Connection, rollout: str) -> None:
        self._connection = connection
        self._rollout = rollout

    def begin(self, agent: str, judge: dict[str, Json], cursor_ns: int) -> None:
        """Open the books of a rollout."""
        self._run(
            "INSERT INTO rollouts (rollout, agent, cursor_ns, judge) "
            "VALUES (:rollout, :agent, :cursor_ns, :judge)",
            agent=agent,
            cursor_ns=cursor_ns,
            judge=canonical(judge).decode(),
        )

    def judge(self) -> tuple[dict[str, Json], int]:
        """What the judge has learnt, and from where trajectories are still to be read."""
        row = self._run("SELECT judge, cursor_ns FROM rollouts WHERE rollout = :rollout").one()
        return msgspec.json.decode(row.judge), row.cursor_ns

    def keep(self, judge: dict[str, Json], cursor_ns: int) -> None:
        """Keep what the judge has learnt."""
        self._run(
            "UPDATE rollouts SET judge = :judge, cursor_ns = :cursor_ns WHERE rollout = :rollout",
            judge=canonical(judge).decode(),
            cursor_ns=cursor_ns,
        )

    def put(self, threads: Iterable[Thread]) -> list[Thread]:
        """Enter threads, or the news of those that are still open; returns the new ones."""
        entered = []
        for thread in threads:
            row = {
                **msgspec.structs.asdict(thread),
                "breaches": canonical(thread.breaches).decode(),
            }
            new = self._run(
                "INSERT INTO threads (rollout, thread, assigned_ns, arm, share, success, breaches, "
                "state) VALUES (:rollout, :thread, :assigned_ns, :arm, :share, :success, "
                ":breaches, 'open') ON CONFLICT DO NOTHING",
                **row,
            )
            if new.rowcount:
                entered.append(thread)
                continue
            self._run(
                "UPDATE threads SET success = COALESCE(:success, success), breaches = :breaches "
                "WHERE rollout = :rollout AND thread = :thread AND state = 'open'",
                **row,
            )
        return entered

    def close(self, thread: Thread, state: State, place: int | None = None) -> None:
        """A thread was judged, or is no longer waited for."""
        self._run(
            "UPDATE threads SET state = :state, place = :place "
            "WHERE rollout = :rollout AND thread = :thread",
            state=state,
            place=place,
            thread=thread.thread,
        )

    def all(self, state: State | None = None) -> Sequence[Thread]:
        """Threads in the order in which they were assigned."""
        rows = self._run(
            "SELECT thread, assigned_ns, arm, share, success, breaches, state, place FROM threads "
            "WHERE rollout = :rollout AND state = COALESCE(:state, state) "
            "ORDER BY assigned_ns, thread",
            state=state,
        ).mappings()
        return [
            msgspec.convert(
                {**row, "breaches": msgspec.json.decode(row["breaches"] or "{}")},
                Thread,
                strict=False,
            )
            for row in rows
        ]

    def done(self) -> set[str]:
        """Threads that are judged, or no longer waited for."""
        rows = self._run("SELECT thread FROM threads WHERE rollout = :rollout AND state <> 'open'")
        return set(rows.scalars())

    def counts(self) -> dict[str, int]:
        """Number of threads by state."""
        rows = self._run(
            "SELECT state, COUNT(*) FROM threads WHERE rollout = :rollout GROUP BY state"
        )
        return {"open": 0, "judged": 0, "missed": 0} | dict(rows.all())

    def _run(self, statement: str, **values: Json) -> Any:
        from sqlalchemy import text

        return self._connection.execute(text(statement), {"rollout": self._rollout, **values})
