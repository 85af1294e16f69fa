"""A small business: three support desks, their SQLite database and the tools over it.

A tool does what it is asked without checking, so an agent that acts without looking does real
damage. tasks.py asks, checks.py judges.

How it works: each attempt has its own database. `Environment.open` binds it to the current context,
so any number of attempts can run side by side, each in its own thread or asyncio task.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from langchain_core.tools import ToolException


@dataclass(frozen=True)
class Desk:
    """The vocabulary of one desk."""

    name: str
    person: str
    item: str
    verb: str
    numbers: tuple[str, str]
    word: str
    blocked: str

    @property
    def fields(self) -> tuple[str, str, str]:
        """Names of the columns that a task can ask for."""
        return (*self.numbers, self.word)

    @property
    def tool_names(self) -> tuple[str, str, str, str]:
        """Names of the desk's tools: find a person, list the items, get one, act on one."""
        return (
            f"find_{self.person}",
            f"list_{self.item}s",
            f"get_{self.item}",
            f"{self.verb}_{self.item}",
        )


DESKS = {
    "shop": Desk("shop", "customer", "order", "cancel", ("total", "tax"), "city", "shipped"),
    "library": Desk("library", "member", "loan", "renew", ("fine", "shelf"), "branch", "reserved"),
    "clinic": Desk("clinic", "patient", "visit", "move", ("cost", "room"), "ward", "billed"),
}


# All desks share one schema; each has its own names for the columns of its items.
SCHEMA = """
CREATE TABLE people (
    seq INTEGER PRIMARY KEY, id INTEGER UNIQUE, name TEXT UNIQUE, card INTEGER UNIQUE
);
CREATE TABLE items (
    seq INTEGER PRIMARY KEY, id INTEGER UNIQUE, person INTEGER REFERENCES people (id), status TEXT,
    first INTEGER, second INTEGER, word TEXT, done INTEGER DEFAULT 0
);
"""


@dataclass(frozen=True)
class _Open:
    """The desk that is open in this context, and its database."""

    desk: Desk
    database: sqlite3.Connection


_open: ContextVar[_Open | None] = ContextVar("open_desk", default=None)


def current() -> Desk:
    """Return the desk that is open in this context.

    Raises:
        LookupError: No desk is open here.
    """
    return _current().desk


def _current() -> _Open:
    found = _open.get()
    if found is None:
        raise LookupError("no desk is open in this context: call Environment().open(task) first")
    return found


class Environment:
    """The environment of one attempt: a database made from a task, deleted at its end."""

    def __init__(self) -> None:
        self._opened: _Open | None = None

    def open(self, task: dict[str, Any]) -> None:
        """Make the task's database and bind it to the current context.

        Args:
            task: A task with its `desk` and the `records` on file when the attempt starts.
        """
        self.close()
        desk = DESKS[task["desk"]]
        # The tools of one attempt may run on a pool's threads, one after another.
        database = sqlite3.connect(":memory:", check_same_thread=False)
        database.row_factory = sqlite3.Row
        database.executescript(SCHEMA)
        _fill(database, desk, task["records"])
        self._opened = _Open(desk, database)
        _open.set(self._opened)

    def state(self) -> dict[str, Any]:
        """Return the whole database as plain data: the desk's name, and each table as a list of rows."""
        if self._opened is None:
            raise LookupError("the environment is closed: call open(task) first")
        desk, database = self._opened.desk, self._opened.database
        people = _rows(database, "SELECT id, name, card FROM people ORDER BY seq")
        items = _rows(database, "SELECT * FROM items ORDER BY seq")
        return {
            "desk": desk.name,
            "people": people,
            "items": [
                {"id": row["id"], "person": row["person"], **_shown(desk, row), "done": row["done"]}
                for row in items
            ],
        }

    def close(self) -> None:
        """Delete the database; a second call does nothing."""
        opened, self._opened = self._opened, None
        if opened is None:
            return
        if _open.get() is opened:
            _open.set(None)
        opened.database.close()


def _fill(database: sqlite3.Connection, desk: Desk, records: dict[str, Any]) -> None:
    first, second = desk.numbers
    with database:
        database.executemany(
            "INSERT INTO people (id, name, card) VALUES (:id, :name, :card)", records["people"]
        )
        database.executemany(
            "INSERT INTO items (id, person, status, first, second, word) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (i["id"], i["person"], i["status"], i[first], i[second], i[desk.word])
                for i in records["items"]
            ],
        )


def _rows(database: sqlite3.Connection, query: str, *values: object) -> list[dict[str, Any]]:
    with contextlib.closing(database.execute(query, values)) as cursor:
        return [dict(row) for row in cursor]


def _shown(desk: Desk, row: dict[str, Any]) -> dict[str, Any]:
    """Return the visible columns of an item, in the desk's vocabulary."""
    first, second = desk.numbers
    return {
        "status": row["status"],
        first: row["first"],
        second: row["second"],
        desk.word: row["word"],
    }


def _find(name: str | None, card: int | None) -> dict[str, Any]:
    desk, database = _current().desk, _current().database
    if name is not None:
        found = _rows(database, "SELECT id FROM people WHERE name = ?", name)
    else:
        found = _rows(database, "SELECT id FROM people WHERE card = ?", card)
    if not found:
        raise ToolException("not found")
    return {desk.person: found[0]["id"]}


def _list(person: int) -> dict[str, Any]:
    desk, database = _current().desk, _current().database
    if not _rows(database, "SELECT id FROM people WHERE id = ?", person):
        raise ToolException("not found")
    rows = _rows(database, "SELECT id FROM items WHERE person = ? ORDER BY seq", person)
    return {f"{desk.item}s": [row["id"] for row in rows]}


def _get(item: int) -> dict[str, Any]:
    desk, database = _current().desk, _current().database
    found = _rows(database, "SELECT * FROM items WHERE id = ?", item)
    if not found:
        raise ToolException("not found")
    return _shown(desk, found[0])


def _act(item: int) -> dict[str, Any]:
    database = _current().database
    with database:
        changed = database.execute("UPDATE items SET done = 1 WHERE id = ?", (item,))
    if changed.rowcount == 0:
        raise ToolException("not found")
    return {"ok": True}


def find_customer(name: str | None = None, card: int | None = None) -> dict[str, Any]:
    """Find a customer's id by name or by card number.

    Args:
        name: The customer's name.
        card: The number of the customer's card.
    """
    return _find(name, card)


def list_orders(customer: int) -> dict[str, Any]:
    """List the ids of a customer's orders, the newest last.

    Args:
        customer: The customer's id.
    """
    return _list(customer)


def get_order(order: int) -> dict[str, Any]:
    """Show an order: its status, total, tax and city.

    Args:
        order: The order's id.
    """
    return _get(order)


def cancel_order(order: int) -> dict[str, Any]:
    """Cancel an order. Only an open order may be cancelled.

    Args:
        order: The order's id.
    """
    return _act(order)


def find_member(name: str | None = None, card: int | None = None) -> dict[str, Any]:
    """Find a member's id by name or by card number.

    Args:
        name: The member's name.
        card: The number of the member's card.
    """
    return _find(name, card)


def list_loans(member: int) -> dict[str, Any]:
    """List the ids of a member's loans, the newest last.

    Args:
        member: The member's id.
    """
    return _list(member)


def get_loan(loan: int) -> dict[str, Any]:
    """Show a loan: its status, fine, shelf and branch.

    Args:
        loan: The loan's id.
    """
    return _get(loan)


def renew_loan(loan: int) -> dict[str, Any]:
    """Renew a loan. Only an open loan may be renewed.

    Args:
        loan: The loan's id.
    """
    return _act(loan)


def find_patient(name: str | None = None, card: int | None = None) -> dict[str, Any]:
    """Find a patient's id by name or by card number.

    Args:
        name: The patient's name.
        card: The number of the patient's card.
    """
    return _find(name, card)


def list_visits(patient: int) -> dict[str, Any]:
    """List the ids of a patient's visits, the newest last.

    Args:
        patient: The patient's id.
    """
    return _list(patient)


def get_visit(visit: int) -> dict[str, Any]:
    """Show a visit: its status, cost, room and ward.

    Args:
        visit: The visit's id.
    """
    return _get(visit)


def move_visit(visit: int) -> dict[str, Any]:
    """Move a visit to another day. Only an open visit may be moved.

    Args:
        visit: The visit's id.
    """
    return _act(visit)


TOOLS: dict[str, tuple[Callable[..., dict[str, Any]], ...]] = {
    "shop": (find_customer, list_orders, get_order, cancel_order),
    "library": (find_member, list_loans, get_loan, renew_loan),
    "clinic": (find_patient, list_visits, get_visit, move_visit),
}
