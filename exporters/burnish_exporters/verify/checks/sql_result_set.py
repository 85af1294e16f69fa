"""Verifier `sql_result_set`: compare the rows of the agent's query with those of a reference query.

`sql_result_set()` builds the verifier. Both queries run on one SQLite database that is opened
read-only.
"""

from __future__ import annotations

import hashlib
import math
import re
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burnish.errors import VerificationError
from burnish.protocols import VerifierTraits
from burnish.records import Trajectory, Verdict
from burnish_exporters.verify.checks.reference_match import given_references
from burnish_exporters.verify.evidence.user_functions import load_function
from burnish_exporters.verify.verdicts import shown, unknown

_STEPS = 20_000_000
_ROWS = 100_000
_EXACT = 2**53  # below it, a float holds every integer


@dataclass(frozen=True, kw_only=True)
class SqlResultSet:
    """Compare the rows of two queries; see sql_result_set()."""

    database: Path
    references: dict[str, str] = field(default_factory=dict)
    function: str | None = None
    folder: Path | None = None
    tool: str | None = None
    argument: str = "query"
    name: str = "sql_result_set"
    version: str = "1"
    traits = VerifierTraits()

    def prepare(self) -> None:
        """Import the function that gives references, if one is named."""
        if self.function:
            load_function(self.function, self.folder, self.version)

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge the last query of the run."""
        reference = self._reference(trajectory)
        if reference is None:
            return unknown(self, "no reference for this task")
        if not isinstance(reference, str):
            return unknown(self, "the reference is no query", shown(reference))
        if not trajectory.tool_runs:
            return self._verdict("fail", {"problem": "the run called no tool"})
        query = self._query(trajectory)
        if query is None:
            return unknown(self, "no query was recorded", self._seen(trajectory))
        try:
            expected = rows_of(self.database, reference)
        except sqlite3.Error as problem:
            return unknown(self, "the reference query fails", str(problem))
        if len(expected) > _ROWS:
            return unknown(self, "the reference query gives too many rows", f"more than {_ROWS}")
        try:
            found = rows_of(self.database, query)
        except sqlite3.Error as problem:
            if _is_trouble(problem):
                return unknown(self, "the database cannot be read", str(problem))
            return self._verdict("fail", {"problem": f"the query fails: {problem}"})
        except (sqlite3.Warning, ValueError) as problem:  # several statements; a zero byte
            return self._verdict("fail", {"problem": f"the query fails: {problem}"})
        ordered = re.search(r"(?i)\border\s+by\b", reference) is not None
        same = found == expected if ordered else Counter(found) == Counter(expected)
        evidence = {"rows": len(found), "expected_rows": len(expected), "ordered": ordered}
        return self._verdict("success" if same else "fail", evidence)

    def _reference(self, trajectory: Trajectory) -> Any:
        if self.function:
            return load_function(self.function, self.folder, self.version)(trajectory)
        return self.references.get(trajectory.task_id or "")

    def _seen(self, trajectory: Trajectory) -> str:
        """Return the argument that was looked for, and the tools of the run with their arguments."""
        tools = {
            run.name: sorted(run.arguments) if isinstance(run.arguments, dict) else []
            for run in trajectory.tool_runs
        }
        found = "; ".join(f"{name}({', '.join(names)})" for name, names in tools.items())
        return (
            f"argument {self.argument!r} of {self.tool or 'any tool'}; tools of this run: {found}"
        )

    def _query(self, trajectory: Trajectory) -> str | None:
        for run in reversed(trajectory.tool_runs):
            arguments = run.arguments
            if (self.tool is None or run.name == self.tool) and isinstance(arguments, dict):
                query = arguments.get(self.argument)
                if isinstance(query, str):
                    return query
        return None

    def _verdict(self, label: Any, evidence: dict[str, Any]) -> Verdict:
        return Verdict(label=label, verifier=self.name, version=self.version, evidence=evidence)


def sql_result_set(
    references: Mapping[str, str] | str,
    *,
    database: Path | str,
    tool: str | None = None,
    argument: str = "query",
    folder: Path | str | None = None,
    name: str = "sql_result_set",
) -> SqlResultSet:
    """Compare the rows of the agent's last query with those of a reference query.

    The database is opened read-only. The order of rows counts where the reference orders them;
    column names never count.

    Args:
        references: Reference queries by task id; or a JSON file of them; or "module:function",
            called with the trajectory. A task without a reference is unknown.
        database: SQLite file.
        tool: Tool that queries; by default any tool that has the argument.
        argument: Name of the tool's argument that holds the query.
        folder: Folder in which files and modules are looked up.
        name: Name under which verdicts are stored.

    Raises:
        VerificationError: If a file is missing, or a reference is not a query.
    """
    place = Path(folder).absolute() if folder else Path.cwd()
    known, function, digest = given_references(references, place)
    if not all(isinstance(query, str) for query in known.values()):
        raise VerificationError(
            "a reference is not a query",
            "SQL texts by task id",
            'sql_result_set({"task-1": "SELECT 1"}, database="shop.db")',
        )
    file = (place / database).absolute()
    if not file.is_file():
        raise VerificationError(f"no database {file}", "a SQLite file", f"ls {file.parent}")
    contents = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    return SqlResultSet(
        database=file,
        references=known,
        function=function,
        folder=place,
        tool=tool,
        argument=argument,
        name=name,
        version=f"3.{digest}.{contents}.{tool}.{argument}",
    )


def rows_of(database: Path, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query on a database that it cannot change, at most one row more than `_ROWS`.

    Raises:
        sqlite3.Error: If the query fails, changes something or takes too long.
    """
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        connection.execute("PRAGMA query_only = ON")
        connection.set_authorizer(_only_reading)
        connection.set_progress_handler(lambda: 1, _STEPS)
        return [
            tuple(map(_settle_number, row))
            for row in connection.execute(query).fetchmany(_ROWS + 1)
        ]


def _only_reading(action: int, *details: object) -> int:
    del details
    allowed = (
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        33,
    )  # 33: a recursive query
    return sqlite3.SQLITE_OK if action in allowed else sqlite3.SQLITE_DENY


def _is_trouble(problem: sqlite3.Error) -> bool:
    """Return whether the database or this machine caused the error, and not the query."""
    code = getattr(problem, "sqlite_errorcode", None)
    return code is not None and (code & 0xFF) in _TROUBLE


_TROUBLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
}


def _settle_number(value: Any) -> Any:
    """Round fractions to 12 digits and give equal numbers one type; integers stay exact."""
    if isinstance(value, float) and math.isfinite(value):
        if value.is_integer() and abs(value) < _EXACT:
            return int(value)
        rounded = float(f"{value:.12g}")
        return int(rounded) if rounded.is_integer() and abs(rounded) < _EXACT else rounded
    return value
