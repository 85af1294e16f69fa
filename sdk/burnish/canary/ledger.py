"""Store the threads of a rollout in SQL: arm, outcome and state of each.

`ThreadLedger` works inside a transaction of the control store, on the tables `rollouts` and
`threads`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from burnish.canary.assignment import Arm
from burnish.journal.events import canonical
from burnish.records import Json, Record

if TYPE_CHECKING:
    from sqlalchemy import Connection

ThreadState = Literal["open", "judged", "missed", "late"]
"""Late: missed, and the outcome came after the thread's window."""

_COLUMNS = (
    "thread, assigned_ns, arm, share, success, breaches, state, place, user_id, reported_ns, "
    "COALESCE(guarded, FALSE) AS guarded"
)


def make_storable(text: str) -> str:
    """Write the characters of a name that a database refuses, lone surrogates and NUL, as escapes.

    Args:
        text: Name of a thread or user.
    """
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


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
    user: str | None = None
    reported_ns: int | None = None  # time of its outcome
    guarded: bool = False  # its breaches are already counted

    @property
    def open_breaches(self) -> dict[str, bool]:
        """Breaches that are still to be counted."""
        return {} if self.guarded else self.breaches


class LedgerUpdate(NamedTuple):
    """The changes of the ledger by observed threads."""

    entered: list[Thread]  # new threads
    corrected: int  # closed threads whose outcome changed


class ThreadLedger:
    """The threads of one rollout, within one transaction.

    Args:
        connection: The transaction.
        rollout: Id of the rollout.
    """

    def __init__(self, connection: Connection, rollout: str) -> None:
        self._connection = connection
        self._rollout = rollout

    def begin_phase(self, agent: str, judge: dict[str, Json], begun_ns: int) -> None:
        """Insert the row of a new phase."""
        self._execute_sql(
            "INSERT INTO rollouts (rollout, agent, cursor_ns, judge) "
            "VALUES (:rollout, :agent, :cursor_ns, :judge)",
            agent=agent,
            cursor_ns=begun_ns,
            judge=canonical(judge).decode(),
        )

    def read_evaluator_state(self) -> dict[str, Json]:
        """Return the evaluator's state."""
        row = self._execute_sql("SELECT judge FROM rollouts WHERE rollout = :rollout").one()
        return msgspec.json.decode(row.judge)

    def write_evaluator_state(self, judge: dict[str, Json]) -> None:
        """Store the evaluator's state."""
        self._execute_sql(
            "UPDATE rollouts SET judge = :judge WHERE rollout = :rollout",
            judge=canonical(judge).decode(),
        )

    def put_threads(self, threads: Iterable[Thread], *, revise: bool = True) -> LedgerUpdate:
        """Insert threads, or update those that are known.

        Args:
            threads: Threads as they are observed now.
            revise: Let a new outcome replace that of a thread that is closed.
        """
        entered, corrected = [], 0
        for thread in threads:
            row = {
                **msgspec.structs.asdict(thread),
                "breaches": canonical(thread.breaches).decode(),
            }
            new = self._execute_sql(
                "INSERT INTO threads (rollout, thread, assigned_ns, arm, share, success, breaches, "
                "state, user_id, reported_ns) VALUES (:rollout, :thread, :assigned_ns, :arm, "
                ":share, :success, :breaches, 'open', :user, :reported_ns) ON CONFLICT DO NOTHING",
                **row,
            )
            if new.rowcount:
                entered.append(thread)
                continue
            self._execute_sql(
                "UPDATE threads SET success = COALESCE(:success, success), breaches = :breaches, "
                "reported_ns = CASE WHEN success IS NULL THEN :reported_ns ELSE reported_ns END "
                "WHERE rollout = :rollout AND thread = :thread AND state = 'open'",
                **row,
            )
            if revise and thread.success is not None:
                corrected += self._revise_outcome(row)
        return LedgerUpdate(entered, corrected)

    def _revise_outcome(self, row: dict[str, Json]) -> int:
        """Write the newest outcome of a closed thread; return 1 if one that was judged changed."""
        self._execute_sql(
            "UPDATE threads SET state = 'late', success = :success, reported_ns = :reported_ns "
            "WHERE rollout = :rollout AND thread = :thread AND state = 'missed'",
            **row,
        )
        judged = self._execute_sql(
            "UPDATE threads SET success = :success WHERE rollout = :rollout AND thread = :thread "
            "AND state = 'judged' AND success <> :success",
            **row,
        )
        return judged.rowcount

    def close_thread(
        self, thread: Thread, state: ThreadState, place: int | None = None, now_ns: int = 0
    ) -> None:
        """Mark a thread as judged, late or missed at a place in the order of evaluation."""
        self._execute_sql(
            "UPDATE threads SET state = :state, place = :place, closed_ns = :now_ns "
            "WHERE rollout = :rollout AND thread = :thread",
            state=state,
            place=place,
            thread=thread.thread,
            now_ns=now_ns,
        )

    def reopen_missed(self, after_ns: int) -> int:
        """Open the threads again that were found missing later than a time; return their number.

        A look of a process whose clock was ahead finds threads missing that are not.
        """
        return self._execute_sql(
            "UPDATE threads SET state = 'open', place = NULL WHERE rollout = :rollout "
            "AND state = 'missed' AND closed_ns > :after_ns",
            after_ns=after_ns,
        ).rowcount

    def mark_guarded(self, thread: str) -> bool:
        """Mark the breaches of an open thread as counted; return False if they already were."""
        return bool(
            self._execute_sql(
                "UPDATE threads SET guarded = TRUE WHERE rollout = :rollout AND thread = :thread "
                "AND state = 'open' AND COALESCE(guarded, FALSE) = FALSE",
                thread=thread,
            ).rowcount
        )

    def list_threads(self, state: ThreadState | None = None) -> Sequence[Thread]:
        """List threads in the order of assignment."""
        return self._list(
            "state = COALESCE(:state, state) ORDER BY assigned_ns, thread", state=state
        )

    def list_closed_threads(self) -> Sequence[Thread]:
        """List judged, late and missed threads in the order of evaluation."""
        return self._list("state <> 'open' ORDER BY COALESCE(place, -1), assigned_ns, thread")

    def _list(self, where: str, **values: Json) -> Sequence[Thread]:
        statement = f"SELECT {_COLUMNS} FROM threads WHERE rollout = :rollout AND {where}"  # noqa: S608
        rows = self._execute_sql(statement, **values).mappings()
        return [
            msgspec.convert(
                {
                    **row,
                    "user": row["user_id"],
                    "breaches": msgspec.json.decode(row["breaches"] or "{}"),
                },
                Thread,
                strict=False,
            )
            for row in rows
        ]

    def list_answered(self, limit: int) -> Sequence[Thread]:
        """List the judged threads whose time of outcome is known, of the newest that were judged."""
        return self._list(
            "state = 'judged' AND reported_ns IS NOT NULL ORDER BY place DESC LIMIT :most",
            most=limit,
        )

    def list_threads_of_other_phases(self, rollout: str) -> set[str]:
        """Return the threads that other phases of a rollout hold, a hold-back included."""
        rows = self._execute_sql(
            "SELECT thread FROM threads WHERE rollout <> :rollout "
            "AND (rollout = :first OR SUBSTR(rollout, 1, LENGTH(:prefix)) = :prefix)",
            first=rollout,
            prefix=f"{rollout}-",
        )
        return set(rows.scalars())

    def count_users(self) -> dict[str, list[int]]:
        """Count successes and threads on the canary and on stable of each user with judged threads."""
        rows = self._execute_sql(
            "SELECT user_id, arm, COUNT(*), SUM(CASE WHEN success THEN 1 ELSE 0 END) FROM threads "
            "WHERE rollout = :rollout AND state = 'judged' AND user_id IS NOT NULL "
            "GROUP BY user_id, arm"
        )
        users: dict[str, list[int]] = {}
        for user, arm, threads, successes in rows:
            place = 0 if arm == "canary" else 2
            users.setdefault(user, [0] * 4)[place : place + 2] = [int(successes), int(threads)]
        return users

    def count_by_arm(self) -> dict[str, dict[str, int]]:
        """Count threads by arm and state; `assigned` is their sum."""
        rows = self._execute_sql(
            "SELECT arm, state, COUNT(*) FROM threads WHERE rollout = :rollout GROUP BY arm, state"
        )
        found: dict[str, dict[str, int]] = {
            arm: {"assigned": 0, "open": 0, "judged": 0, "late": 0, "missed": 0}
            for arm in ("stable", "canary")
        }
        for arm, state, number in rows:
            found[arm][state] += number
            found[arm]["assigned"] += number
        return found

    def _execute_sql(self, statement: str, **values: Json) -> Any:
        from sqlalchemy import text

        return self._connection.execute(text(statement), {"rollout": self._rollout, **values})
