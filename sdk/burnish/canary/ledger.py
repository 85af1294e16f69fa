"""Store the threads of a rollout in SQL: arm, outcome and state of each.

`ThreadLedger` works inside a transaction of the control store, on the tables `rollouts` and
`threads`.
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

ThreadState = Literal["open", "judged", "missed"]


class Thread(Record, frozen=True, kw_only=True):
    """One thread of a rollout."""

    thread: str
    assigned_ns: int  # its first call
    arm: Arm  # of its first call
    share: float  # probability of the canary at that moment
    success: bool | None = None
    breaches: dict[str, bool] = msgspec.field(default_factory=dict)
    state: ThreadState = "open"
    place: int | None = None  # position in the order of evaluation


class ThreadLedger:
    """The threads of one rollout, within one transaction.

    Args:
        connection: The transaction.
        rollout: Id of the rollout.
    """

    def __init__(self, connection: Connection, rollout: str) -> None:
        self._connection = connection
        self._rollout = rollout

    def begin_phase(self, agent: str, judge: dict[str, Json], cursor_ns: int) -> None:
        """Insert the row of a new phase."""
        self._execute_sql(
            "INSERT INTO rollouts (rollout, agent, cursor_ns, judge) "
            "VALUES (:rollout, :agent, :cursor_ns, :judge)",
            agent=agent,
            cursor_ns=cursor_ns,
            judge=canonical(judge).decode(),
        )

    def read_evaluator_state(self) -> tuple[dict[str, Json], int]:
        """Return the evaluator's state, and the time from which trajectories are still to be read."""
        row = self._execute_sql(
            "SELECT judge, cursor_ns FROM rollouts WHERE rollout = :rollout"
        ).one()
        return msgspec.json.decode(row.judge), row.cursor_ns

    def write_evaluator_state(self, judge: dict[str, Json], cursor_ns: int) -> None:
        """Store the evaluator's state and the reading position."""
        self._execute_sql(
            "UPDATE rollouts SET judge = :judge, cursor_ns = :cursor_ns WHERE rollout = :rollout",
            judge=canonical(judge).decode(),
            cursor_ns=cursor_ns,
        )

    def put_threads(self, threads: Iterable[Thread]) -> list[Thread]:
        """Insert threads, or update those that are still open; return the new ones."""
        entered = []
        for thread in threads:
            row = {
                **msgspec.structs.asdict(thread),
                "breaches": canonical(thread.breaches).decode(),
            }
            new = self._execute_sql(
                "INSERT INTO threads (rollout, thread, assigned_ns, arm, share, success, breaches, "
                "state) VALUES (:rollout, :thread, :assigned_ns, :arm, :share, :success, "
                ":breaches, 'open') ON CONFLICT DO NOTHING",
                **row,
            )
            if new.rowcount:
                entered.append(thread)
                continue
            self._execute_sql(
                "UPDATE threads SET success = COALESCE(:success, success), breaches = :breaches "
                "WHERE rollout = :rollout AND thread = :thread AND state = 'open'",
                **row,
            )
        return entered

    def close_thread(self, thread: Thread, state: ThreadState, place: int | None = None) -> None:
        """Mark a thread as judged or missed."""
        self._execute_sql(
            "UPDATE threads SET state = :state, place = :place "
            "WHERE rollout = :rollout AND thread = :thread",
            state=state,
            place=place,
            thread=thread.thread,
        )

    def list_threads(self, state: ThreadState | None = None) -> Sequence[Thread]:
        """List threads in the order of assignment."""
        rows = self._execute_sql(
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

    def list_done_threads(self) -> set[str]:
        """Return the ids of threads that are judged or missed."""
        rows = self._execute_sql(
            "SELECT thread FROM threads WHERE rollout = :rollout AND state <> 'open'"
        )
        return set(rows.scalars())

    def count_by_state(self) -> dict[str, int]:
        """Count threads by state."""
        rows = self._execute_sql(
            "SELECT state, COUNT(*) FROM threads WHERE rollout = :rollout GROUP BY state"
        )
        return {"open": 0, "judged": 0, "missed": 0} | dict(rows.all())

    def _execute_sql(self, statement: str, **values: Json) -> Any:
        from sqlalchemy import text

        return self._connection.execute(text(statement), {"rollout": self._rollout, **values})
