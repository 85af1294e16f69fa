"""The shop's sales: one SQLite database of customers and orders, the same rows on every machine."""

from __future__ import annotations

import random
import sqlite3
from typing import Any

SYLLABLES = ("ba", "cor", "del", "fin", "gor", "ka", "len", "mir", "nor", "quin", "sol", "tor")
CITIES = ("Oslo", "Lima", "Cairo", "Paris", "Delhi", "Quito", "Milan", "Tunis")
SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers (id),
                     status TEXT, total INTEGER, tax INTEGER, city TEXT);
"""


def make_database() -> sqlite3.Connection:
    """Return a database of 120 customers with one to four orders each; it is read-only."""
    database = sqlite3.connect(":memory:", check_same_thread=False)
    database.row_factory = sqlite3.Row
    database.executescript(SCHEMA)
    chance = random.Random("sales")  # noqa: S311 - the same rows everywhere, no secret
    numbers = iter(chance.sample(range(1000, 10_000), 9000))
    names = [(a + b).capitalize() for a in SYLLABLES for b in SYLLABLES]
    for name in chance.sample(names, 120):
        customer = next(numbers)
        database.execute("INSERT INTO customers VALUES (?, ?)", (customer, name))
        for _ in range(chance.randint(1, 4)):
            figures = (chance.choice(("open", "shipped")), next(numbers), next(numbers))
            database.execute(
                "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)",
                (next(numbers), customer, *figures, chance.choice(CITIES)),
            )
    database.commit()
    database.execute("PRAGMA query_only = ON")
    return database


_DATABASE = make_database()


def select(sql: str, *values: Any) -> list[dict[str, Any]]:
    """Return the rows of a query."""
    return [dict(row) for row in _DATABASE.execute(sql, values).fetchall()]
